"""The QEMU that L1 runs under.

QEMU's software CPU had faults that showed with a guest in a guest: see ../README.md. 11.1 is the
oldest that is known to do; where the machine's QEMU is older, the one from the backports of a newer
Debian is unpacked under build/lab, with all libraries it needs; the machine's packages stay as they are.
"""

import functools
import mmap
import re
import struct
import time
from pathlib import Path

from . import debian, host
from .host import LabError, progress, sh

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
GOOD = (11, 1)
SUITE = "trixie"
CACHE = host.LAB / "qemu-11"


def version(*program):
    found = re.search(r"version (\d+)\.(\d+)", sh(*program, "--version"))
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
            progress(f"no newer QEMU; guests will stop now and then: {e}")
            return [host.which(PROGRAM)]
    return _call(CACHE)


def _call(root):
    """QEMU's libraries are newer than the machine's, so it is started by the loader they came with."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    return [
        str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries),
        str(root / "usr/bin" / PROGRAM), "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios",
    ]  # fmt: skip


class Watch:
    """Looks at a running QEMU for two faults of its software CPU: see ../README.md."""

    SECONDS = 6  # L1 has each of its CPUs run once a second (nested/heartbeat.c)

    def __init__(self, pid):
        self._pid = pid
        self._seen = None  # when, and for how many seconds each CPU had run then

    def look(self):
        """What is wrong, or None. Compares with the last time, if that is long enough ago."""
        now, cpus = time.monotonic(), self._cpus()
        if self._seen and now - self._seen[0] < self.SECONDS:
            return None
        seen, self._seen = self._seen, (now, cpus)
        if not seen:
            return None
        ran = {name: cpus[name] - seen[1].get(name, 0) for name in cpus}
        for name, seconds in ran.items():
            if seconds == 0:
                return f"it has not run {name} for {now - seen[0]:.0f} s"
        # A guest with a ruined VMCB goes round for ever; to look for that takes its time.
        if max(ran.values(), default=0) > (now - seen[0]) / 2:
            return _mixed_registers(self._pid)
        return None

    def _cpus(self):
        run = {}
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("CPU "):
                run[name] = int((task / "schedstat").read_text().split()[0]) / 1e9
        return run


# Offsets in a VMCB (AMD's manual, volume 2, appendix B); the processor keeps what it needs of the
# host in a page of the same form, with an empty control area.
ASID, EFER, CR3, CR0, RIP, RSP = 0x58, 0x4D0, 0x550, 0x558, 0x578, 0x5D8
CR0_OF_LINUX = 0x80050033
EFER_LONG_MODE = 0x400


def _mixed_registers(pid):
    """Is there a VMCB that holds the registers of the host?"""
    guests, hosts = [], []
    for page in _pages(pid):
        if _u64(page, EFER) & EFER_LONG_MODE and not _u64(page, EFER) & ~0xFFFF:
            registers = tuple(_u64(page, offset) for offset in (RIP, RSP, CR3))
            (guests if _u32(page, ASID) else hosts).append(registers)
    for registers in guests:
        if registers in hosts:
            return "a VMCB has the host's registers: rip {:#x}, rsp {:#x}".format(*registers)
    return None


def _pages(pid):
    """Pages of L1's RAM, which is the largest mapping, with Linux' CR0 where a VMCB has it."""

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
    progress("fetching a newer QEMU from Debian's backports")
    with host.making(CACHE) as scratch:
        debian.unpack(scratch, PACKAGE, SUITE, f"{SUITE}-backports", dependencies=True)
        if version(*_call(scratch)) < GOOD:
            raise LabError(f"{SUITE}-backports has no newer one")
