"""The guest boots from a VHDX that qemu-img made of the root disk; the image stays sound."""

import shlex

PROGRAMS = ["qemu-img", "qemu-nbd"]

WRITE = r"""
. /run/e2e/lib.sh
dd if=/dev/urandom of=/data bs=1M count=20 conv=fsync status=none || fail "cannot write"
sha256sum /data > /data.sum
findmnt -n -o SOURCE /
exit 0
"""

CHECK = r"""
. /run/e2e/lib.sh
sha256sum -c --status /data.sum || fail "the data are not what they were"
complaints && fail "see above"
fstrim / || fail "fstrim"
exit 0
"""


def run(lab):
    image = lab.program("qemu-img")
    lab.shell(f"{image} convert -O vhdx root.img root.vhdx && rm root.img")
    lab.boot(WRITE, root="root.vhdx")
    lab.shell(f"{image} check -q root.vhdx")
    lab.boot(CHECK, root="root.vhdx")
    lab.shell(f"{image} check -q root.vhdx")
    left = lab.shell("ps | grep -c '[q]emu-nbd' || true").strip()
    lab.check(left == "0", "qemu-nbd is still there")
    lab.fact("info", lab.shell(f"{image} info root.vhdx").splitlines())

    _, initrd = lab.machine.guest_files(lab.kernel)
    command = shlex.join(lab.hvrun(initrd=initrd, disks=["root.vhdx"]))
    status, _, err = lab.machine.run(f"mkdir -p /tmp/none && PATH=/tmp/none {command}")
    lab.fact("without_qemu_nbd", err.strip())
    lab.check(status == 2, f"without qemu-nbd: exit status {status}")
    lab.check("qemu-utils" in err and len(err.splitlines()) == 1, f"without qemu-nbd: {err!r}")
