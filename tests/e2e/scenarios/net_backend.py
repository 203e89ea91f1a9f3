"""A TAP is deleted and comes back; a stopped guest keeps no memory of the host; others go on."""

import json

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = net.PROGRAMS

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
other=$(nic_of {net.mac(1)}) && addresses "$other" 1 || fail "no second adapter"
carrier() {{ [ "$(cat /sys/class/net/$nic/carrier)" = "$1" ]; }}
works() {{ until_works /run/e2e/traffic tcp $1 {net.PORT} 200000 2; }}
works 10.9.0.1
works 10.9.1.1
echo "delete"
until_works carrier 0
works 10.9.1.1
echo "restore"
until_works carrier 1
works 10.9.0.1
works fd00:9:1::1
echo "flood"
busybox nc -l -p 9002 < /dev/null
works 10.9.0.1
works 10.9.1.1
net_complaints && fail "see above"
exit 0
"""


def memory(lab):
    """KiB that hvrun has beside the guest's RAM."""
    text = lab.shell("cat /proc/$(cat /run/vmm.pid)/status")
    return int(text.split("RssAnon:")[1].split()[0])


def run(lab):
    options = [*net.tap(lab, 0), *net.tap(lab, 1)]
    net.serve(lab)
    guest = lab.start(SCRIPT, programs=["traffic"], options=options, control=True)
    guest.wait_for("^delete")
    lab.shell(f"{lab.program('ip')} link del lab0")
    guest.wait_for("^restore")
    lab.check("lab0" in guest.errors, f"hvrun said nothing of lab0: {guest.errors}")
    net.tap(lab, 0)
    guest.wait_for("^flood")
    before = memory(lab)
    # Stopped is what a guest looks like whose interface takes nothing: it polls no ring.
    lab.shell("ping -q -f -c 20000 -s 1400 -W 1 10.9.0.2 > /dev/null 2>&1 || true")
    after = memory(lab)
    lab.fact("anonymous_KiB", [before, after])
    lab.check(after < before + 8192, f"hvrun grew from {before} to {after} KiB")
    lab.shell("until nc 10.9.0.2 9002 < /dev/null; do sleep 0.1; done")
    guest.finish()
    guest.check_end("poweroff")
    lab.fact("nets", json.dumps(guest.errors.strip().splitlines()[-3:]))
