"""Power-off, restart and what the guest can't do, asked for by hvctl of a whole Debian."""

from lab import ic, images

PACKAGES = images.TOOLS
PROGRAMS = ic.PROGRAMS

SCRIPT = r"""
modprobe hv_utils
echo waiting
sleep 600 & wait
"""


def run(lab):
    for action, status in (("shutdown", 0), ("restart", 10)):
        guest = lab.start(SCRIPT, systemd=True, control=True)
        guest.wait_for("^waiting$")
        ic.until_ready(lab, "shutdown")
        code, _, err = lab.try_hvctl("hibernate")
        lab.check(code != 0, "the guest says it hibernates, and has no such state")
        lab.check("hibernat" in err or "not support" in err, err)
        lab.hvctl(action, "--reason", "the lab wants it")
        guest.finish()
        lab.check(guest.exit == status, f"{action}: hvrun's exit status was {guest.exit}")
