"""A disk grows, with its file system in use, becomes read-only, writable again, and shrinks."""

from lab import images

PACKAGES = images.TOOLS

SCRIPT = r"""
. /run/e2e/lib.sh
disk=$(disk_of 131072) || fail "no disk"
size() { cat /sys/block/${disk##*/}/size; }
await() # await SECTORS
{
	tries=0
	until [ "$(size)" = $1 ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "the disk has $(size) sectors, not $1"
		sleep 0.1
	done
}

mkfs.ext4 -q -J size=4 -N 512 $disk && mount $disk /mnt || fail "no file system"
dd if=/dev/urandom of=/mnt/data bs=1M count=20 status=none || fail "cannot write"
sha256sum /mnt/data > /tmp/sum
(while [ ! -e /tmp/stop ]; do dd if=/mnt/data of=/mnt/copy bs=64k conv=fsync status=none; done) &
echo "ready to grow"
await 262144
resize2fs $disk > /tmp/said 2>&1 || fail "resize2fs: $(cat /tmp/said)"
[ $(df -m /mnt | awk 'END { print $2 }') -gt 100 ] || fail "the file system has not grown"
dd if=/dev/urandom of=/mnt/more bs=1M count=60 conv=fsync status=none || fail "no room"
echo "grown once"
await 393216
touch /tmp/stop
wait
umount /mnt
sg_readcap $disk | grep -q 'blocks=393216' || fail "READ CAPACITY(10): $(sg_readcap $disk)"
dd if=$disk of=/dev/null bs=512 skip=393215 iflag=direct status=none || fail "cannot read the end"

echo "ready to be read-only"
tries=0
while dd if=/dev/zero of=$disk bs=512 count=1 seek=393215 oflag=direct conv=notrunc 2>/dev/null; do
	tries=$((tries + 1))
	[ $tries -lt 300 ] || fail "a read-only disk is written"
	sleep 0.1
done
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct status=none || fail "cannot read"
echo "ready to be writable"
tries=0
until dd if=/dev/zero of=$disk bs=512 count=1 seek=393215 oflag=direct conv=notrunc 2>/dev/null; do
	tries=$((tries + 1))
	[ $tries -lt 300 ] || fail "the disk stays read-only"
	sleep 0.1
	echo 1 > /sys/block/${disk##*/}/device/rescan
	blockdev --setrw $disk
done

echo "ready to shrink"
await 262144
dd if=$disk of=/dev/null bs=512 skip=262144 count=1 iflag=direct 2>/dev/null
sg_read_behind=$(sg_dd if=$disk of=/dev/null bs=512 skip=262144 count=1 blk_sgio=1 2>&1) &&
	fail "reads behind the end: $sg_read_behind"
e2fsck -fp $disk > /tmp/said 2>&1 || fail "e2fsck: $(cat /tmp/said)"
mount $disk /mnt && sha256sum -c --status /tmp/sum || fail "the data are not what they were"
umount /mnt
warnings | grep -iE 'hv_|vmbus|EXT4-fs.*error|blocked for|BUG|WARNING' &&
	fail "see above"
echo "all done"
exit 0
"""


def run(lab):
    lab.shell("truncate -s 64M data.img")
    guest = lab.start(SCRIPT, disks=["data.img,id=data"], control=True)
    guest.wait_for("^ready to grow")
    lab.control("disk-resize", disk="data", size="128M")
    guest.wait_for("^grown once")
    lab.shell("truncate -s 192M data.img")
    lab.control("disk-resize", disk="data")
    guest.wait_for("^ready to be read-only")
    lab.control("disk-read-only", disk="data", on=True)
    guest.wait_for("^ready to be writable")
    lab.control("disk-read-only", disk="data", on=False)
    guest.wait_for("^ready to shrink")
    lab.control("disk-resize", disk="data", size="128M")
    guest.finish()
    guest.check_end("poweroff")
    lab.check("all done" in guest.output, f"unexpected output: {guest.output}")
    lab.check(lab.shell("stat -c %s data.img").strip() == str(128 << 20), "the file did not shrink")
