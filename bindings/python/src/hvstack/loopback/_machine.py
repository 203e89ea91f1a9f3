# SPDX-License-Identifier: MIT
"""The machine: memory, time, whose turn it is, and what callbacks have raised."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hvstack._native import ffi, lib
from hvstack.loopback._native_types import PAGE, callback, check

if TYPE_CHECKING:
    from hvstack.loopback._device import Channel, Device
    from hvstack.loopback._guest import Guest

IDLE = "idle"
WAITING = "waiting"  # in on_wait: the host may run
HOST = "running the host"
GUEST = "in a call of the guest"
CALLBACK = "in a callback"


@dataclass(frozen=True)
class Counters:
    """`faults` are violations of the protocol that the host has contained; `last_fault` is the name
    of the last one."""

    interrupts: int
    hypercalls: int
    faults: int
    last_fault: str


@dataclass(frozen=True)
class Buffer:
    """A range of guest memory, in consecutive pages."""

    gpa: int
    length: int


class Pages:
    """Pages of the machine's memory, from Machine.alloc(). `view` may be kept; what is in it after
    free() is somebody else's."""

    def __init__(self, machine: Machine, gpa: int, pointer: Any, count: int) -> None:
        self.gpa = gpa
        self.view = machine._view(pointer, count * PAGE)
        self._machine = machine
        self._pointer = pointer

    def __len__(self) -> int:
        return len(self.view)

    def buffer(self, offset: int = 0, length: int | None = None) -> Buffer:
        """A part of it, for a packet to name."""
        length = len(self) - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > len(self):
            raise ValueError("not a part of these pages")
        return Buffer(self.gpa + offset, length)

    def free(self) -> None:
        if self._pointer is None:
            raise RuntimeError("these pages were freed")
        with self._machine._calling(GUEST) as lb:
            lib.hvs_loopback_free_pages(lb, self._pointer, len(self) // PAGE)
        self._pointer = None


class Machine:
    """Offer devices, then start() it. Leave it with `with`, or close() it.

    ram_bytes      a multiple of 4096; None: 16 MiB
    max_version    newest VMBus version that the host has, as (major, minor); None: all
    external_sints the hypervisor keeps the synthetic MSRs, as KVM does
    max_gpadls     and max_gpadl_pages: limits of the host; 0: its own
    on_wait        called with the machine when the guest waits, instead of run(): it may call
                   run(), step() and advance(). Without any, the guest waits for nothing
    """

    def __init__(
        self,
        *,
        ram_bytes: int | None = None,
        max_version: tuple[int, int] | None = None,
        external_sints: bool = False,
        max_gpadls: int = 0,
        max_gpadl_pages: int = 0,
        on_wait: Callable[[Machine], object] | None = None,
    ) -> None:
        self._lb: Any = None
        self._state = IDLE
        self._thread = threading.get_ident()
        self._raised: list[BaseException] = []
        self._skipped: list[Channel] = []  # may have something to do, when what was raised is told
        self._devices: list[Device] = []  # the library knows them
        self._on_wait = on_wait
        self._guest: Guest | None = None
        self._keep: list[Any] = []  # what C has pointers to
        ram_bytes = 16 << 20 if ram_bytes is None else ram_bytes
        if ram_bytes <= 0 or ram_bytes % PAGE:
            raise ValueError("ram_bytes is a multiple of 4096")
        # With room to align it.
        self._ram = ffi.new("char[]", ram_bytes + PAGE)
        self._ram_view = memoryview(ffi.buffer(self._ram)).cast("B")
        config = ffi.new("struct hvs_loopback_config *")
        config.size = ffi.sizeof("struct hvs_loopback_config")
        config.flags = lib.HVS_LOOPBACK_EXTERNAL_SINTS if external_sints else 0
        config.ram_bytes = ram_bytes
        config.max_gpadls, config.max_gpadl_pages = max_gpadls, max_gpadl_pages
        if max_version:
            config.max_version = max_version[0] << 16 | max_version[1]
        ram = ffi.new("struct hvspy_ram *", {"bytes": self._ram, "len": len(self._ram)})
        lib.hvspy_allocator(ram, ffi.addressof(config, "alloc"))
        handle = ffi.new_handle(self)
        if on_wait:
            config.on_wait, config.arg = lib.hvspy_on_wait, handle
        self._keep += [ram, handle]
        out = ffi.new("struct hvs_loopback **")
        check(lib.hvs_loopback_create(config, out), "Machine")
        self._lb = out[0]

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lb is not None:
            self.close()

    def __del__(self) -> None:
        if getattr(self, "_lb", None) is None or sys.is_finalizing():
            return
        self._thread = threading.get_ident()
        try:
            self.close()
        finally:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)

    # ---- life

    def offer(self, device: Device) -> Device:
        """Offer a device: before start(), or to a guest that runs. Returns it."""
        device._offer(self)
        return device

    def start(self) -> Guest:
        """Start the bus, and make the guest end. Once."""
        from hvstack.loopback._guest import Guest

        out = ffi.new("struct hvs_guest **")
        with self._calling(GUEST) as lb:
            status = lib.hvs_loopback_start(lb, out)
        check(status, "start")
        self._guest = Guest(self, out[0])
        return self._guest

    def close(self) -> None:
        """Reset the bus, close and destroy all devices. What their callbacks raise is raised when
        that is done."""
        self._usable()
        if self._state == WAITING:
            raise RuntimeError(f"not allowed now: the machine is {self._state}")
        try:
            with self._calling(HOST) as lb:
                lib.hvs_loopback_destroy(lb)
                self._lb = None
        finally:
            if self._lb is None:
                self._keep.clear()

    @property
    def closed(self) -> bool:
        return self._lb is None

    # ---- whose turn it is

    def run(self) -> None:
        """Let the host run until it is idle."""
        with self._calling(HOST) as lb:
            lib.hvs_loopback_run(lb)

    def step(self, budget: int = 1) -> None:
        """Let the host do a little: about `budget` packets of each channel."""
        if budget < 1:
            raise ValueError("budget is 1 at least")
        with self._calling(HOST) as lb:
            lib.hvs_loopback_step(lb, budget)

    def advance(self, ns: int) -> None:
        """Let time pass; timers are due when the host runs."""
        with self._calling(HOST) as lb:
            lib.hvs_loopback_advance(lb, ns)

    # ---- what there is

    def alloc(self, count: int = 1) -> Pages:
        """Consecutive zeroed pages of the machine's memory."""
        if count < 1:
            raise ValueError("count is 1 at least")
        gpa = ffi.new("uint64_t *")
        with self._calling(GUEST) as lb:
            pointer = lib.hvs_loopback_alloc_pages(lb, count, gpa)
        if not pointer:
            raise MemoryError("the machine has no such pages left")
        return Pages(self, gpa[0], pointer, count)

    @property
    def counters(self) -> Counters:
        c = lib.hvs_loopback_count(self._usable())
        name = ffi.string(lib.hvs_fault_name(c.last_fault)).decode()
        return Counters(c.interrupts, c.hypercalls, c.faults, name)

    @property
    def guest_version(self) -> tuple[int, int] | None:
        """What the guest has negotiated."""
        version = lib.hvs_vmbus_guest_version(lib.hvs_loopback_bus(self._usable()))
        return (version >> 16, version & 0xFFFF) if version else None

    # ---- for the other classes

    def _usable(self) -> Any:
        if self._lb is None:
            raise RuntimeError("the machine is closed")
        if threading.get_ident() != self._thread:
            raise RuntimeError("the machine belongs to another thread")
        return self._lb

    @contextmanager
    def _calling(self, state: str) -> Iterator[Any]:
        """The call inside may run callbacks."""
        lb = self._usable()
        before = self._state
        if before != IDLE and not (before == WAITING and state == HOST):
            raise RuntimeError(f"not allowed now: the machine is {before}")
        self._state = state
        try:
            yield lb
        finally:
            self._state = before
        self._raise()

    @contextmanager
    def _called(self, state: str = CALLBACK) -> Iterator[None]:
        """The library calls Python: what is raised is kept."""
        before, self._state = self._state, state
        try:
            yield
        except BaseException as error:
            self._raised.append(error)
        finally:
            self._state = before

    def _raise(self) -> None:
        if not self._raised:
            return
        first, *others = self._raised
        self._raised.clear()
        for other in others:
            first.add_note(f"after that, another callback has raised {other!r}")
        for channel in self._skipped:
            if channel.is_open:
                channel.kick()
        self._skipped.clear()
        raise first

    def _view(self, pointer: Any, length: int) -> memoryview:
        """Of the machine's memory. It stays valid when the machine has gone."""
        offset = int(ffi.cast("uintptr_t", pointer)) - int(ffi.cast("uintptr_t", self._ram))
        assert 0 <= offset <= len(self._ram_view) - length
        return self._ram_view[offset : offset + length]


@callback()
def hvspy_on_wait(arg: Any, lb: Any) -> None:
    machine: Machine = ffi.from_handle(arg)
    if machine._on_wait and not machine._raised:
        with machine._called(WAITING):
            machine._on_wait(machine)
