"""A disk that fails while the guest runs gives the guest I/O errors at once, and no hang.

The second disk is a sparse file of 64 MiB on a file system of 16 MiB: writes meet a full file
system. Then the file is cut to 1 MiB under hvrun: reads behind that have nothing to read.
"""

SCRIPT = r"""
. /run/e2e/lib.sh
disk=$(nth_disk 1)
[ -b "$disk" ] || fail "no second disk"
[ "$(blockdev --getsize64 "$disk")" = 67108864 ] || fail "$disk is not the disk of 64 MiB"

dd if="$disk" of=/dev/null bs=1M iflag=direct count=64 2>/dev/null ||
	fail "cannot read the fresh disk"
begin=$(cut -d. -f1 /proc/uptime)
dd if=/dev/zero of="$disk" bs=1M oflag=direct count=64 2>/tmp/said && fail "all writes succeeded"
grep -qE 'Input/output error|No space left|critical' /tmp/said || fail "dd said: $(cat /tmp/said)"
echo "write error after $(($(cut -d. -f1 /proc/uptime) - begin)) s: $(sed -n 's|^dd: .*: ||p' /tmp/said)"

dd if="$disk" of=/dev/null bs=4k iflag=direct count=1 2>/dev/null || fail "disk lost after an error"

echo "ready to be cut"
tries=0
while dd if="$disk" of=/dev/null bs=4k skip=10240 iflag=direct count=1 2>/tmp/said; do
	tries=$((tries + 1))
	[ $tries -lt 30 ] || fail "a disk that was cut short still reads its end"
	sleep 0.5
done
echo "read error: $(sed -n 's|^dd: .*: ||p' /tmp/said)"
dd if="$disk" of=/dev/null bs=4k iflag=direct count=1 2>/dev/null || fail "disk lost after an error"

dmesg | grep -E 'I/O error|Sense Key|Add. Sense|critical' | tail -n 8
dmesg | grep -iE 'blocked for more|Aborting|reset' && fail "the kernel had to recover"
touch /still-works && sync || fail "the root disk suffered, too"
exit 0
"""


def run(lab):
    lab.shell("mkdir small && mount -t tmpfs -o size=16m small small && truncate -s 64M small/disk")
    lab.on_close("umount -l small")
    guest = lab.start(SCRIPT, disks=["small/disk"])
    guest.wait_for("ready to be cut")
    lab.shell("truncate -s 1M small/disk")
    guest.finish()
    guest.check_end("poweroff")
    lab.fact("errors_seen", [x for x in guest.output.splitlines() if "error" in x])
