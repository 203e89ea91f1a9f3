"""The guest finds Hyper-V and its VMBus, mounts root from the synthetic disk, powers off cleanly.

No warning or error of the drivers involved may be in its kernel log.
"""

# The newest protocol version that each kernel knows and therefore has to end up with.
VMBUS_VERSION = {"6.1": "5.3", "6.12": "5.3"}

SCRIPT = r"""
. /run/e2e/lib.sh
hypervisor=$(dmesg | grep -o 'Hypervisor detected: .*') || fail "no hypervisor detected"
echo "hypervisor=$hypervisor"
vmbus=$(dmesg | grep -o 'Vmbus version:[0-9.]*') || fail "no VMBus connection: $(
	dmesg | grep hv_vmbus | tail -n 1)"
echo "vmbus=${vmbus#*:}"
echo "root=$(findmnt -n -o SOURCE,FSTYPE,OPTIONS /)"
for disk in /sys/class/scsi_device/*/device/block/*; do
	driver=$(cat /sys/class/scsi_host/host$(echo "$disk" | cut -d/ -f5 | cut -d: -f1)/proc_name)
	size=$(($(cat "$disk/size") / 2048))
	echo "disk=${disk##*/} $(cat "$disk/device/vendor") $(cat "$disk/device/model") $size MiB $driver"
done
dmesg --level=emerg,alert,crit,err,warn |
	grep -iE 'hv_|hyper-v|storvsc|vmbus|scsi|sd [0-9]|\[sd|I/O error|EXT4-fs|blocked for' |
	sed 's/^/complaint=/'
exit 0
"""


def run(lab):
    output = lab.boot(SCRIPT)
    seen = {}
    for line in output.splitlines():
        name, _, value = line.partition("=")
        seen.setdefault(name, []).append(" ".join(value.split()))
    hypervisor, vmbus, root = (seen.get(n, [""])[0] for n in ("hypervisor", "vmbus", "root"))
    disks = seen.get("disk", [])
    lab.fact("hypervisor", hypervisor)
    lab.fact("vmbus_version", vmbus)
    lab.fact("root", root)
    lab.fact("disks", disks)

    lab.check(hypervisor == "Hypervisor detected: Microsoft Hyper-V", f"it is '{hypervisor}'")
    expected = VMBUS_VERSION.get(lab.kernel.series, vmbus)
    lab.check(vmbus == expected, f"VMBus version {vmbus}, expected {expected}")
    lab.check(len(disks) == 1 and "storvsc" in disks[0], f"disks: {disks}")
    lab.check(root.startswith("/dev/" + disks[0].split()[0]), f"root is on {root}")
    complaints = seen.get("complaint", [])
    lab.check(not complaints, "complaints in the kernel log: " + "; ".join(complaints))
