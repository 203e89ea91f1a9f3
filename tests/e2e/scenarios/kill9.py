"""What fsync acknowledged in the guest is on the disk after hvrun was killed with -9."""

BLOCKS_BEFORE_KILL = 100

# Block N holds its number and a pattern made from it, so that stale or misplaced blocks show.
BLOCK = r"""
sub block { my $n = shift; my $s = sprintf("block %08d ", $n); substr($s x 300, 0, 4096) }
"""

WRITE = f"""exec perl -e '{BLOCK}
use IO::Handle;
$| = 1;
open(my $f, ">", "/blocks") or die $!;
for (my $n = 0; $n < 100000; $n++) {{
	syswrite($f, block($n)) == 4096 or die $!;
	$f->sync or die $!;
	print "acknowledged $n\\n";
}}'
"""

CHECK = f"""exec perl -e '{BLOCK}
my $count = shift;
open(my $f, "<", "/blocks") or die "FAIL: /blocks: $!\\n";
for (my $n = 0; $n < $count; $n++) {{
	my $have = "";
	sysread($f, $have, 4096);
	next if $have eq block($n);
	print "FAIL: block $n of $count: ", length($have), " bytes, ", substr($have, 0, 15), "\\n";
	exit 1;
}}
print "all $count there\\n";' COUNT
"""


def run(lab):
    guest = lab.start(WRITE)
    guest.wait_for(rf"acknowledged {BLOCKS_BEFORE_KILL}\b")
    guest.kill()
    lab.check(guest.status is None, "the writer ended before hvrun was killed")
    acknowledged = guest.output.count("acknowledged ")
    lab.fact("acknowledged_blocks", acknowledged)
    output = lab.boot(CHECK.replace("COUNT", str(acknowledged)))
    lab.check(f"all {acknowledged} there" in output, f"unexpected output: {output}")
