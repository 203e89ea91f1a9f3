"""What ethtool says of channels, hashes, rings, offloads and statistics, and what it can change."""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = net.PROGRAMS

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
works() {{ /run/e2e/traffic tcp 10.9.0.1 {net.PORT} 300000 8 > /tmp/out 2>&1 || fail "$*: $(cat /tmp/out)"; }}
combined() {{ ethtool -l "$nic" | sed -n "s/^Combined:[[:space:]]*//p" | sed -n "$1p"; }}
works "at the beginning"
[ "$(combined 1)" -ge {net.CPUS} ] && [ "$(combined 2)" = {net.CPUS} ] || fail "channels: $(ethtool -l $nic)"
for n in 1 2 {net.CPUS}; do
	ethtool -L "$nic" combined $n || fail "ethtool -L $n"
	[ "$(combined 2)" = $n ] || fail "$(ethtool -l $nic)"
	works "with $n channels"
done
ethtool -x "$nic" > /tmp/x || fail "ethtool -x"
grep -q 'RSS hash key' /tmp/x && grep -q 'toeplitz: on' /tmp/x || fail "$(cat /tmp/x)"
ethtool -X "$nic" equal 2 || fail "ethtool -X equal"
[ "$(ethtool -x "$nic" | sed -n '2,/RSS/p' | grep -oE ' [0-9]+' | sort -un | xargs)" ] || fail "table"
works "hashed to two channels"
key=$(for i in $(seq 40); do printf '%02x:' $i; done)
ethtool -X "$nic" hkey "${{key%:}}" || fail "ethtool -X hkey"
ethtool -x "$nic" | grep -q '^01:02:03:04' || fail "the key did not change: $(ethtool -x $nic)"
works "with another key"
ethtool -N "$nic" rx-flow-hash udp4 sdfn || fail "ethtool -N"
works "UDP hashed by ports"
ethtool -g "$nic" > /dev/null && ethtool -G "$nic" rx 512 tx 128 || fail "ethtool -G"
works "other rings"
ethtool -S "$nic" > /tmp/S || fail "ethtool -S"
[ "$(sed -n 's/ *rx_queue_0_packets: //p' /tmp/S)" -gt 0 ] || fail "no packet counted: $(cat /tmp/S)"
ethtool "$nic" | grep -q 'Link detected: yes' || fail "$(ethtool $nic)"
speed=$(cat /sys/class/net/$nic/speed)
[ "$speed" -gt 0 ] || fail "speed $speed"
ethtool -i "$nic" | grep -q 'driver: hv_netvsc' || fail "$(ethtool -i $nic)"
ethtool -k "$nic"
ip link set "$nic" down && ip link set "$nic" address {net.mac(9)} && ip link set "$nic" up ||
	fail "another address"
works "with another address"
net_complaints && fail "see above"
exit 0
"""


def run(lab):
    lab.machine.write(f"{lab.dir}/policy", b'{"mac-spoofing": true}')
    net.serve(lab)
    output = lab.boot(
        SCRIPT, cpus=net.CPUS, programs=["traffic"],
        options=[*net.IO_THREADS, *net.tap(lab, 0, policy=f"{lab.dir}/policy")],
    )  # fmt: skip
    lab.fact("features", [x for x in output.splitlines() if x.endswith((": on", ": off"))])
