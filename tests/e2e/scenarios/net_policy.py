"""Port policy, changed while the guest runs: each rule drops what it must, counts it, and no more."""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = [*net.PROGRAMS, "iperf3"]

# What the guest announces, the policy that it gets then, and what has been counted at the next step.
STEPS = {
    "open": ({}, None),
    "spoofing guard": ({}, "mac-spoofing"),
    "spoofing": ({"mac-spoofing": True}, None),
    "router guard": ({"router-guard": True}, "router-guard"),
    "router": ({}, None),
    "dhcp guard": ({"dhcp-guard": True}, "dhcp-guard"),
    "dhcp": ({}, None),
    "deny": ({"rules": [{"action": "deny", "direction": "out", "remote": "10.9.0.9"}]}, "denied"),
    "allow": (
        {
            "rules": [
                {"action": "deny", "remote": "10.9.0.0/24"},
                {"action": "meter", "remote": "10.9.0.9"},
            ]
        },
        "metered-out-frames",
    ),
    "quarantine": ({"quarantine": ["10.9.0.9"]}, "quarantine"),
    "access": ({"vlan": 7}, None),
    "trunk": ({"vlan": [7, 8], "native-vlan": 8}, "vlan"),
    "limit": ({"max-bits-per-second": 8000000}, None),
    "end": ({}, None),
}

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
step() {{ echo "step $*"; }}
ping1() {{ ping -n -c 1 -W 1 "$@"; }}
forget() {{ ip neigh flush dev "$nic"; }}
step open
until_works ping1 10.9.0.1
until_works ping1 10.9.0.9

# Another address as the source: its answers come back only if the guard is off.
ip link add link "$nic" name other address 00:15:5d:09:99:99 type macvlan mode bridge
ip addr add 10.9.5.2/24 dev other && ip link set other up
step "spoofing guard"
until_fails ping1 -I other 10.9.5.1
until_works ping1 10.9.0.1
step spoofing
until_works ping1 -I other 10.9.5.1
ip link del other

cat > /tmp/radvd.conf <<EOF
interface $nic {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
	prefix fd00:77::/64 {{ }}; }};
EOF
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
step "router guard"
busybox nc -l -p 9002 < /dev/null
radvd -C /tmp/radvd.conf -p /tmp/radvd.pid -m none || fail "radvd"
echo "advertising"
busybox nc -l -p 9002 < /dev/null
step router
busybox nc -l -p 9002 < /dev/null
kill $(cat /tmp/radvd.pid)

printf 'start 10.9.0.50\nend 10.9.0.60\ninterface %s\nlease_file /tmp/leases\n' $nic > /tmp/udhcpd.conf
touch /tmp/leases
busybox udhcpd -f /tmp/udhcpd.conf > /tmp/udhcpd.log 2>&1 &
step "dhcp guard"
busybox nc -l -p 9002 < /dev/null
step dhcp
busybox nc -l -p 9002 < /dev/null

step deny
until_fails ping1 10.9.0.9
until_works ping1 10.9.0.1
step allow
until_works ping1 10.9.0.9
until_fails ping1 10.9.0.1
step quarantine
until_works ping1 10.9.0.9
until_fails ping1 10.9.0.1

# In VLAN 7 the machine is 10.9.7.1, in VLAN 8 it is 10.9.8.1.
ip addr add 10.9.7.2/24 dev "$nic" && ip addr add 10.9.8.2/24 dev "$nic"
forget
step access
until_works ping1 10.9.7.1
until_fails ping1 10.9.0.1
step trunk
ip addr del 10.9.7.2/24 dev "$nic"
ip link add link "$nic" name v7 type vlan id 7 && ip addr add 10.9.7.2/24 dev v7 && ip link set v7 up
ip link add link "$nic" name v9 type vlan id 9 && ip addr add 10.9.9.2/24 dev v9 && ip link set v9 up
forget
until_works ping1 10.9.8.1
until_works ping1 10.9.7.1
until_fails ping1 10.9.9.1
until_fails ping1 10.9.0.1
forget
step limit
until_works ping1 10.9.0.1
iperf3 -c 10.9.0.1 -t 4 -O 1 -f k -i 0 > /tmp/iperf || fail "iperf3: $(tail -n 3 /tmp/iperf)"
kbits=$(sed -n 's|.* \([0-9.]*\) Kbits/sec *receiver|\1|p' /tmp/iperf)
echo "limit of 8000 kbit/s: $kbits"
[ "${{kbits%.*}}" -le 8800 ] && [ "${{kbits%.*}}" -ge 2000 ] || fail "$kbits kbit/s"
step end
until_works /run/e2e/traffic tcp 10.9.0.1 {net.PORT} 100000 1
net_complaints && fail "see above"
exit 0
"""


def run(lab):
    options = net.tap(lab, 0)
    lab.shell("ip addr add 10.9.0.9/24 dev lab0 && ip addr add 10.9.5.1/24 dev lab0")
    for vlan in 7, 8, 9:
        lab.shell(f"vconfig add lab0 {vlan} && ip addr add 10.9.{vlan}.1/24 dev lab0.{vlan} &&"
                  f" ip link set lab0.{vlan} up")  # fmt: skip
    lab.shell("echo 2 > /proc/sys/net/ipv6/conf/lab0/accept_ra")
    net.serve(lab)
    net.serve(lab, f"{lab.program('iperf3')} -s")
    guest = lab.start(SCRIPT, programs=["traffic"], options=options, control=True)
    wanted = None
    for step, (policy, counter) in STEPS.items():
        guest.wait_for(f"^step {step}$")
        counts = lab.control("nets")["nets"][0]["counters"]
        if wanted:
            lab.check(counts[wanted], f"before '{step}' nothing was counted as {wanted}")
        wanted = counter
        lab.control("net-policy", net="net0", policy=policy)
        act(lab, guest, step)
    lab.fact("counters", counts)
    guest.finish()
    guest.check_end("poweroff")
    lab.fact("limit", [x.strip() for x in guest.output.splitlines() if x.startswith("limit of")])


def go_on(lab):
    """What the guest waits for with nc."""
    lab.shell("until nc 10.9.0.2 9002 < /dev/null; do sleep 0.1; done")


def act(lab, guest, step):
    """What the machine does to see whether a guest that plays router or DHCP server gets through."""
    route = f"{lab.program('ip')} -6 route show dev lab0 | grep -q fd00:77"
    lease = "udhcpc -i lab0 -n -q -t 3 -T 1 -s /bin/true"
    if step == "router guard":
        go_on(lab)
        guest.wait_for("^advertising$")
        lab.shell(f"sleep 9; ! {route}")
        go_on(lab)
    elif step == "router":
        lab.shell(f"t=0; until {route}; do t=$((t + 1)); [ $t -lt 300 ] || exit 1; sleep 0.1; done")
        go_on(lab)
    elif step == "dhcp guard":
        lab.shell(f"! {lease}")
        go_on(lab)
    elif step == "dhcp":
        lab.shell(lease)
        go_on(lab)
