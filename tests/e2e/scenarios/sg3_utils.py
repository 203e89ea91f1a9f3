"""Every command of sg3-utils says of a disk what it should; what writes has written."""

from lab import images

PACKAGES = images.TOOLS

# Exit statuses of sg3-utils (man sg3_utils): 5 illegal request, 7 data protect, 9 invalid opcode,
# 14 miscompare, 22 LBA out of range.
SCRIPT = r"""
. /run/e2e/lib.sh
disk=$(nth_disk 1)
sg=$(sg_of $disk)
readonly_sg=$(sg_of $(nth_disk 2))

# works COMMAND; exits STATUS COMMAND; says REGEX: of the last command
exits()
{
	want=$1
	shift
	command="$*"
	"$@" > /tmp/said 2>&1
	have=$?
	[ $have = $want ] || fail "$command: exit status $have, not $want: $(tail -n 3 /tmp/said)"
}
works() { exits 0 "$@"; }
says()
{
	for regex; do
		grep -Eq -e "$regex" /tmp/said || fail "$command: does not say '$regex': $(cat /tmp/said)"
	done
}
has() # has FILE LBA: these blocks are on the disk
{
	dd if=$disk bs=512 skip=$2 count=$(($(stat -c %s $1) / 512)) iflag=direct status=none |
		cmp -s - $1 || fail "after $command: block $2 and behind are not $1"
}

cd /tmp
dd if=/dev/urandom of=a bs=4096 count=1 status=none
dd if=/dev/urandom of=b bs=4096 count=1 status=none
dd if=/dev/zero of=zeros bs=4096 count=1 status=none
for i in 1 2 3 4 5 6 7 8; do head -c 512 a; done > same
{ cat a b; } > ab

works sg_inq $sg
says 'PDT=0 ' 'RMB=0' 'version=0x0[567]' 'CmdQue=1' 'Vendor identification: Msft' 'Virtual Disk'
works sg_inq --id $sg
says 'NAA 6, IEEE Company_id: 0x2248'
works sg_vpd --page=sv $sg
says '\[di\]' '\[bl\]' '\[bdc\]' '\[lbpv\]'
pages=$(sg_vpd --page=sv --raw $sg | od -An -v -tx1 -j4)
for page in $pages; do
	works sg_vpd --page=0x$page $sg
	echo "VPD page $page: $(head -n 1 /tmp/said)"
done
works sg_vpd --page=bl $sg
says 'Maximum unmap LBA count: [1-9]' 'Maximum unmap block descriptor count: [1-9]' \
	'Maximum write same length: (0x)?[1-9]' 'Maximum compare and write length: [1-9]'
works sg_vpd --page=lbpv $sg
says '\(LBPU\): 1' '\(LBPWS\): 1' 'thin'
works sg_readcap $sg
says 'Last LBA=131071 ' 'block length=512 bytes'
works sg_readcap --16 $sg
says 'Last LBA=131071 ' 'lbpme=1' 'block length=512 bytes' 'exponent=3'
works sg_luns --decode $sg
says ' 3 lun entries' 'lun=0' 'lun=1' 'lun=2'

works sg_modes --all $sg
says 'WP=0, DpoFua=1' '^>> Caching' '^>> Control' '^>> Informational exceptions'
works sg_modes --six --page=8 $sg
says '08 [01][0-9a-f] 04'
works sg_modes --page=0xa $sg
says '0a 0a 00 10'
works sg_modes --page=8 --control=1 $sg
works sg_modes --page=8 $readonly_sg
says 'WP=1'

works sg_opcodes $sg
says 'Read\(10\)' 'Write\(16\)' 'Unmap' 'Write same\(10\)' 'Write same\(16\)' 'Verify\(10\)' \
	'Write and verify\(10\)' 'Synchronize cache\(16\)' 'Compare and write' 'Get LBA status' \
	'Persistent reserve in, read keys' 'Persistent reserve out, register'
works sg_opcodes --opcode=0x2a --rctd $sg
says 'is supported|supported \(conform'
works sg_opcodes --opcode=0xc0 $sg
says 'NOT supported'

works sg_write_verify --lba=64 --num=8 --in=a $sg
has a 64
works sg_write_verify --16 --lba=72 --num=8 --in=b $sg
has ab 64
works sg_verify --lba=64 --count=16 $sg
works sg_verify --16 --lba=64 --count=16 --ndo=8192 --in=ab $sg
exits 14 sg_verify --lba=64 --count=8 --ndo=4096 --in=b $sg
exits 14 sg_verify --lba=64 --count=8 --ebytchk=3 --ndo=512 --in=a $sg
works sg_write_same --10 --lba=64 --num=8 --in=a --xferlen=512 $sg
has same 64
works sg_verify --lba=64 --count=8 --ebytchk=3 --ndo=512 --in=a $sg
works sg_write_same --16 --lba=72 --num=8 --in=a --xferlen=512 $sg
has same 72
works sg_unmap --force --lba=64 --num=8 $sg
has zeros 64
has same 72
works sg_write_same --16 --unmap --lba=72 --num=8 --in=/dev/zero --xferlen=512 $sg
has zeros 72
works sg_get_lba_status --lba=64 $sg
says '0x0*40 .*deallocated'
cat a b > compare
works dd if=a of=$disk bs=512 seek=64 count=1 oflag=direct
head -c 512 a > compare
head -c 512 b >> compare
works sg_compare_and_write --lba=64 --num=1 --in=compare $sg
head -c 512 b > b1
has b1 64
exits 14 sg_compare_and_write --lba=64 --num=1 --in=compare $sg
has b1 64
works sg_sync $sg
works sg_sync --16 --lba=64 --count=8 $sg

exits 22 sg_verify --16 --lba=131072 --count=1 $sg
exits 9 sg_raw $sg c0 00 00 00 00 00
exits 7 sg_write_same --16 --lba=0 --num=8 --in=a --xferlen=512 $readonly_sg
exits 9 sg_unmap --force --lba=0 --num=8 $readonly_sg
works sg_turs --number=3 $sg
works sg_requests $sg
says 'No Sense'
works sg_start --stop $sg
works sg_start --start $sg

works sg_persist --in --report-capabilities $sg
says 'Persist Through Power Loss Capable|PTPL_C|ATP_C|APTPL'
works sg_persist --in --read-keys $sg
says 'NO registered reservation keys'
works sg_persist --out --register --param-sark=0x123abc $sg
works sg_persist --in --read-keys $sg
says '1 registered reservation key' '0x123abc'
# With key 0. (sg_persist itself takes the conflict for a success: see docs/guest-notes.md.)
exits 24 sg_raw -s 24 -i zeros $sg 5f 00 00 00 00 00 00 00 18 00
works sg_persist --out --reserve --param-rk=0x123abc --prout-type=1 $sg
works sg_persist --in --read-reservation $sg
says 'Key=0x123abc' 'LU_SCOPE' 'Write Exclusive'
works sg_persist --in --read-full-status $sg
says 'Key=0x123abc' 'Reservation holder'
works dd if=a of=$disk bs=4096 count=1 oflag=direct
works sg_persist --out --release --param-rk=0x123abc --prout-type=1 $sg
works sg_persist --in --read-reservation $sg
says 'NO reservation held'
works sg_persist --out --register --param-rk=0x123abc $sg
works sg_persist --in --read-keys $sg
says 'NO registered reservation keys'

complaints && fail "see above"
works sg_reset --device $sg # the kernel waits 10 s behind each reset
sg_turs $sg > /tmp/said 2>&1 # takes the unit attention, if nobody else has
works sg_turs $sg
has b1 64
echo "all done"
exit 0
"""


def run(lab):
    lab.shell("truncate -s 64M data.img readonly.img")
    output = lab.boot(SCRIPT, disks=["data.img", "readonly.img,ro"])
    lab.fact("vpd", [x for x in output.splitlines() if x.startswith("VPD page")])
    lab.check("all done" in output, f"unexpected output: {output}")
