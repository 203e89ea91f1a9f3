"""The guest's clock is set at boot, and again after it was wrong by years."""

import time

from lab import ic, images

PACKAGES = images.TOOLS
PROGRAMS = ic.PROGRAMS

SCRIPT = ic.SHELL + r"""
now() { echo "clock $1 $(date +%s)"; }
sleep 3
now boot
for wrong in "2001-02-03 04:05:06" "2040-01-01 00:00:00"; do
	date -s "$wrong" > /dev/null || fail "date"
	now wrong
	tries=0
	while [ "$(date +%Y)" = "${wrong%%-*}" ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "the clock was not set: $(date)"
		sleep 0.1
	done
	now set
done
[ -e /dev/ptp_hyperv ] || [ "$(cat /sys/class/ptp/ptp*/clock_name)" = hyperv ] || fail "no PTP clock"
warnings | grep -iE 'hv_|vmbus|BUG|WARNING|Call Trace|blocked for' && fail "see above"
exit 0
"""


def run(lab):
    guest = lab.start(SCRIPT, control=True)
    errors = []

    def compare(what):
        guest_seconds = int(guest.wait_for(rf"^clock {what} (\d+)$").group(1))
        host_seconds = int(lab.shell("date +%s"))
        errors.append(guest_seconds - host_seconds)
        return abs(errors[-1]) <= 2

    lab.check(compare("boot"), f"the clock at boot is off by {errors[-1]} s")
    for _ in range(2):
        lab.check(not compare("wrong"), "the clock was not wrong")
        time.sleep(0.5)
        lab.hvctl("time-sync")
        lab.check(compare("set"), f"the clock is off by {errors[-1]} s")
    lab.fact("seconds_off", errors)
    guest.finish()
    guest.check_end("poweroff")
