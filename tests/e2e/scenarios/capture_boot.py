"""What passes the VMBus while a guest boots is captured; tshark names every message of it."""

import base64
import gzip
import subprocess
import sys
import tempfile

from lab import host, ic, images, net

PACKAGES = images.TOOLS
PROGRAMS = ic.PROGRAMS

# The guest has used the disk, the adapter and the services when it prints "used".
SCRIPT = (
    ic.SHELL
    + rf"""
start_daemons kvp_daemon vss_daemon
nic=$(nic_of {net.mac(0)}) || fail "no network adapter"
udhcpc -i "$nic" -n -q -t 20 > /tmp/dhcp 2>&1 || fail "DHCP: $(cat /tmp/dhcp)"
dd if=/dev/urandom of=/root/file bs=64k count=8 conv=fsync status=none || fail "no write"
echo used
until kvp_items 0 | grep -qx 'go=end'; do sleep 0.1; done
exit 0
"""
)
WANTED = [
    "scsi", "QUERY_PROTOCOL_VERSION", "INQUIRY", "READ CAPACITY(16)", "SYNCHRONIZE CACHE(10)",
    "NVSP INIT", "NVSP SEND_RECEIVE_BUFFER_COMPLETE", "RNDIS INITIALIZE_COMPLETE",
    "RNDIS QUERY 802_3_PERMANENT_ADDRESS", "RNDIS SET GEN_CURRENT_PACKET_FILTER", "DHCP ACK",
    "IC NEGOTIATE answer", "IC HEARTBEAT answer", "IC TIMESYNC answer", "IC KVP request SET",
    "IC KVP answer ENUMERATE", "IC VSS answer FREEZE", "IC VSS answer THAW",
]  # fmt: skip


def metrics(lab):
    """Samples of OpenMetrics text."""
    lines = lab.hvctl("metrics").splitlines()
    return {k: float(v) for k, v in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


def check_counters(lab):
    channels = lab.hvctl_json("channel", "list")["channels"]
    used = {c["class"] for c in channels if c["state"] == "open" and c["counters"]["from-packets"]}
    lab.check(used >= {"scsi", "network", "heartbeat", "kvp", "time-sync", "vss"}, used)
    faults = sum(c["counters"]["faults"] for c in channels)
    lab.check(not faults, f"{faults} faults")
    seen = metrics(lab)
    lab.check(seen['hvs_disk_requests_total{disk="disk0",op="read"}'] > 100, "too few reads")
    lab.check(seen['hvs_disk_transferred_bytes_total{disk="disk0",op="write"}'] > 500000, "writes")


def check_capture(lab):
    packed = lab.shell("gzip -c vmbus.pcapng | base64")
    command = [sys.executable, host.REPO / "tests/wireshark/run"]
    for text in WANTED:
        command += ["--wants", text]
    with tempfile.NamedTemporaryFile(suffix=".pcapng") as file:
        file.write(gzip.decompress(base64.b64decode(packed)))
        file.flush()
        lab.fact("capture_bytes", file.tell())
        done = subprocess.run(
            [*command, "--capture", file.name], capture_output=True, text=True, check=False
        )
    lab.say(done.stdout.strip())
    lab.check(done.returncode == 0, done.stderr.strip()[-2000:])


def run(lab):
    host.need("tshark")
    guest = lab.start(
        SCRIPT, control=True,
        options=["--capture-vmbus", f"{lab.dir}/vmbus.pcapng", "--net", f"user,mac={net.mac(0)}"],
    )  # fmt: skip
    guest.wait_for("^used$")
    ic.until_ready(lab, "heartbeat", "time-sync", "kvp", "vss")
    lab.hvctl("kvp", "list", "--pool", "auto", "--refresh")
    lab.hvctl("freeze", "--", "true")
    check_counters(lab)
    lab.hvctl("kvp", "set", "go", "end")
    guest.finish()
    guest.check_end("poweroff")
    check_capture(lab)
