"""Key-value pairs both ways, through hvctl and the guest's files; addresses read and set."""

from lab import ic, images, net

PACKAGES = images.TOOLS
PROGRAMS = [*ic.PROGRAMS, *net.PROGRAMS]
UUID = "6a1f0c1e-8d55-4a0b-9f3e-0d6f3f7b2c11"

SCRIPT = ic.SHELL + rf"""
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
# Debian has none: it leaves to the administrator how addresses are set.
cat > /usr/libexec/hypervkvpd/hv_set_ifconfig <<'END'
#!/bin/sh
. "$1"
ip addr flush dev $DEVICE
ip addr add $IPADDR0/24 dev $DEVICE && ip link set $DEVICE up || exit 1
[ -z "$GATEWAY" ] || ip route replace default via $GATEWAY
cp "$1" /tmp/ifcfg
END
chmod +x /usr/libexec/hypervkvpd/hv_set_ifconfig
start_daemons kvp_daemon
has() {{ tries=0; until kvp_items $1 | grep -qxF "$2"; do tries=$((tries + 1)); [ $tries -lt 600 ] ||
	fail "pool $1 never had '$2': $(kvp_items $1)"; sleep 0.1; done; }}
has_not() {{ tries=0; while kvp_items $1 | grep -qF "$2"; do tries=$((tries + 1)); [ $tries -lt 600 ] ||
	fail "pool $1 still has '$2'"; sleep 0.1; done; }}
has 0 early=before
has 3 "VirtualMachineName=lab"
has 0 "with space=Grüße aus 東京"
has 0 replaced=two
has_not 0 gone=
echo host-pairs
kvp_put 1 "from guest" "a value = with signs"
kvp_put 1 second 2
has 0 seen=1
# The daemon dies while the host goes on, and comes back.
killall -9 hv_kvp_daemon
echo killed
sleep 3
start_daemons kvp_daemon
has 0 late=while-away
echo addresses
has 0 addresses=set
ip -4 addr show dev "$nic" | grep -q 'inet 10.9.0.77/24' || fail "no address: $(ip addr)"
grep -q '^DEVICE=' /tmp/ifcfg || fail "no file: $(cat /tmp/ifcfg)"
warnings | grep -iE 'hv_|vmbus|BUG|WARNING|Call Trace|blocked for' && fail "see above"
exit 0
"""


def run(lab):
    store = ["--kvp-store", f"{lab.dir}/pairs.json", "--uuid", UUID]
    options = ["--name", "lab", *store, *net.tap(lab, 0)]
    guest = lab.start(SCRIPT, cpus=2, options=options, control=True)
    ic.until(lab, "hvrun listens", lambda: lab.try_hvctl("version")[0] == 0)
    # Nobody is there yet: kept, and told when somebody is.
    lab.check(not lab.hvctl_json("kvp", "set", "early", "before")["delivered"], "delivered early")
    ic.until_ready(lab, "kvp")
    lab.hvctl("kvp", "set", "with space", "Grüße aus 東京")
    lab.hvctl("kvp", "set", "replaced", "one")
    lab.hvctl("kvp", "set", "replaced", "two")
    lab.hvctl("kvp", "set", "gone", "x")
    lab.hvctl("kvp", "delete", "gone")
    status, _, err = lab.try_hvctl("kvp", "delete", "gone")
    lab.check(status != 0 and "gone" in err, f"a key that is not there: {status} {err}")
    guest.wait_for("^host-pairs$")

    def pairs():
        items = lab.hvctl_json("kvp", "list", "--pool", "guest", "--refresh")["items"]
        return {x["key"]: x["value"] for x in items}

    want = {"from guest": "a value = with signs", "second": "2"}
    ic.until(lab, "the guest's pairs", lambda: pairs() == want)
    auto = {x["key"]: x["value"] for x in lab.hvctl_json("kvp", "list", "--refresh")["items"]}
    lab.fact("auto", auto)
    lab.check(auto["ProcessorArchitecture"] == "x86_64", auto)
    lab.check(lab.hvctl("kvp", "get", "OSName").strip() == auto["OSName"], "kvp get")
    lab.hvctl("kvp", "set", "seen", "1")
    guest.wait_for("^killed$")
    lab.hvctl("kvp", "set", "late", "while-away")
    guest.wait_for("^addresses$")
    ip = lab.hvctl_json("ip", "get", "net0")
    lab.fact("addresses", ip)
    lab.check("10.9.0.2/24" in ip["addresses"], ip)
    lab.check("fd00:9:0::2/64" in ip["addresses"] or "fd00:9::2/64" in ip["addresses"], ip)
    lab.hvctl("ip", "set", "net0", "--address", "10.9.0.77/24", "--gateway", "10.9.0.1")
    ic.until(
        lab, "the new address", lambda: "10.9.0.77/24" in lab.hvctl_json("ip", "get", "net0")["addresses"]
    )
    status, _, err = lab.try_hvctl("ip", "set", "net0", "--address", "10.9.0.777/24")
    lab.check(status == 2, f"not an address: {status} {err}")
    lab.hvctl("kvp", "set", "addresses", "set")
    guest.finish()
    guest.check_end("poweroff")
