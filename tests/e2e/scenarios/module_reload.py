"""The drivers of the disk and of the integration services are unloaded and loaded again, 20 times.

That closes the disk's channel, takes its memory back and opens it anew. The script runs from the
initramfs, as the root disk has to be free. hvrun offers no integration services yet: hv_utils finds
no device, and registers with VMBus and leaves all the same.
"""

ROUNDS = 20

SCRIPT = r"""
. /run/e2e/lib.sh
mkdir /mnt

mount_disk()
{
	tries=0
	until disk=$(findfs LABEL=e2e-root 2>/dev/null) && [ -b "$disk" ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "round $round: no disk after 20 s"
		sleep 0.2
	done
	mount -t ext4 "$disk" /mnt || fail "round $round: cannot mount $disk"
}

round=0
mount_disk
dd if=/dev/urandom of=/mnt/data bs=1M count=4 2>/dev/null || fail "cannot write"
(cd /mnt && sha256sum data > data.sum)
while [ $round -lt ROUNDS ]; do
	round=$((round + 1))
	umount /mnt || fail "round $round: cannot unmount"
	rmmod hv_storvsc || fail "round $round: hv_storvsc does not unload"
	[ -z "$(ls -d /sys/block/sd* 2>/dev/null)" ] || fail "round $round: the disk is still there"
	insmod /modules/hv_storvsc.ko || fail "round $round: hv_storvsc does not load"
	mount_disk
	(cd /mnt && sha256sum -c -s data.sum) || fail "round $round: the data are not what they were"
	echo $round >> /mnt/rounds

	mount -t proc proc /mnt/proc
	mount -t sysfs sys /mnt/sys
	chroot /mnt modprobe hv_utils || fail "round $round: hv_utils does not load"
	[ -d /sys/bus/vmbus/drivers/hv_utils ] || fail "round $round: VMBus does not know hv_utils"
	rmmod hv_utils || fail "round $round: hv_utils does not unload"
	[ ! -d /sys/module/hv_utils ] || fail "round $round: hv_utils is still there"
	umount /mnt/proc /mnt/sys
done
umount /mnt || fail "cannot unmount"
dmesg -r | grep -E '^<[0-4]>' | grep -iE 'hv_|vmbus|storvsc|scsi|sd [0-9]|I/O error|BUG|WARNING' &&
	fail "see above"
echo "$round rounds"
exit 0
"""

CHECK = r"""
cd /
sha256sum -c --status data.sum && wc -l < rounds
"""


def run(lab):
    output = lab.boot(SCRIPT.replace("ROUNDS", str(ROUNDS)), initramfs=True)
    lab.check(f"{ROUNDS} rounds" in output, f"unexpected output: {output}")
    rounds = lab.boot(CHECK).strip()
    lab.check(rounds == str(ROUNDS), f"the disk tells of {rounds} rounds")
