"""iperf3 between guest and TAP, through hvrun and through QEMU's virtio-net: a table.

Both move frames with one thread; vhost-net is the kernel's.
"""

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = [*net.PROGRAMS, "iperf3", "stand-in/hvrun-qemu"]

SECONDS = 2
SECONDS_LONG = 10

# iperf3's options
JOBS = {
    "TCP from the guest, 1 stream": "-P 1",
    "TCP from the guest, 8 streams": "-P 8",
    "TCP to the guest, 1 stream": "-P 1 -R",
    "TCP to the guest, 8 streams": "-P 8 -R",
    "UDP from the guest, 1,400 B": "-u -b 0 -l 1400",
    "TCP from the guest, 88 B": "-P 1 -M 88",
    "TCP to the guest, 88 B": "-P 1 -M 88 -R",
}

SCRIPT = rf"""
. /run/e2e/lib.sh
modprobe virtio_net 2> /dev/null
nic=$(nic_of {net.mac(0)}) && addresses "$nic" 0 || fail "no network adapter"
ethtool -L "$nic" combined {net.CPUS} 2> /dev/null
job()
{{
	iperf3 -c 10.9.0.1 -t SECONDS -O 1 -f m "$@" > /tmp/iperf 2>&1 ||
		fail "iperf3 $*: $(tail -n 3 /tmp/iperf)"
	echo "job: $(grep receiver /tmp/iperf | tail -n 1 | sed 's/ Mbits.*//; s/.* //')"
}}
JOBS
exit 0
"""


def rates(lab, script, options, **kwargs):
    """[Mbit/s] of the jobs"""
    output = lab.boot(script, cpus=net.CPUS, options=options, **kwargs)
    found = [float(x.split()[1]) for x in output.splitlines() if x.startswith("job: ")]
    lab.check(len(found) == len(JOBS), f"unexpected output: {output}")
    return found


def run(lab):
    ours = net.tap(lab, 0)
    net.serve(lab, f"{lab.program('iperf3')} -s")
    script = SCRIPT.replace("JOBS", "\n".join(f"job {options}" for options in JOBS.values()))
    script = script.replace("SECONDS", str(SECONDS_LONG if lab.long else SECONDS))
    columns = {"hvrun": rates(lab, script, ours)}
    for peer in "virtio-net", "vhost-net":
        columns[peer] = rates(
            lab, script, [f"--{peer}", f"lab0,{net.mac(0)}"], vmm=lab.program("hvrun-qemu")
        )
    rows = []
    for i, job in enumerate(JOBS):
        row = {"job": job, **{name: rate[i] for name, rate in columns.items()}}
        for peer in "virtio-net", "vhost-net":
            row[f"to {peer}"] = round(row["hvrun"] / row[peer], 2) if row[peer] else None
        rows.append(row)
    lab.fact("table", rows)
    names = [name for name in rows[0] if name != "job"]
    lines = [f"{'Mbit/s':32}" + "".join(f"{name:>14}" for name in names)]
    lines += [f"{row['job']:32}" + "".join(f"{row[name]!s:>14}" for name in names) for row in rows]
    lab.say("\n".join(lines))
    lab.check(all(r["hvrun"] and r["virtio-net"] and r["vhost-net"] for r in rows), "no traffic")
