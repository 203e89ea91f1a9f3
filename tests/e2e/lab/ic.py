"""What scenarios of the integration services share: Debian's daemons in the guest, hvctl outside."""

import time

from . import scenario

FCOPY_UIO = "forky:hyperv-daemons:usr/sbin/hv_fcopy_uio_daemon"  # Debian's 6.12 package has none
PROGRAMS = ["hvctl"]
SECONDS = 60  # for anything that the guest has to notice by itself

# Guest side: start_daemons, kvp_items POOL, kvp_put POOL KEY VALUE, wait_go N.
SHELL = r"""
. /run/e2e/lib.sh
modprobe hv_utils || fail "hv_utils"
killall() { /run/e2e/busybox killall "$@" || fail "killall $*"; }
start_daemons()
{
	for daemon in "$@"; do
		tries=0
		until [ -e /dev/vmbus/hv_${daemon%_daemon} ] || [ $daemon = fcopy_uio_daemon ]; do
			tries=$((tries + 1))
			[ $tries -lt 100 ] || fail "no /dev/vmbus/hv_${daemon%_daemon}"
			sleep 0.1
		done
		PATH=$PATH:/run/e2e hv_$daemon || fail "hv_$daemon does not start"
	done
}
kvp_items()
{
	file=/var/lib/hyperv/.kvp_pool_$1
	size=$(stat -c %s $file) at=0
	while [ $at -lt "$size" ]; do
		# What is behind the NUL is whatever was in the daemon's memory.
		printf '%s=' "$(dd if=$file bs=512 skip=$((at / 512)) count=1 status=none |
			tr '\0' '\n' | head -n 1)"
		dd if=$file bs=512 skip=$((at / 512 + 1)) count=4 status=none | tr '\0' '\n' | head -n 1
		at=$((at + 2560))
	done
}
kvp_put()
{
	(
		printf %s "$2" | dd bs=512 count=1 conv=sync status=none
		printf %s "$3" | dd bs=2048 count=1 conv=sync status=none
	) >> /var/lib/hyperv/.kvp_pool_$1
}
"""


def service(lab, name):
    """Its status."""
    return next(s for s in lab.hvctl_json("services")["services"] if s["service"] == name)


def until(lab, what, condition, seconds=SECONDS):
    """What condition() returns, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise scenario.Failed(f"not within {seconds} s: {what}")
        time.sleep(0.2)
    return found


def until_ready(lab, *names):
    for name in names:
        until(lab, f"{name} is ready", lambda name=name: service(lab, name)["ready"])
