"""The link goes up and down, the interface too, the driver comes and goes: traffic always returns."""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = net.PROGRAMS

FLAPS = 100
FLAPS_LONG = 1000
RELOADS = 5
RELOADS_LONG = 20

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
works() {{ until_works /run/e2e/traffic tcp 10.9.0.1 {net.PORT} 50000 1; }}
carrier() {{ [ "$(cat /sys/class/net/$nic/carrier 2>/dev/null)" = "$1" ]; }}
works
(
	while [ ! -e /tmp/stop ]; do
		timeout 2 iperf3 -u -b 20M -t 1 -c 10.9.0.1 > /dev/null 2>&1
		ping -n -f -c 200 -W 1 10.9.0.1 > /dev/null 2>&1
	done
) &
i=0
while [ $i -lt FLAPS ]; do
	ip link set "$nic" down || fail "down, round $i"
	ip link set "$nic" up || fail "up, round $i"
	i=$((i + 1))
done
works
echo "interface"
i=0
while [ $i -lt RELOADS ]; do
	modprobe -r hv_netvsc || fail "cannot unload, round $i"
	nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter, round $i"
	works
	i=$((i + 1))
done
touch /tmp/stop
wait
echo "link down"
until_works carrier 0
echo "link up"
until_works carrier 1
works
echo "flap"
busybox nc -l -p 9002 < /dev/null
works
net_complaints && fail "see above"
exit 0
"""


def run(lab):
    script = SCRIPT.replace("FLAPS", str(FLAPS_LONG if lab.long else FLAPS))
    script = script.replace("RELOADS", str(RELOADS_LONG if lab.long else RELOADS))
    net.serve(lab)
    guest = lab.start(script, programs=["traffic"], options=net.tap(lab, 0), control=True)
    guest.wait_for("^link down")
    lab.control("net-link", net="net0", up=False)
    guest.wait_for("^link up")
    lab.control("net-link", net="net0", up=True)
    guest.wait_for("^flap")
    # Faster than a guest can follow: what counts is how it ends.
    for n in range(1000 if lab.long else 100):
        lab.control("net-link", net="net0", up=n % 2 == 1)
    lab.shell("until nc 10.9.0.2 9002 < /dev/null; do sleep 0.1; done")
    guest.finish()
    guest.check_end("poweroff")
