"""A disk fails in every way its back end can: the guest gets the right sense; other disks go on."""

from lab import images

PACKAGES = images.TOOLS

HANG_SECONDS = 3

# What the guest waits for, the rules that hvrun gets then.
STEPS = {
    "read": "error=io,op=read,range=1M-2M",
    "write": "error=io,op=write",
    "space": "error=no-space,op=write",
    "flush": "error=io,op=flush",
    "short": "torn=512,op=read,range=1M-2M",
    "unmap": "error=io,op=unmap",
    "gone": "error=gone",
    "transient": "error=aborted,op=read,times=2",
    "hang": "hang,op=read",
    "release": "",
    "hang for good": "hang,op=read+write",
    "end": "",
}
LONG_STEPS = ["hang for good"]  # until the request's time is up: a minute and more

SCRIPT = r"""
. /run/e2e/lib.sh
cd /tmp
disk=$(disk_of 65536) && other=$(disk_of 32768) || fail "no disk"
sg=$(sg_of $disk)
dd if=/dev/zero of=zeros bs=512 count=1 status=none
(
	while dd if=$other of=$other bs=64k count=64 iflag=direct oflag=direct conv=notrunc status=none
	do
		echo $((passes += 1)) > passes
	done
	touch broken
) 2>/dev/null &

# The host changes the rules when it reads a step's name; how long that takes is not known.
step() { echo "step $*"; }
says() { grep -q "$1" said || fail "$command: does not say '$1': $(cat said)"; }
read_at() { sg_raw -r 512 $sg 28 00 00 00 $1 00 00 00 01 00; } # the first two bytes of four: LBA
write_at() { sg_raw -s 512 -i zeros $sg 2a 00 00 00 $1 00 00 00 01 00; }
others_go_on()
{
	passes=$(cat passes)
	tries=0
	while [ "$(cat passes)" = "$passes" ]; do
		tries=$((tries + 1))
		[ ! -e broken ] && [ $tries -lt 300 ] || fail "$command: I/O on another disk stopped"
		sleep 0.1
	done
	touch /still-works && sync || fail "$command: the root disk suffered, too"
}

step read
until_fails read_at 08
says 'Medium Error'
says 'Unrecovered read error'
read_at 00 > said 2>&1 || fail "blocks that are good cannot be read: $(cat said)"
step write
until_fails write_at 08
says 'Medium Error'
says 'Write error'
until_works read_at 08
step space
until_status fails sh -c "dd if=/dev/zero of=$disk bs=4k count=1 oflag=direct 2>&1 |
	tee out | grep -q 'No space left' && exit 1; exit 0"
until_fails write_at 08
says 'Data Protect'
says 'Space allocation failed write protect'
step flush
until_fails sg_sync $sg
until_fails dd if=/dev/zero of=$disk bs=4k count=1 conv=fsync,notrunc
until_works write_at 08
step short
until_works sg_sync $sg
until_fails sg_raw -r 4096 $sg 28 00 00 00 08 00 00 00 08 00
says 'Medium Error'
step unmap
until_works read_at 08
until_fails sg_unmap --force --lba=0 --num=8 $sg
step gone
until_fails read_at 00
says 'Hardware Error'
step transient
until_works dd if=$disk of=/dev/null bs=4k count=1 iflag=direct
others_go_on

step hang
tries=0
while :; do
	rm -f ended
	(dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null && touch ended) &
	sleep HANG_SECONDS
	[ -e ended ] || break
	wait $!
	tries=$((tries + 1))
	[ $tries -lt 20 ] || fail "nothing hangs"
done
others_go_on
[ ! -e ended ] || fail "what hangs has ended"
step release
wait $!
[ -e ended ] || fail "what hung and was released has failed"
until_works read_at 00
HANG_FOR_GOOD
others_go_on
dmesg | grep -E 'Sense Key|Add. Sense|critical' | sed 's/.*\] *//' | sort | uniq -c
warnings | grep -iE 'hv_vmbus|BUG|WARNING|Call Trace' && fail "see above"
echo "all done"
exit 0
"""

HANG_FOR_GOOD = r"""
step hang for good
tries=0
while :; do
	begin=$(cut -d. -f1 /proc/uptime)
	dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || break
	tries=$((tries + 1))
	[ $tries -lt 100 ] || fail "nothing hangs"
	sleep 0.1
done
echo "gave up after $(($(cut -d. -f1 /proc/uptime) - begin)) s"
others_go_on
step end
until_works read_at 00
"""


def run(lab):
    lab.shell("truncate -s 32M data.img && truncate -s 16M other.img")
    script = SCRIPT.replace("HANG_SECONDS", str(HANG_SECONDS))
    script = script.replace("HANG_FOR_GOOD", HANG_FOR_GOOD if lab.long else "")
    disks = ["other.img", "data.img,id=data,fault="]
    guest = lab.start(script, disks=disks, control=True)
    for step, rules in STEPS.items():
        if lab.long or step not in LONG_STEPS and step != "end":
            guest.wait_for(f"^step {step}$")
            lab.control("disk-fault", disk="data", rules=rules)
    guest.finish()
    guest.check_end("poweroff")
    lab.check("all done" in guest.output, f"unexpected output: {guest.output}")
    lab.fact("kernel_messages", [x.strip() for x in guest.output.splitlines() if "ense" in x])
    lab.fact("gave_up", [x for x in guest.output.splitlines() if x.startswith("gave up")])
