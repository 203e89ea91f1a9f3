# SPDX-License-Identifier: MIT
"""Devices that are written in Python, offered by the library's host end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid5

from hvstack._native import ffi, lib
from hvstack.loopback._machine import CALLBACK, HOST
from hvstack.loopback._native_types import (
    Bytes,
    Iovec,
    callback,
    check,
    guid,
    packet_type,
    page_ranges,
)

if TYPE_CHECKING:
    from hvstack.loopback._machine import Machine

T = TypeVar("T")


@dataclass(frozen=True)
class OpenParams:
    """What the guest asked for when it opened the channel."""

    subchannel: int  # 0: the primary channel
    target_vp: int  # 2**32 - 1: none, the guest polls
    send_ring_bytes: int  # host to guest
    recv_ring_bytes: int
    user_data: bytes = field(repr=False)


class Packet:
    """From the guest. `data` is a copy, with the padding to 8 bytes, but in a pipe. The guest
    memory that came with it, if any, can be used until the next one is received, or ready()
    returns."""

    def __init__(self, channel: Channel, packet: Any) -> None:
        self.type: int = packet_type(packet.type)
        self.xid: int = packet.xid
        self.wants_completion: bool = packet.wants_completion
        self.data: bytes = bytes(ffi.buffer(packet.data, packet.len)) if packet.len else b""
        self._extents = packet.extents
        self.buffer_bytes: int = lib.hvs_extents_len(packet.extents) if packet.extents else 0
        self._channel = channel

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Guest memory. OSError with ERANGE: beyond the end."""
        length = max(self.buffer_bytes - offset, 0) if length is None else length
        return _read(self._memory(), offset, length)

    def write(self, data: Bytes, offset: int = 0) -> None:
        _write(self._memory(), offset, data)

    def _memory(self) -> Any:
        self._channel._in_callback()
        if self._channel._packet is not self:
            raise RuntimeError("the packet's memory is not the device's any more")
        if not self._extents:
            raise ValueError("the packet came without guest memory")
        return self._extents


class Gpadl:
    """Guest memory that was shared for longer than a packet; of Channel.gpadl()."""

    def __init__(self, channel: Channel, gpadl: Any) -> None:
        self._channel = channel
        self._gpadl = gpadl

    def __len__(self) -> int:
        return int(lib.hvs_extents_len(self._memory()))

    def read(self, offset: int, length: int) -> bytes:
        return _read(self._memory(), offset, length)

    def write(self, data: Bytes, offset: int = 0) -> None:
        _write(self._memory(), offset, data)

    def put(self) -> None:
        """Give it back. When the channel closes that is done for you."""
        self._memory()
        lib.hvs_gpadl_put(self._gpadl)
        self._gpadl = None
        self._channel._gpadls.remove(self)

    def _memory(self) -> Any:
        self._channel._in_callback()
        if self._gpadl is None:
            raise RuntimeError("the memory was given back")
        return lib.hvs_gpadl_extents(self._gpadl)


def _read(extents: Any, offset: int, length: int) -> bytes:
    if offset < 0 or length < 0:
        raise ValueError("offset and length are not negative")
    # Before memory is taken for it.
    if length > lib.hvs_extents_len(extents):
        check(-errno.ERANGE, "read")
    buffer = ffi.new("char[]", max(length, 1))
    check(lib.hvs_extents_read(extents, offset, buffer, length), "read")
    return bytes(ffi.buffer(buffer, length))


def _write(extents: Any, offset: int, data: Bytes) -> None:
    buffer = ffi.from_buffer(data)
    check(lib.hvs_extents_write(extents, offset, buffer, len(buffer)), "write")


