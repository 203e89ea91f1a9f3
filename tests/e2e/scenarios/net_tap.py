"""A TAP with a queue for each CPU: TCP and UDP both ways, 1 and 8 streams, IPv4 and IPv6."""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = [*net.PROGRAMS, "iperf3"]

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
for host in 10.9.0.1 fd00:9:0::1; do
	/run/e2e/traffic tcp $host {net.PORT} BYTES 1 || fail "TCP to $host"
	/run/e2e/traffic tcp $host {net.PORT} BYTES 8 || fail "TCP to $host, 8 at a time"
	/run/e2e/traffic udp $host {net.PORT} 200 9000 || fail "UDP to $host"
	for streams in 1 8; do
		for how in "" "-R" "-u -b 50M" "-u -b 50M -R"; do
			iperf3 -c $host -P $streams -t SECONDS -f m $how > /tmp/iperf 2>&1 ||
				fail "iperf3 -P $streams $how: $(tail -n 3 /tmp/iperf)"
			echo "iperf3 $host -P $streams $how: $(grep -E 'sender|receiver' /tmp/iperf |
				tail -n 2 | xargs)"
		done
	done
done
for queue in 0 1 2 3; do
	ethtool -S "$nic" | sed -n "s/^ *\\([tr]x\\)_queue_\\($queue\\)_packets: \\(.*\\)/queue \\2: \\3 \\1/p"
done
ethtool -S "$nic" | grep -E 'tx_no_memory|tx_no_space|rx_no_memory' | grep -v ': 0$'
net_complaints && fail "see above"
exit 0
"""


def run(lab):
    script = SCRIPT.replace("BYTES", "20000000" if lab.long else "2000000")
    script = script.replace("SECONDS", "10" if lab.long else "1")
    net.serve(lab)
    net.serve(lab, f"{lab.program('iperf3')} -s")
    output = lab.boot(
        script, cpus=net.CPUS, programs=["traffic"], options=[*net.IO_THREADS, *net.tap(lab, 0)]
    )
    lines = output.splitlines()
    lab.fact("iperf3", [x for x in lines if x.startswith("iperf3 ")])
    queues = [x for x in lines if x.startswith("queue ")]
    lab.fact("packets", queues)
    lab.check(len(queues) == 2 * net.CPUS, f"not a queue for each CPU: {queues}")
    lab.check(not any(": 0 " in x for x in queues), f"no traffic: {queues}")
