"""A program in the guest uses a device of examples/ through uio_hv_generic: every packet comes back."""

import re

PROGRAMS = ["hvrun-echo", "../../examples/echo-uio.c"]
PACKETS = 5000
PACKETS_LONG = 100000

SCRIPT = r"""
. /run/e2e/lib.sh
modprobe uio_hv_generic || fail "uio_hv_generic"
echo 6f686365-7327-6320-6c61-737320696400 > /sys/bus/vmbus/drivers/uio_hv_generic/new_id ||
	fail "the driver does not take the device"
# It is opened and closed twice.
/run/e2e/echo-uio 10 || fail "echo-uio"
/run/e2e/echo-uio PACKETS || fail "echo-uio"
warnings | grep -iE 'hv_|vmbus|uio|BUG|WARNING|Call Trace|blocked for' && fail "see above"
exit 0
"""


def run(lab):
    packets = PACKETS_LONG if lab.long else PACKETS
    output = lab.boot(
        SCRIPT.replace("PACKETS", str(packets)), vmm=lab.program("hvrun-echo"), programs=["echo-uio"]
    )
    sizes = re.search(rf"^{packets} packets of (1 to \d+ bytes) came back$", output, re.M)
    lab.check(sizes, output)
    lab.fact("packets", sizes[1])
