"""MTUs from 68 to 9,000: packets of every size (--long; else of many) come back."""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = net.PROGRAMS

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
echo 0 0 > /proc/sys/net/ipv4/ping_group_range
ip link set "$nic" mtu 9000 || fail "MTU 9000"
/run/e2e/traffic ping 10.9.0.1 68 9000 STEP || fail "IPv4"
/run/e2e/traffic ping fd00:9:0::1 68 9000 STEP || fail "IPv6"
/run/e2e/traffic tcp 10.9.0.1 {net.PORT} 1000000 4 || fail "TCP"
for mtu in 68 576 1280 1500 4000 9000; do
	ip link set "$nic" mtu $mtu || fail "MTU $mtu"
	/run/e2e/traffic ping 10.9.0.1 68 68 1 || fail "IPv4, MTU $mtu"
	/run/e2e/traffic ping 10.9.0.1 $mtu $mtu 1 || fail "IPv4, MTU $mtu"
done
net_complaints && fail "see above"
exit 0
"""


def run(lab):
    net.serve(lab)
    output = lab.boot(
        SCRIPT.replace("STEP", "1" if lab.long else "37"), cpus=2, programs=["traffic"], options=net.tap(lab, 0, mtu=9000)
    )
    lab.fact("traffic", [x for x in output.splitlines() if "again" in x])
