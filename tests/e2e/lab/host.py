"""What the lab needs from the machine it runs on: paths, tools, commands, the cache lock."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

E2E = Path(__file__).resolve().parent.parent
REPO = E2E.parent.parent
LAB = REPO / "build" / "lab"

# Every program the lab starts on this machine, and the Debian package that has it.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "qemu-nbd": "qemu-utils",
    "genisoimage": "genisoimage",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
    "cc": "build-essential",
    "busybox": "busybox-static",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "depmod": "kmod",
    "zstd": "zstd",
    "newuidmap": "uidmap",
    "setpriv": "util-linux",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}

START = time.monotonic()


class LabError(Exception):
    """The lab itself cannot go on (as opposed to a scenario that found a fault)."""


def progress(text):
    """One line of progress on stderr, with the time since the start; stdout belongs to results."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


def which(tool):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(tool, path=path)


def is_dynamic(program):
    with open(program, "rb") as f:
        head = f.read(65536)
    return head.startswith(b"\x7fELF") and b"/ld-linux" in head


def need(*tools):
    """Make sure these TOOLS are installed: the only place that installs packages here."""
    missing = [t for t in tools if not which(t)]
    # busybox goes into initramfs images alone, so it has to be the static one.
    if "busybox" in tools and "busybox" not in missing and is_dynamic(which("busybox")):
        missing.append("busybox")
    if not missing:
        return
    packages = sorted({TOOLS[t] for t in missing})
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0:
        raise LabError(f"these packages are needed: run as root: {' '.join(command)}")
    progress(f"installing {' '.join(packages)}")
    if apt(command).returncode != 0:
        update_package_lists()
        done = apt(command)
        if done.returncode != 0:
            raise LabError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def apt(command):
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    options = dict(stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return subprocess.run(command, env=env, **options)


def update_package_lists():
    """Fresh machines have no lists, old ones name packages that are gone. Only root can do it."""
    if os.geteuid() == 0:
        progress("apt-get update")
        apt(["apt-get", "update"])


def mirror():
    """The mirror of Debian that this machine's packages come from."""
    wanted = f"Debian {suite()} main "
    form = "$(LABEL) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    targets = sh("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    found = [t.removeprefix(wanted) for t in targets if t.startswith(wanted)]
    if not found:
        raise LabError(f"no apt source has {wanted.strip()}")
    return found[0]


def suite():
    """The name of this machine's Debian."""
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.M)
    if not found:
        raise LabError("/etc/os-release has no VERSION_CODENAME: which Debian suite is this?")
    return found.group(1)


def sh(*command, **kwargs):
    """Run a tool and return its stdout; LabError with its stderr when it fails."""
    tool = which(str(command[0]))
    if tool is None:
        raise LabError(f"{command[0]} is not installed")
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([tool, *map(str, command[1:])], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
        raise LabError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{tail}")
    return done.stdout


def digest(*parts):
    """A short stable name for the given strings, bytes and files (by content)."""
    h = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        elif isinstance(part, str):
            part = part.encode()
        h.update(len(part).to_bytes(8, "little") + part)
    return h.hexdigest()[:12]


@contextlib.contextmanager
def cache_lock():
    """Held while something is made in build/lab, so that two runs do not make it twice."""
    LAB.mkdir(parents=True, exist_ok=True)
    with open(LAB / ".lock", "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that prepares images")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def making(final):
    """Gives a scratch directory beside `final`; what the body leaves in it becomes `final`."""
    scratch = final.with_name(final.name + ".tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        scratch.rename(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
