"""A kernel starts another one without a reset between: UNLOAD, and a new contact on the same bus."""

PACKAGES = ["kexec-tools", "cpio"]

STARTS = 4

SCRIPT = r"""
. /run/e2e/lib.sh
start=$(sed -n 's/.*e2e\.start=\([0-9]*\).*/\1/p' /proc/cmdline)
start=$((${start:-0} + 1))
if [ $start -gt 1 ]; then
	sha256sum -c --status /data.sum || fail "start $start: the data are not what they were"
	dmesg --level=emerg,alert,crit,err,warn | grep -iE 'hv_|vmbus|storvsc|sd [0-9]|I/O error' &&
		fail "start $start: see above"
fi
echo "start $start: $(dmesg | grep -o 'Vmbus version:[0-9.]*')"
[ $start -lt STARTS ] || exit 0

dd if=/dev/urandom of=/data bs=1M count=10 status=none
sha256sum /data > /data.sum
cp /boot/initrd.img /tmp/initrd
(cd /run && find e2e | cpio --quiet -o -H newc) >> /tmp/initrd
kexec -l /boot/vmlinuz --initrd=/tmp/initrd \
	--append="$(sed 's/ e2e\.start=[0-9]*//' /proc/cmdline) e2e.start=$start" || fail "kexec -l"
sync
kexec -e
fail "kexec -e returned"
"""


def run(lab):
    output = lab.boot(SCRIPT.replace("STARTS", str(STARTS)))
    for start in range(1, STARTS + 1):
        lab.check(f"start {start}: Vmbus version" in output, f"no start {start} in: {output}")
