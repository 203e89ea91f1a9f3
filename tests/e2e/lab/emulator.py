"""The QEMU that L1 runs under.

With QEMU's software CPU, a CPU of a guest sometimes goes on with code that another CPU has just
patched; Linux patches itself all the time (static keys), and hangs or dies then. From 8.1 on this is
much rarer: QEMU locks a page while it translates code from it. Where the machine's QEMU is older,
the one from Debian's backports is unpacked under build/lab; the machine's packages stay as they are.
"""

import functools
import mmap
import re
import struct
from pathlib import Path

from . import host
from .host import LabError, progress, sh

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
GOOD = (8, 1)
CACHE = host.LAB / "qemu"


def version(program):
    found = re.search(r"version (\d+)\.(\d+)", sh(program, "--version"))
    return tuple(map(int, found.groups())) if found else (0, 0)


@functools.cache
def command():
    """How to call it. Cached."""
    host.need(PROGRAM)
    if version(PROGRAM) >= GOOD:
        return [host.which(PROGRAM)]
    program = CACHE / "usr/bin" / PROGRAM
    if not program.exists():
        try:
            _fetch()
        except LabError as e:
            progress(f"no newer QEMU from backports; guests may stop now and then: {e}")
            return [host.which(PROGRAM)]
    usr = CACHE / "usr"
    return [
        "env", f"LD_LIBRARY_PATH={usr}/lib/x86_64-linux-gnu",
        str(program), "-L", f"{usr}/share/qemu", "-L", f"{usr}/share/seabios",
    ]  # fmt: skip


# Offsets in a VMCB (AMD's manual, volume 2, appendix B); the processor keeps what it needs of the
# host in a page of the same form, with an empty control area.
ASID, EFER, CR3, CR0, RIP, RSP = 0x58, 0x4D0, 0x550, 0x558, 0x578, 0x5D8
CR0_OF_LINUX = 0x80050033
EFER_LONG_MODE = 0x400


def corrupted(pid):
    """Has this QEMU put its guest's own registers into a VMCB? See ../README.md, "An exit that is
    taken twice". Returns what was seen, or None."""
    guests, hosts = [], []
    for page in _pages(pid):
        if _u32(page, CR0) != CR0_OF_LINUX or _u64(page, EFER) & ~0xFFFF:
            continue
        if _u64(page, EFER) & EFER_LONG_MODE:
            registers = tuple(_u64(page, offset) for offset in (RIP, RSP, CR3))
            (guests if _u32(page, ASID) else hosts).append(registers)
    for registers in guests:
        if registers in hosts:
            return "rip {:#x}, rsp {:#x}, cr3 {:#x}".format(*registers)
    return None


def _pages(pid):
    """The guest's RAM: the largest mapping."""

    def size(line):
        begin, end = (int(x, 16) for x in line.split()[0].split("-"))
        return end - begin if line.split()[1].startswith("rw") else 0

    ram = max(Path(f"/proc/{pid}/maps").read_text().splitlines(), key=size)
    begin = int(ram.split("-")[0], 16)
    step = 16 << 20
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for offset in range(0, size(ram), step):
            memory.seek(begin + offset)
            chunk = memory.read(min(step, size(ram) - offset))
            # Most pages are not looked at: the register is rare.
            at = chunk.find(CR0_OF_LINUX.to_bytes(4, "little"))
            while at >= 0:
                if at % mmap.PAGESIZE == CR0:
                    yield chunk[at - CR0 : at - CR0 + mmap.PAGESIZE]
                at = chunk.find(CR0_OF_LINUX.to_bytes(4, "little"), at + 1)


def _u32(page, offset):
    return struct.unpack_from("<I", page, offset)[0]


def _u64(page, offset):
    return struct.unpack_from("<Q", page, offset)[0]


def _fetch():
    """Unpacks what an installation from backports would change on this machine."""
    host.need("apt-get", "dpkg-deb")
    progress("fetching a newer QEMU from Debian's backports")
    with host.making(CACHE) as scratch:
        apt = scratch / "apt"
        for name in ("sources", "lists/partial", "archives/partial"):
            (apt / name).mkdir(parents=True)
        (apt / "sources/debian.sources").write_text(_sources())
        get = [
            "apt-get", "-qq", "-o", "Dir::Etc::sourcelist=/dev/null",
            "-o", f"Dir::Etc::sourceparts={apt}/sources", "-o", f"Dir::State::lists={apt}/lists",
            "-o", f"Dir::Cache={apt}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=",
        ]  # fmt: skip
        sh(*get, "update")
        suite = f"{host.suite()}-backports"
        get += ["-y", "--no-install-recommends", "--download-only", "-t", suite]
        sh(*get, "install", PACKAGE)
        for deb in (apt / "archives").glob("*.deb"):
            sh("dpkg-deb", "-x", deb, scratch)
        if version(scratch / "usr/bin" / PROGRAM) < GOOD:
            raise LabError(f"{suite} has no newer one")
        sh("rm", "-r", apt)


def _sources():
    """The machine's own mirror of Debian, with backports."""
    wanted = f"Debian {host.suite()} main "
    form = "$(LABEL) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    targets = sh("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    found = [t.removeprefix(wanted) for t in targets if t.startswith(wanted)]
    if not found:
        raise LabError(f"no apt source has {wanted.strip()}")
    return "\n".join([
        "Types: deb",
        f"URIs: {found[0]}",
        f"Suites: {host.suite()} {host.suite()}-backports",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
        "",
    ])  # fmt: skip
