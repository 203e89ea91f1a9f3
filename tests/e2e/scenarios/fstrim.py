"""What a file system in the guest frees goes back to the file system that holds the image."""

from lab import images

PACKAGES = images.TOOLS

KEPT = 4  # MiB of random data
FREED = 48
METADATA = 8  # of ext4, journal included

SCRIPT = rf"""
. /run/e2e/lib.sh
disk=$(nth_disk 1)
[ "$(cat /sys/block/${{disk##*/}}/queue/discard_max_bytes)" -gt 0 ] || fail "no discard"
mkfs.ext4 -q -J size=4 -N 512 "$disk" || fail "mkfs"
mount "$disk" /mnt || fail "mount"
dd if=/dev/urandom of=/mnt/kept bs=1M count={KEPT} status=none || fail "cannot write"
dd if=/dev/urandom of=/mnt/freed bs=1M count={FREED} status=none || fail "cannot write"
sha256sum /mnt/kept /mnt/freed > /tmp/sums
sync
echo 3 > /proc/sys/vm/drop_caches
sha256sum -c --status /tmp/sums || fail "what was written is not there"
rm /mnt/freed
sync
fstrim -v /mnt || fail "fstrim"
echo 3 > /proc/sys/vm/drop_caches
grep kept /tmp/sums | sha256sum -c --status || fail "what was kept is not what it was"
umount /mnt
e2fsck -fn "$disk" > /tmp/fsck 2>&1 || fail "e2fsck: $(tail -n 3 /tmp/fsck)"
complaints && fail "see above"
exit 0
"""


def run(lab):
    lab.shell("truncate -s 256M data.img")
    output = lab.boot(SCRIPT, disks=["data.img"])
    used = int(lab.shell("stat -c %b data.img")) // 2048
    lab.fact("fstrim", output.strip())
    lab.fact("image_MiB", used)
    lab.check(used >= KEPT, f"the image has {used} MiB: less than what was kept")
    lab.check(used <= KEPT + METADATA, f"the image still has {used} MiB after {output.strip()}")