class Channel:
    """The host's end of an open channel. But for kick() and do(), it is for callbacks of its
    device."""

    def __init__(self, device: Device, machine: Machine, channel: Any, params: OpenParams) -> None:
        self.device = device
        self.params = params
        self.id: int = lib.hvs_channel_id(channel)
        self._machine = machine
        self._channel = channel
        self._handle = ffi.new_handle(self)
        self._packet: Packet | None = None
        self._gpadls: list[Gpadl] = []
        self._todo: list[Callable[[], None]] = []
        self._keep: list[Any] = []

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    def do(self, function: Callable[[Channel], T]) -> T:
        """From outside of callbacks: run function(channel) as one, then the host until it is idle.
        Returns what it returns, and raises what it raises."""
        results: list[T] = []
        self._open()
        self._todo.append(lambda: results.append(function(self)))
        self.kick()
        self._machine.run()
        if not results:
            raise RuntimeError("the channel was closed meanwhile")
        return results[0]

    def kick(self) -> None:
        """Have ready() called when the host runs."""
        lib.hvs_channel_kick(self._open())

    def recv(self) -> Packet | None:
        """The next packet. OSError with EPROTO or ESHUTDOWN: the ring is corrupt, or the channel
        was faulted before; the guest has to close it."""
        channel = self._in_callback()
        self._packet = None
        out = ffi.new("const struct hvs_packet **")
        if check(lib.hvs_channel_recv(channel, out), "recv") == 0:
            return None
        self._packet = Packet(self, out[0])
        return self._packet

    def send(self, data: Bytes = b"", *, xid: int = 0, wants_completion: bool = False) -> None:
        """Queue a packet: the guest sees it when the callback returns, or after flush().
        BlockingIOError: the ring is full; ready() is called when there is room."""
        iov = Iovec(data)
        args = (xid, wants_completion, iov.array, iov.count)
        check(lib.hvs_channel_send(self._in_callback(), *args), "send")

    def complete(self, xid: int, data: Bytes = b"") -> None:
        """Queue the completion of a packet, as send()."""
        iov = Iovec(data)
        args = (xid, iov.array, iov.count)
        check(lib.hvs_channel_complete(self._in_callback(), *args), "complete")

    def send_pages(
        self,
        pageset_id: int,
        ranges: Sequence[tuple[int, int]],
        data: Bytes = b"",
        *,
        xid: int = 0,
        wants_completion: bool = False,
    ) -> None:
        """Queue a packet that says: the data is there, at (offset, length) of the set of pages."""
        iov = Iovec(data)
        args = (page_ranges(ranges), len(ranges), iov.array, iov.count)
        channel = self._in_callback()
        status = lib.hvs_channel_send_pages(channel, xid, wants_completion, pageset_id, *args)
        check(status, "send_pages")

    def flush(self) -> None:
        lib.hvs_channel_flush(self._in_callback())

    def gpadl(self, number: int) -> Gpadl:
        """Take pages into use that the guest has shared. OSError with ENOENT: there are none."""
        out = ffi.new("struct hvs_gpadl **")
        check(lib.hvs_channel_gpadl_get(self._in_callback(), number, out), "gpadl")
        self._gpadls.append(Gpadl(self, out[0]))
        return self._gpadls[-1]

    def set_timer(self, delay_ns: int) -> None:
        """Have timer() called once, so much later by the machine's clock."""
        lib.hvs_channel_set_timer(self._in_callback(), delay_ns)

    @property
    def now_ns(self) -> int:
        """The machine's clock."""
        return int(lib.hvs_channel_now(self._in_callback()))

    def fault(self, where: str) -> None:
        """The guest broke the device's protocol: stop the channel until the guest closes it."""
        text = ffi.new("char[]", where.encode())
        self._machine._keep.append(text)
        lib.hvs_channel_fault(self._in_callback(), text)

    def offer_subchannels(self, count: int) -> None:
        check(lib.hvs_channel_offer_subchannels(self._in_callback(), count), "offer_subchannels")

    def _open(self) -> Any:
        self._machine._usable()
        if self._channel is None:
            raise RuntimeError("the channel is closed")
        return self._channel

    def _in_callback(self) -> Any:
        channel = self._open()
        if self._machine._state != CALLBACK:
            raise RuntimeError("only for callbacks of the device: see Channel.do()")
        return channel

    def _ready(self, budget: int) -> bool:
        while self._todo:
            self._todo.pop(0)()
        return self.device.ready(self, budget)

    def _closed(self) -> None:
        for gpadl in self._gpadls:
            lib.hvs_gpadl_put(gpadl._gpadl)
            gpadl._gpadl = None
        self._gpadls.clear()
        self._todo.clear()
        channel, self._channel = self._channel, None
        lib.hvs_channel_closed(channel)


