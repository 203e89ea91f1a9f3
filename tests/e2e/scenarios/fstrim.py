"""What a file system in the guest frees goes back to the file system that holds the image."""

PACKAGES = ["e2fsprogs", "eject", "fio", "libiscsi-bin", "sg3-utils"]

MEGABYTES = 48

SCRIPT = r"""
. /run/e2e/lib.sh
disk=$(nth_disk 1)
[ "$(cat /sys/block/${disk##*/}/queue/discard_max_bytes)" -gt 0 ] || fail "the disk cannot discard"
mkfs.ext4 -q -E nodiscard "$disk" || fail "mkfs"
mount "$disk" /mnt || fail "mount"
dd if=/dev/urandom of=/mnt/kept bs=1M count=4 status=none || fail "cannot write"
sha256sum /mnt/kept > /tmp/sum
dd if=/dev/urandom of=/mnt/freed bs=1M count=MEGABYTES status=none || fail "cannot write"
sync
echo "@@written"
read -r _
rm /mnt/freed
sync
fstrim -v /mnt || fail "fstrim"
echo 3 > /proc/sys/vm/drop_caches
sha256sum -c --status /tmp/sum || fail "what was kept is not what it was"
umount /mnt
e2fsck -fn "$disk" > /tmp/fsck 2>&1 || fail "e2fsck: $(tail -n 3 /tmp/fsck)"
blkdiscard "$disk" || fail "blkdiscard"
complaints && fail "see above"
exit 0
"""
