"""Backups under a database and a writer of checksummed records: every image is whole."""

import json
import re
import shlex
import statistics
import time

from lab import ic, images

PACKAGES = images.TOOLS
PROGRAMS = ic.PROGRAMS

ROUNDS = 4
ROUNDS_LONG = 50
SECTORS = 262144

# Records that end with their own checksum, each flushed; and a database.
WRITER = r'''
import os, sqlite3, sys, zlib
base = sys.argv[1]
log = os.open(f"{base}/records", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
db = sqlite3.connect(f"{base}/db")
db.execute("pragma journal_mode=wal")
db.execute("create table if not exists t (n integer primary key, text)")
n = 0
while not os.path.exists("/tmp/stop"):
    text = f"{n} " + "x" * (n % 300)
    os.write(log, f"{text} {zlib.crc32(text.encode())}\n".encode())
    os.fsync(log)
    with db:
        db.execute("insert into t values (?, ?)", (n, text))
    n += 1
print("wrote", n)
'''
CHECKER = r'''
import sqlite3, sys, zlib
base = sys.argv[1]
count = 0
for line in open(f"{base}/records").read().splitlines():
    text, _, crc = line.rpartition(" ")
    if zlib.crc32(text.encode()) != int(crc) or not text.startswith(f"{count} "):
        sys.exit(f"torn record: {line!r} after {count}")
    count += 1
db = sqlite3.connect(f"{base}/db")
if (found := db.execute("pragma integrity_check").fetchone()[0]) != "ok":
    sys.exit(f"database: {found}")
rows = db.execute("select count(*), max(n) from t").fetchone()
if rows[0] and rows[1] != rows[0] - 1:
    sys.exit(f"rows are missing: {rows}")
if abs(rows[0] - count) > 1:
    sys.exit(f"{count} records and {rows[0]} rows")
print("whole", sys.argv[2], count)
'''

WRITES = ic.SHELL + r"""
disk=$(disk_of SECTORS) && mkfs.ext4 -q $disk && mkdir -p /data && mount $disk /data || fail "no disk"
start_daemons kvp_daemon vss_daemon
cat > /tmp/writer.py <<'END'
WRITER
END
python3 /tmp/writer.py /data &
until [ -s /data/records ] && [ -s /data/db ]; do sleep 0.1; done
echo writing
until kvp_items 0 | grep -qx 'go=frozen'; do sleep 0.1; done
# Whoever has asked for the freeze was killed: writes go on.
for i in 1 2 3; do dd if=/dev/zero of=/data/alive bs=4k count=1 conv=fsync status=none; echo alive $i; done
until kvp_items 0 | grep -qx 'go=no-daemon'; do sleep 0.1; done
killall hv_vss_daemon
echo no-daemon
until kvp_items 0 | grep -qx 'go=stop'; do sleep 0.1; done
touch /tmp/stop
wait
warnings | grep -iE 'hv_|vmbus|EXT4-fs (error|warning)|BUG|WARNING|Call Trace|blocked for' && fail "see above"
exit 0
"""

CHECKS = r"""
. /run/e2e/lib.sh
cat > /tmp/checker.py <<'END'
CHECKER
END
mkdir -p /data
for name in NAMES; do
	disk=$(disk_of $name)
	e2fsck -fn $disk > /tmp/fsck 2>&1 || fail "$name: $(cat /tmp/fsck)"
	mount $disk /data || fail "$name: cannot mount"
	python3 /tmp/checker.py /data $name || fail "$name: not whole"
	umount /data
done
exit 0
"""


def create(lab, *arguments):
    """The manifest of a new backup."""
    lab.hvctl("backup", "create", *arguments)
    return json.loads(lab.shell(f"cat {arguments[-1]}/manifest.json"))


def run(lab):
    rounds = ROUNDS_LONG if lab.long else ROUNDS
    lab.shell(f"truncate -s {SECTORS * 512} data.img && mkdir backups")
    script = WRITES.replace("SECTORS", str(SECTORS)).replace("WRITER", WRITER)
    guest = lab.start(script, disks=["data.img,id=data"], control=True)
    guest.wait_for("^writing$")
    ic.until_ready(lab, "vss", "kvp")
    frozen, held = [], []
    for number in range(rounds):
        parent = ["--parent", f"backups/{number - 1}"] if number % 4 else []
        manifest = create(lab, "--disk", "data", *parent, f"backups/{number}")
        frozen.append(manifest["frozen_ms"])
        held.append(manifest["held_us"] / 1000)
        lab.check(manifest["consistency"] == "application", manifest)
        lab.hvctl("backup", "verify", f"backups/{number}")
    for what, times in ("frozen", frozen), ("of that, held by the host", held):
        median = statistics.median(times)
        lab.fact(what, {"median_ms": median, "max_ms": max(times), "backups": rounds})
        lab.say(f"{what}: {median} ms (median of {rounds}), at most {max(times)} ms")

    hvctl = shlex.join([lab.program("hvctl"), "--socket", "control"])
    # hvctl runs the program when the guest is frozen.
    lab.shell(
        f"({hvctl} freeze -- sh -c '>is-frozen; exec sleep 15' >/dev/null 2>&1 & p=$!;"
        " until [ -e is-frozen ]; do sleep 0.1; done; kill -9 $p)"
    )
    begun = time.monotonic()
    lab.hvctl("kvp", "set", "go", "frozen")
    guest.wait_for("^alive 3$")
    lab.fact("seconds_until_writes_went_on", round(time.monotonic() - begun, 1))
    lab.check(time.monotonic() - begun < 10, "the guest was frozen for longer than 10 s")

    lab.hvctl("kvp", "set", "go", "no-daemon")
    guest.wait_for("^no-daemon$")
    status, _, err = lab.try_hvctl(
        "backup", "create", "--consistency", "application", "--disk", "data", "backups/refused"
    )
    lab.check(status != 0 and "daemon" in err, f"without a daemon: {status} {err}")
    crash = create(lab, "--consistency", "crash", "--disk", "data", "backups/crash")
    lab.check(crash["consistency"] == "crash", crash)
    lab.hvctl("kvp", "set", "go", "stop")
    guest.finish()
    guest.check_end("poweroff")

    # Each restored image has a size of its own, so that the guest can tell them apart.
    wanted = [*range(rounds), "crash"]
    for first in range(0, len(wanted), 8):
        names, disks = [], []
        for i, number in enumerate(wanted[first : first + 8]):
            chain = [number] if number == "crash" else range(number - number % 4, number + 1)
            lab.hvctl("backup", "restore", "--output", f"to{i}", *(f"backups/{n}" for n in chain))
            size = (SECTORS + (i + 1) * 8) * 512
            lab.shell(f"mv to{i}/data.img check{i}.img && truncate -s {size} check{i}.img")
            names.append(str(SECTORS + (i + 1) * 8))
            disks.append(f"check{i}.img")
        checks = CHECKS.replace("NAMES", " ".join(names)).replace("CHECKER", CHECKER)
        output = lab.repeat(lambda checks=checks, disks=disks: lab.boot(checks, disks=disks))
        lab.check(len(re.findall("^whole ", output, re.M)) == len(names), output)
        lab.shell("rm -rf check*.img to*")
