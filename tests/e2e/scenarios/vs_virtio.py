"""The same fio jobs on the same image, through hvrun and through QEMU's virtio-blk: a table."""

from lab import images

PACKAGES = images.TOOLS
PROGRAMS = ["stand-in/hvrun-qemu"]

SECONDS = 3
SECONDS_LONG = 15
MEGABYTES = 128

# fio's options; whether it reads or writes
JOBS = {
    "4 KiB random read, depth 1": ("--rw=randread --bs=4k --iodepth=1", "read"),
    "4 KiB random write, depth 1": ("--rw=randwrite --bs=4k --iodepth=1", "write"),
    "4 KiB random read, depth 32": ("--rw=randread --bs=4k --iodepth=32", "read"),
    "4 KiB random write, depth 32": ("--rw=randwrite --bs=4k --iodepth=32", "write"),
    "128 KiB sequential read, depth 8": ("--rw=read --bs=128k --iodepth=8", "read"),
    "128 KiB sequential write, depth 8": ("--rw=write --bs=128k --iodepth=8", "write"),
}
IOPS = {"read": 7, "write": 48}  # columns of fio's terse output, version 3

SCRIPT = r"""
. /run/e2e/lib.sh
cd /tmp
fio --minimal --filename=$(disk_of SECTORS) --direct=1 --ioengine=libaio --thread --stonewall \
	--time_based --runtime=SECONDS --ramp_time=1 JOBS || fail "fio"
exit 0
"""


def iops(lab, script, **kwargs):
    """[IOPS] of the jobs"""
    output = lab.boot(script, disks=["data.img"], **kwargs)
    rows = [line.split(";") for line in output.splitlines() if line.startswith("3;fio-")]
    lab.check(len(rows) == len(JOBS), f"unexpected output: {output}")
    return [float(row[IOPS[kind]]) for row, (_, kind) in zip(rows, JOBS.values())]


def run(lab):
    lab.shell(f"dd if=/dev/zero of=data.img bs=1M count={MEGABYTES}")
    jobs = " ".join(f"--name=job{i} {options}" for i, (options, _) in enumerate(JOBS.values()))
    seconds = SECONDS_LONG if lab.long else SECONDS
    script = SCRIPT.replace("SECTORS", str(MEGABYTES * 2048)).replace("JOBS", jobs)
    script = script.replace("SECONDS", str(seconds))
    ours = iops(lab, script)
    qemu = iops(lab, script, vmm=lab.program("hvrun-qemu"), options=["--virtio-blk"])
    rows = [
        {"job": job, "hvrun_iops": a, "virtio_blk_iops": b, "ratio": round(a / b, 2) if b else None}
        for job, a, b in zip(JOBS, ours, qemu)
    ]
    lab.fact("table", rows)
    lines = [f"{'I/O per second':36}{'hvrun':>10}{'virtio-blk':>12}{'ratio':>8}"]
    line = "{job:36}{hvrun_iops:10.0f}{virtio_blk_iops:12.0f}{ratio:8}"
    lines += [line.format(**row) for row in rows]
    lab.say("\n".join(lines))
    lab.check(all(ours) and all(qemu), "a job did no I/O at all")
