"""200 MB of random data on the root disk are the same after the guest has rebooted."""

WRITE = r"""
set -e
dd if=/dev/urandom of=/data bs=1M count=200 status=none
sync
sha256sum < /data
"""

READ = r"""
sync
echo 3 > /proc/sys/vm/drop_caches
sha256sum < /data
"""


def run(lab):
    written = lab.boot(WRITE, end="reboot").strip()
    lab.check(len(written) == 67, f"unexpected output: {written}")
    read = lab.boot(READ).strip()
    lab.fact("data_written", written.split()[0])
    lab.fact("data_read", read.split()[0])
    lab.check(written == read, f"sha256 was {written}, after the reboot it is {read}")
    lab.fact("data", f"200 MB written, synced, read after a reboot: equal (sha256 {read[:16]}...)")
