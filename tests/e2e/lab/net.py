"""What network scenarios share: TAPs on the machine hvrun runs on."""

CPUS = 4
IO_THREADS = ["--io-threads", "3"]  # a queue for each CPU
PORT = 9000
PROGRAMS = ["guest/traffic.c", "ip"]


def mac(n):
    return f"00:15:5d:09:00:{n:02x}"


def tap(lab, n, mtu=1500, **more):
    """Makes a TAP whose end on the machine has 10.9.N.1 and fd00:9:N::1; returns hvrun's options."""
    ip = lab.program("ip")  # busybox has one, too
    lab.shell(
        f"{ip} tuntap add dev lab{n} mode tap multi_queue && {ip} link set lab{n} mtu {mtu} up &&"
        f" {ip} addr add 10.9.{n}.1/24 dev lab{n} &&"
        f" {ip} addr add fd00:9:{n}::1/64 dev lab{n} nodad"
    )
    lab.on_close(f"{ip} link del lab{n}")
    keys = "".join(f",{name}={value}" for name, value in more.items())
    return ["--net", f"tap:lab{n},id=net{n},mac={mac(n)}{keys}"]


def serve(lab, *programs):
    """Servers that run until the scenario ends."""
    for program in programs or [f"{lab.program('traffic')} serve {PORT}"]:
        name = program.split()[0]
        lab.shell(f"{program} >/dev/null 2>&1 </dev/null &")
        lab.on_close(f"killall {name.rsplit('/', 1)[-1]} || true")
