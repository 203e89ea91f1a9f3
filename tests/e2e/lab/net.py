"""What network scenarios share: packages, and TAPs on the machine hvrun runs on."""

PACKAGES = ["busybox", "curl", "ethtool", "iperf3", "iproute2", "udhcpc"]
CPUS = 4
IO_THREADS = ["--io-threads", "3"]  # a queue for each CPU
PORT = 9000


def mac(n):
    return f"00:15:5d:09:00:{n:02x}"


def tap(n, **more):
    """hvrun's options for the NIC n on a TAP of its own."""
    keys = "".join(f",{name}={value}" for name, value in more.items())
    return ["--net", f"tap:lab{n},id=net{n},mac={mac(n)}{keys}"]


def addresses(lab, n, mtu=1500):
    """The machine's end of that TAP, once hvrun has made it."""
    lab.shell(
        f"t=0; until [ -e /sys/class/net/lab{n} ]; do t=$((t + 1)); [ $t -lt 100 ] || exit 1;"
        f" sleep 0.1; done; ip link set lab{n} mtu {mtu} up; ip addr add 10.9.{n}.1/24 dev lab{n};"
        f" ip addr add fd00:9:{n}::1/64 dev lab{n} nodad"
    )


def serve(lab, *programs):
    """Servers that run until the scenario ends."""
    for program in programs or [f"{lab.program('traffic')} serve {PORT}"]:
        name = program.split()[0]
        lab.shell(f"{program} >/dev/null 2>&1 </dev/null &")
        lab.on_close(f"killall {name.rsplit('/', 1)[-1]} || true")
