"""A guest of the first generation has its disks behind IDE accelerators, the root disk too."""

from lab import images

PACKAGES = images.TOOLS

SCRIPT = r"""
. /run/e2e/lib.sh
cd /sys/bus/vmbus/devices
ide=$(grep -l 32412632-86cb-44a2-9b5c-50d1417354f5 */class_id | wc -l)
[ "$ide" = 2 ] || fail "$ide IDE accelerators"
grep -l ba6163d9-04a1-4d29-b605-72e2ffb1dc7f */class_id && fail "a SCSI controller"
disk=$(disk_of 131072) || fail "no second disk"
fio --name=ide --filename="$disk" --direct=1 --ioengine=libaio --thread --rw=randwrite \
	--bsrange=512-256k --iodepth=16 --size=64M --verify=crc32c --verify_fatal=1 \
	--verify_state_save=0 --eta=never --output=/tmp/fio ||
	{ tail -n 40 /tmp/fio; fail "fio found an error"; }
complaints && fail "see above"
exit 0
"""


def run(lab):
    lab.shell("truncate -s 64M data.img")
    lab.boot(SCRIPT, root="root.img,ide=0:0", disks=["data.img,ide=1:1"])
