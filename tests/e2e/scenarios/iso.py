"""A DVD-ROM drive: the guest mounts an ISO image, keeps it, ejects it, and gets another one."""

import os
import tempfile
from pathlib import Path

from lab import host, images

PACKAGES = images.TOOLS

SCRIPT = r"""
. /run/e2e/lib.sh
modprobe -a sr_mod isofs sg || fail "no module for the drive"
await() # await COMMAND: until it works
{
	tries=0
	until "$@" >/tmp/said 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "never: $*: $(cat /tmp/said)"
		sleep 0.1
	done
}
look() # look NAME: the medium is that one
{
	[ "$(cat /mnt/name)" = $1 ] || fail "the medium is '$(cat /mnt/name)', not $1"
	(cd /mnt && sha256sum -c --status sums) || fail "$1: the data are not what they should be"
}
empty() { ! dd if=/dev/sr0 of=/dev/null bs=2048 count=1; }
medium() { mount -r /dev/sr0 /mnt && { [ "$(cat /mnt/name)" = $1 ] || { umount /mnt; false; }; }; }

await [ -b /dev/sr0 ]
sg_inq /dev/sr0 | grep -q 'PDT=5 .*RMB=1' || fail "INQUIRY: $(sg_inq /dev/sr0)"
await dd if=/dev/sr0 of=/dev/null bs=2048 count=1
# Not while it is mounted: Linux unlocks the drive when it refuses this.
dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 2>/dev/null && fail "a DVD-ROM is written"
await medium one
look one
[ "$(blockdev --getro /dev/sr0)" = 1 ] || fail "the drive is not read-only"

echo "locked"
await disk_of 2048 # the host has tried to take the medium out
echo 3 > /proc/sys/vm/drop_caches
look one
umount /mnt
eject /dev/sr0 || fail "eject"
await empty
echo "ejected"
await medium two
look two
umount /mnt
echo "wants three"
await medium three
look three
umount /mnt
sg_start --eject /dev/sr0 || fail "sg_start --eject"
sg_turs /dev/sr0 > /tmp/said 2>&1 && fail "ready without a medium"
warnings | grep -iE 'hv_|vmbus|blocked for|BUG|WARNING' && fail "see above"
echo "all done"
exit 0
"""


def image(lab, name):
    """An ISO image with a file of its own, where hvrun runs."""
    host.need("genisoimage")
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        (tree / "name").write_text(name + "\n")
        (tree / "data").write_bytes(os.urandom(200_000))
        sums = host.sh("sha256sum", "name", "data", cwd=tree)
        (tree / "sums").write_text(sums)
        iso = Path(scratch) / "iso"
        host.sh("genisoimage", "-quiet", "-r", "-V", name, "-o", iso, tree)
        lab.machine.write(f"{lab.dir}/{name}.iso", iso.read_bytes())


def run(lab):
    for name in ("one", "two", "three"):
        image(lab, name)
    drive = ["--cdrom", f"{lab.dir}/one.iso,id=cd"]
    guest = lab.start(SCRIPT, options=drive, control=True)
    guest.wait_for("^locked")
    refused = lab.try_control("medium-eject", disk="cd")
    lab.check("error" in refused, "a medium that the guest has locked was taken out")
    lab.shell("truncate -s 1M tried.img")
    lab.control("disk-add", disk=f"{lab.dir}/tried.img")
    guest.wait_for("^ejected")
    lab.control("medium-insert", disk="cd", file=f"{lab.dir}/two.iso")
    guest.wait_for("^wants three")
    lab.control("medium-eject", disk="cd")
    lab.control("medium-insert", disk="cd", file=f"{lab.dir}/three.iso")
    guest.finish()
    guest.check_end("poweroff")
    lab.check("all done" in guest.output, f"unexpected output: {guest.output}")
