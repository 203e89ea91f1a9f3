"""A crashed kernel starts its dump kernel on the same bus; what that writes is on the disk later.

The kernel crashes on CPU 1 while the disk is in use. Linux reports the crash, sends UNLOAD and
jumps into the dump kernel, which has only that CPU: it connects anew, from another VP.
"""

PACKAGES = ["kexec-tools", "cpio"]

SCRIPT = r"""
. /run/e2e/lib.sh
complaints()
{
	dmesg --level=emerg,alert,crit,err,warn | grep -iE 'hv_|vmbus|storvsc|sd [0-9]|I/O error'
}

if [ -e /proc/vmcore ]; then
	echo "dump kernel: $(nproc) CPU, $(dmesg | grep -o 'Vmbus version:[0-9.]*')"
	sha256sum -c --status /data.sum || fail "the data are not what they were"
	vmcore-dmesg /proc/vmcore > /crash.dmesg || fail "no messages in /proc/vmcore"
	dd if=/proc/vmcore of=/crash.core bs=1M count=16 status=none || fail "cannot read /proc/vmcore"
	sha256sum /crash.dmesg /crash.core > /crash.sum
	sync
	complaints && fail "see above"
	exit 0
fi

[ "$(cat /sys/kernel/kexec_crash_size)" -gt 0 ] || fail "no memory for a dump kernel"
dd if=/dev/urandom of=/data bs=1M count=10 status=none
sha256sum /data > /data.sum
cp /boot/initrd.img /tmp/initrd
(cd /run && find e2e | cpio --quiet -o -H newc) >> /tmp/initrd
kexec -p /boot/vmlinuz --initrd=/tmp/initrd \
	--append="$(sed 's/ *crashkernel=[^ ]*//' /proc/cmdline) nr_cpus=1 reset_devices" ||
	fail "kexec -p"
[ "$(cat /sys/kernel/kexec_crash_loaded)" = 1 ] || fail "the dump kernel is not loaded"
sync
(while :; do dd if=/data of=/copy bs=64k conv=fsync status=none; done) &
(while :; do dd if=/data of=/dev/null bs=64k iflag=direct status=none; done) &
sleep 1
echo "crashing"
stty sane < /dev/console
taskset 2 sh -c 'echo c > /proc/sysrq-trigger'
fail "still there"
"""

CHECK = r"""
. /run/e2e/lib.sh
sha256sum -c --status /data.sum || fail "the data are not what they were"
sha256sum -c --status /crash.sum || fail "the dump is not what was written"
[ "$(head -c 4 /crash.core | tail -c 3)" = ELF ] || fail "the dump is no ELF file"
grep -o 'sysrq: Trigger a crash' /crash.dmesg || fail "the dump's messages do not tell of the crash"
grep -m1 -o 'CPU: [0-9]* .*PID:' /crash.dmesg || fail "the dump's messages do not name the CPU"
"""


def run(lab):
    guest = lab.start(SCRIPT, append="crashkernel=192M")
    guest.wait_for(r"^dump kernel: ")
    guest.finish()
    guest.check_end("crash")
    lab.check("dump kernel: 1 CPU, Vmbus version" in guest.output, f"it said: {guest.output}")
    output = lab.boot(CHECK)
    lab.check("sysrq: Trigger a crash" in output, f"unexpected output: {output}")
    lab.check("CPU: 1 " in output, f"it did not crash on CPU 1: {output}")