class Device:
    """A device of your own: make a subclass with the callbacks you need, and give one to
    Machine.offer().

    class_id          which driver binds
    instance_id       None: made of class_id and how many devices there are
    user_data         up to 120 bytes, for the driver
    max_packet_bytes  largest packet accepted from the guest; 0: 4096
    """

    def __init__(
        self,
        class_id: UUID,
        instance_id: UUID | None = None,
        *,
        flags: int = 0,
        user_data: Bytes = b"",
        max_packet_bytes: int = 0,
        max_subchannels: int = 0,
    ) -> None:
        if len(user_data) > 120:
            raise ValueError("user_data is 120 bytes at most")
        self.class_id = class_id
        self.instance_id = instance_id
        self.flags = flags
        self.user_data = bytes(user_data)
        self.max_packet_bytes = max_packet_bytes
        self.max_subchannels = max_subchannels
        self.channels: list[Channel] = []  # that are open
        self._machine: Machine | None = None
        self._device: Any = None
        self._handle: Any = None

    # ---- callbacks

    def open(self, channel: Channel) -> None:
        """The guest opens the channel. Raise OSError to refuse; nothing can be sent yet."""

    def packet(self, channel: Channel, packet: Packet) -> None:
        """The guest has sent this."""

    def ready(self, channel: Channel, budget: int) -> bool:
        """Something was sent, room may have appeared, or kick() was called. Handle about `budget`
        packets; True: there may be more. This one hands them to packet()."""
        for _ in range(budget):
            try:
                packet = channel.recv()
            except OSError as error:
                if error.errno not in (errno.EPROTO, errno.ESHUTDOWN):
                    raise
                return False  # the guest's fault, which the library has counted
            if packet is None:
                return False
            self.packet(channel, packet)
        return True

    def timer(self, channel: Channel) -> None:
        """The time of set_timer() has come."""

    def close(self, channel: Channel) -> None:
        """The guest, or the host, closes the channel: it can't be used any more when this
        returns."""

    def destroyed(self) -> None:
        """The device is not the machine's any more."""

    # ---- what the host does

    @property
    def channel(self) -> Channel:
        """The primary channel. LookupError: it is not open."""
        for channel in self.channels:
            if channel.params.subchannel == 0:
                return channel
        raise LookupError("the channel is not open")

    def rescind(self) -> None:
        """Take the device away from the guest."""
        if self._machine is None or self._device is None:
            raise RuntimeError("the device is not offered")
        with self._machine._calling(HOST):
            status = lib.hvs_device_rescind(self._device, ffi.NULL, ffi.NULL)
            self._device = None
        check(status, "rescind")

    def _offer(self, machine: Machine) -> None:
        if self._machine is not None:
            raise RuntimeError("the device was offered before")
        if self.instance_id is None:
            self.instance_id = uuid5(self.class_id, str(len(machine._devices)))
        offer = ffi.new("struct hvs_offer *")
        offer.size = ffi.sizeof("struct hvs_offer")
        offer.flags = self.flags
        offer.class_id, offer.instance_id = guid(self.class_id), guid(self.instance_id)
        offer.user_data = self.user_data
        offer.max_packet_bytes = self.max_packet_bytes
        offer.max_subchannels = self.max_subchannels
        ops = ffi.new("struct hvs_vsp_ops *")
        ops.size = ffi.sizeof("struct hvs_vsp_ops")
        ops.open, ops.ready, ops.close = lib.hvspy_open, lib.hvspy_ready, lib.hvspy_close
        ops.destroy, ops.timer = lib.hvspy_destroy, lib.hvspy_timer
        handle = ffi.new_handle(self)
        out = ffi.new("struct hvs_device **")
        with machine._calling(HOST) as lb:
            bus = lib.hvs_loopback_bus(lb)
            status = lib.hvs_device_offer(bus, offer, ops, handle, out)
        check(status, "offer")
        self._machine, self._device, self._handle = machine, out[0], handle
        machine._devices.append(self)


# ---- what the library calls. A device is alive as long as it is in Machine._devices.


@callback(error=-errno.EIO)
def hvspy_open(dev: Any, pointer: Any, p: Any, ctx: Any) -> int:
    device: Device = ffi.from_handle(dev)
    machine = device._machine
    assert machine
    params = OpenParams(
        p.subchannel, p.target_vp, p.send_ring_bytes, p.recv_ring_bytes, bytes(p.user_data)
    )
    channel = Channel(device, machine, pointer, params)
    status = -errno.EIO
    with machine._called():
        try:
            device.open(channel)
            status = 0
        except OSError as error:
            status = -(error.errno or errno.EIO)
    if status:
        channel._channel = None
        return status
    device.channels.append(channel)
    ctx[0] = channel._handle
    return 0


@callback(error=False)
def hvspy_ready(pointer: Any, ctx: Any, budget: int) -> bool:
    channel: Channel = ffi.from_handle(ctx)
    machine = channel._machine
    more = False
    if not machine._raised:  # which is to be told first
        with machine._called():
            more = bool(channel._ready(budget))
        channel._packet = None
    if machine._raised:
        machine._skipped.append(channel)
    return more


@callback()
def hvspy_timer(pointer: Any, ctx: Any) -> None:
    channel: Channel = ffi.from_handle(ctx)
    with channel._machine._called():
        channel.device.timer(channel)


@callback()
def hvspy_close(pointer: Any, ctx: Any) -> None:
    channel: Channel = ffi.from_handle(ctx)
    with channel._machine._called():
        channel.device.close(channel)
    channel.device.channels.remove(channel)
    channel._closed()


@callback()
def hvspy_destroy(dev: Any) -> None:
    device: Device = ffi.from_handle(dev)
    machine, device._machine, device._device = device._machine, None, None
    assert machine
    machine._devices.remove(device)
    with machine._called():
        device.destroyed()
