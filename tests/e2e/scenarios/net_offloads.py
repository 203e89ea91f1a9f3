"""Every combination of checksum, segmentation, GRO and VLAN offloads carries the right bytes."""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = net.PROGRAMS

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
ip link add link "$nic" name vlan7 type vlan id 7 && addresses vlan7 7 || fail "no VLAN"
ethtool -k "$nic"
count=0
for tx in on off; do for rx in on off; do for tso in on off; do for gso in on off; do
for gro in on off; do for txvlan in on off; do for rxvlan in on off; do
	for feature in tx=$tx rx=$rx tso=$tso gso=$gso gro=$gro txvlan=$txvlan rxvlan=$rxvlan; do
		# What is fixed says so, and stays.
		ethtool -K "$nic" ${{feature%=*}} ${{feature#*=}} > /dev/null 2>&1
	done
	for host in 10.9.0.1 fd00:9:7::1; do
		/run/e2e/traffic tcp $host {net.PORT} 150000 2 > /tmp/out 2>&1 &&
			/run/e2e/traffic udp $host {net.PORT} 4 4000 > /tmp/out 2>&1 ||
			fail "$host tx=$tx rx=$rx tso=$tso gso=$gso gro=$gro txvlan=$txvlan" \
				"rxvlan=$rxvlan: $(cat /tmp/out)"
	done
	count=$((count + 1))
done; done; done; done; done; done; done
net_complaints && fail "see above"
echo "$count combinations"
exit 0
"""


def run(lab):
    options = net.tap(lab, 0)
    lab.shell("vconfig add lab0 7 && ip addr add 10.9.7.1/24 dev lab0.7 &&"
              f" {lab.program('ip')} addr add fd00:9:7::1/64 dev lab0.7 nodad && ip link set lab0.7 up")  # fmt: skip
    net.serve(lab)
    output = lab.boot(SCRIPT, cpus=2, programs=["traffic"], options=options)
    lab.check("128 combinations" in output, "not every combination was tried")
