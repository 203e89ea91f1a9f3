"""Files of every awkward size arrive whole; cancelled, refused and failed copies say so."""

import shlex

from lab import ic, images

PACKAGES = images.TOOLS
PROGRAMS = [*ic.PROGRAMS, ic.FCOPY_UIO]

SIZES = [0, 1, 6143, 6144, 6145, 3_000_000]
COPY_SECONDS = 900  # the large one
LARGE = 100_000_000
CANCELLED = 30_000_000
OPTIONS = ["--services", "all"]

SCRIPT = ic.SHELL + r"""
if [ -x /usr/sbin/hv_fcopy_daemon ]; then
	start_daemons kvp_daemon fcopy_daemon
else
	modprobe uio_hv_generic || fail "uio_hv_generic"
	start_daemons kvp_daemon
	tries=0
	until hv_fcopy=/run/e2e/hv_fcopy_uio_daemon && [ -e /sys/bus/vmbus/devices/eb765408-105f-49b6-b4aa-c123b64d17d4/uio ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "no uio device: $(ls /sys/bus/vmbus/devices)"
		sleep 0.1
	done
	$hv_fcopy || fail "hv_fcopy_uio_daemon does not start"
fi
mkdir -p /small && mount -t tmpfs -o size=1m none /small
look()
{
	until kvp_items 0 | grep -qx 'go=look'; do sleep 1; done
	grep -s . /sys/bus/vmbus/devices/eb765408-*/in_* /sys/bus/vmbus/devices/eb765408-*/out_* \
		/sys/bus/vmbus/devices/eb765408-*/channels/*/* | sed 's|.*/eb765408[^/]*/|look |'
	for daemon in /proc/[0-9]*; do
		grep -qs '^hv_' $daemon/comm && cat $daemon/comm $daemon/stack
	done
	grep -i hyper /proc/interrupts
	dmesg | tail -n 20
	echo looked
}
look &
echo ready
until kvp_items 0 | grep -qx 'go=check'; do sleep 0.1; done
cd /copied && sha256sum file-* | sed 's/^/sum /'
ls -l /copied/deep/er/path/ | sed 's/^/deep /'
[ ! -e /small/too-large ] || echo "left $(stat -c %s /small/too-large)"
warnings | grep -iE 'hv_|vmbus|uio|BUG|WARNING|Call Trace|blocked for' && fail "see above"
exit 0
"""


def make(lab, name, size):
    """Random, but fast: the same again and again, at another place of each message."""
    lab.shell(
        "[ -e piece ] || head -c 1000003 /dev/urandom > piece; "
        f"for i in $(seq {size // 1000003 + 1}); do cat piece; done | head -c {size} > {name}"
    )


def copy(lab, guest, name):
    """If the guest does not answer, the log says how both sides see it."""
    command = ["copy-file", "--create-path", name, f"/copied/{name}"]
    status, _, err = lab.try_hvctl(*command, timeout=COPY_SECONDS)
    if status != 0:
        for look in ("heartbeat", "channel list", "services"):
            lab.try_hvctl(*look.split())
        lab.try_hvctl("kvp", "set", "go", "look")
        guest.wait_for("^looked$")
    lab.check(status == 0, f"{name}: {status}: {err.strip()}")


def run(lab):
    sizes = [*SIZES, LARGE] if lab.long else SIZES
    guest = lab.start(SCRIPT, options=OPTIONS, control=True, programs=["hv_fcopy_uio_daemon"])
    guest.wait_for("^ready$")
    ic.until_ready(lab, "file-copy")
    want = {}
    for size in sizes:
        name = f"file-{size}"
        make(lab, name, size)
        want[name] = lab.shell(f"sha256sum < {name}").split()[0]
        copy(lab, guest, name)
    # There already, and on purpose this time.
    status, _, err = lab.try_hvctl("copy-file", "file-1", "/copied/file-1")
    lab.check(status != 0 and "exist" in err, f"a file that is there: {status} {err}")
    lab.shell("head -c 5000 /dev/urandom > file-1")
    want["file-1"] = lab.shell("sha256sum < file-1").split()[0]
    lab.hvctl("copy-file", "--overwrite", "file-1", "/copied/file-1")
    # A directory that is missing; made when asked for.
    status, _, err = lab.try_hvctl("copy-file", "file-6144", "/copied/deep/er/path/file")
    lab.check(status != 0 and err, f"a missing directory: {status} {err}")
    lab.hvctl("copy-file", "--create-path", "file-6144", "/copied/deep/er/path/file")
    # The guest's disk is full.
    status, _, err = lab.try_hvctl("copy-file", "file-3000000", "/small/too-large")
    # The daemon of 6.12 only says that it failed.
    lab.check(status != 0 and ("full" in err or "failed" in err), f"a full disk: {status} {err}")
    # The client goes away half-way: the next copy is served.
    make(lab, "cancelled", CANCELLED)
    hvctl = shlex.join([lab.program("hvctl"), "--socket", "control"])
    lab.shell(f"({hvctl} copy-file cancelled /copied/cancelled >/dev/null 2>&1 & p=$!; sleep 2; kill -9 $p)")
    ic.until(lab, "the copy has ended", lambda: lab.try_hvctl(
        "copy-file", "--overwrite", "--create-path", "file-6145", "/copied/after")[0] == 0)  # fmt: skip
    lab.hvctl("kvp", "set", "go", "check")
    guest.finish()
    guest.check_end("poweroff")
    lines = guest.output.splitlines()
    got = dict(reversed(x.split()[1:]) for x in lines if x.startswith("sum "))
    lab.check(got == want, f"not the same files: {got}, wanted {want}")
    lab.check(any(x.startswith("deep ") and "6144" in x for x in lines), "no file in the new directory")
    lab.fact("sizes", sizes)
    # An old daemon removes what it could not finish, that of 6.12 can't.
    lab.fact("left on the full disk", [x for x in lines if x.startswith("left ")])
