# SPDX-License-Identifier: MIT
"""The guest end: as it should be, or as a test wants it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hvstack._native import ffi, lib
from hvstack.loopback._machine import GUEST
from hvstack.loopback._native_types import (
    PAGE,
    Bytes,
    Iovec,
    PacketType,
    check,
    guid,
    packet_type,
    uuid,
)

if TYPE_CHECKING:
    from hvstack.loopback._machine import Buffer, Machine, Pages

MESSAGE_CONNECTION = 1
MESSAGE_BYTES = 240
CALL_SIGNAL_EVENT_FAST = 0x1005D


@dataclass(frozen=True)
class Offer:
    class_id: UUID
    instance_id: UUID
    flags: int
    subchannel: int  # 0: the primary channel
    relid: int
    connection_id: int
    user_data: bytes = field(repr=False)


@dataclass(frozen=True)
class GuestPacket:
    """`ranges`: of transfer pages, (offset, length) in the set `pageset_id`. `data` has the padding
    to 8 bytes, but in a pipe."""

    type: int
    xid: int
    wants_completion: bool
    data: bytes
    ranges: tuple[tuple[int, int], ...] = ()
    pageset_id: int = 0


class Guest:
    """What a driver of VMBus does; Machine.start() makes it. Calls that wait for the host raise
    TimeoutError when nothing has come for long."""

    def __init__(self, machine: Machine, guest: Any) -> None:
        self.machine = machine
        self._guest = guest
        self._relids: list[int] = []

    def connect(self, version: tuple[int, int] = (5, 3)) -> None:
        """OSError with EPROTONOSUPPORT: the host does not have this version."""
        self._call(lib.hvs_guest_connect, "connect", version[0] << 16 | version[1])

    def unload(self) -> None:
        """Disconnect. Channels are to be closed before."""
        self._call(lib.hvs_guest_unload, "unload")

    def request_offers(self) -> list[Offer]:
        self._call(lib.hvs_guest_request_offers, "request_offers")
        return self.offers

    @property
    def offers(self) -> list[Offer]:
        """Those that have come until now, and were not withdrawn."""
        self.machine._usable()
        offers: list[Offer] = []
        while pointer := lib.hvs_guest_offer_at(self._guest, len(offers)):
            offers.append(
                Offer(
                    class_id=uuid(pointer.class_id),
                    instance_id=uuid(pointer.instance_id),
                    flags=pointer.flags,
                    subchannel=pointer.subchannel,
                    relid=pointer.relid,
                    connection_id=pointer.connection_id,
                    user_data=bytes(pointer.user_data),
                )
            )
        return offers

    def find_offer(self, class_id: UUID, *, subchannel: int = 0) -> Offer:
        """The first of this class. LookupError: there is none."""
        for offer in self.offers:
            if offer.class_id == class_id and offer.subchannel == subchannel:
                return offer
        raise LookupError(f"the host offers no channel of class {class_id}")

    def open(self, offer: Offer, ring_bytes: int = 4 * PAGE) -> GuestChannel:
        """ring_bytes of data each way, a multiple of 4096. OSError with EREMOTEIO: refused."""
        if ring_bytes <= 0 or ring_bytes % PAGE:
            raise ValueError("ring_bytes is a multiple of 4096")
        given = ffi.new("struct hvs_guest_offer *")
        given.class_id, given.instance_id = guid(offer.class_id), guid(offer.instance_id)
        given.flags, given.subchannel = offer.flags, offer.subchannel
        given.relid, given.connection_id = offer.relid, offer.connection_id
        out = ffi.new("struct hvs_guest_channel **")
        self._call(lib.hvs_guest_channel_open, "open", given, ring_bytes, out)
        return GuestChannel(self, offer, out[0])

    def share(self, relid: int, pages: Pages) -> int:
        """Share pages with a channel's device. Returns the number of the GPADL."""
        out = ffi.new("uint32_t *")
        self._call(lib.hvs_guest_gpadl_create, "share", relid, pages.gpa, len(pages), out)
        return int(out[0])

    def unshare(self, relid: int, gpadl: int) -> None:
        """Take them back."""
        self._call(lib.hvs_guest_gpadl_teardown, "unshare", relid, gpadl)

    # ---- say anything

    def post(self, message: Bytes, connection_id: int = MESSAGE_CONNECTION) -> int:
        """Post a control message as it is, of up to 240 bytes. Returns the status of the hypercall,
        0 for success. Nobody waits: call wait_message(), or Machine.run()."""
        with self.machine._calling(GUEST):
            data = ffi.from_buffer(message)
            status = lib.hvs_guest_post(self._guest, connection_id, data, len(data))
        return int(status)

    def wait_message(self, kind: int) -> bytes:
        """Wait for a control message of this type, and return it. Others are handled."""
        message = ffi.new(f"char[{MESSAGE_BYTES}]")
        length = self._call(lib.hvs_guest_wait_message, f"wait_message({kind})", kind, message)
        return bytes(ffi.buffer(message, length))

    def hypercall(self, value: int, param_in: int = 0, param_out: int = 0) -> int:
        """Returns the result value: its low 16 bits are the status."""
        with self.machine._calling(GUEST) as lb:
            hv = lib.hvs_loopback_hv(lb)
            return int(lib.hvs_hv_hypercall(hv, 0, value, param_in, param_out))

    def signal(self, connection_id: int) -> int:
        """HvSignalEvent. Returns the status."""
        return self.hypercall(CALL_SIGNAL_EVENT_FAST, connection_id) & 0xFFFF

    def read_msr(self, msr: int) -> int:
        """OSError: there is no such MSR for a guest to read."""
        value = ffi.new("uint64_t *")
        with self.machine._calling(GUEST) as lb:
            status = lib.hvs_hv_msr_read(lib.hvs_loopback_hv(lb), 0, msr, value)
        check(status, f"read_msr({msr:#x})")
        return int(value[0])

    def write_msr(self, msr: int, value: int) -> None:
        with self.machine._calling(GUEST) as lb:
            status = lib.hvs_hv_msr_write(lib.hvs_loopback_hv(lb), 0, msr, value, True)
        check(status, f"write_msr({msr:#x})")

    def _call(self, function: Any, what: str, *args: Any) -> int:
        with self.machine._calling(GUEST):
            status: int = function(self._guest, *args)
        return check(status, what)


class GuestChannel:
    """An open channel, of Guest.open(). Leave it with `with`, or close() it."""

    def __init__(self, guest: Guest, offer: Offer, channel: Any) -> None:
        self.guest = guest
        self.offer = offer
        self._machine = guest.machine
        self._channel = channel
        self._raw = False
        length = ffi.new("size_t *")
        pointer = lib.hvs_guest_channel_rings(channel, length)
        both = self._machine._view(pointer, length[0])
        # Guest to host, and host to guest, as they lie in memory.
        self.out_ring = Ring(both[: len(both) // 2])
        self.in_ring = Ring(both[len(both) // 2 :])

    def __enter__(self) -> GuestChannel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._channel is not None and not self._machine.closed:
            self.close()

    def close(self) -> None:
        """Close the channel and take the rings back."""
        channel = self._open()
        with self._machine._calling(GUEST):
            self._channel = None
            status = lib.hvs_guest_channel_close(channel)
        check(status, "close")

    def send(
        self,
        data: Bytes = b"",
        *,
        xid: int = 0,
        wants_completion: bool = False,
        buffers: Sequence[Buffer] = (),
        flush: bool = True,
    ) -> None:
        """Send a packet, with guest memory that goes with it, if there are buffers.
        BlockingIOError: the ring is full. flush False: the host sees it with the next flush()."""
        ranges = ffi.new("struct hvs_guest_buffer[]", max(len(buffers), 1))
        for entry, buffer in zip(ranges, buffers, strict=False):
            entry.gpa, entry.len = buffer.gpa, buffer.length
        if buffers:
            args = (xid, wants_completion, ranges, len(buffers))
            self._write(lib.hvs_guest_send_ranges, "send", args, data, flush)
        else:
            self._write(lib.hvs_guest_send, "send", (xid, wants_completion, ffi.NULL), data, flush)

    def complete(self, xid: int, data: Bytes = b"", *, flush: bool = True) -> None:
        """Send the completion of a packet."""
        self._write(lib.hvs_guest_complete, "complete", (xid,), data, flush)

    def flush(self) -> None:
        """Have the host see what was sent; signal it, if it sleeps."""
        channel = self._open()
        with self._machine._calling(GUEST):
            lib.hvs_guest_flush(channel)

    def poll(self) -> GuestPacket | None:
        """The next packet, if one is there. The host does not run."""
        return self._receive(lib.hvs_guest_recv)

    def recv(self) -> GuestPacket:
        """Let the host run until there is a packet. TimeoutError: it sends none. OSError with
        EPROTO: what it sends is nonsense."""
        packet = self._receive(lib.hvs_guest_recv_wait)
        assert packet
        return packet

    def events(self) -> int:
        """How often the host has signalled since the last time."""
        channel = self._open()
        with self._machine._calling(GUEST):
            return int(lib.hvs_guest_channel_events(channel))

    # ---- say anything

    def send_raw(self, packet: Bytes, *, signal: bool = True) -> None:
        """Put these bytes into the ring as they are (raw_packet() makes some), behind what is
        there, and tell the host. send() and complete() can't be used any more after that."""
        self._open()
        self._raw = True
        self.out_ring.append(packet)
        if signal:
            self.signal()

    def signal(self) -> None:
        """Tell the host that something is there, whether that is true or not."""
        self._open()
        self.guest.signal(self.offer.connection_id)

    def _open(self) -> Any:
        self._machine._usable()
        if self._channel is None:
            raise RuntimeError("the channel is closed")
        return self._channel

    def _write(self, function: Any, what: str, start: Any, data: Bytes, flush: bool) -> None:
        channel = self._open()
        if self._raw:
            raise RuntimeError("after send_raw() only send_raw() may be used")
        iov = Iovec(data)
        with self._machine._calling(GUEST):
            status = function(channel, *start, iov.array, iov.count)
            if status == 0 and flush:
                lib.hvs_guest_flush(channel)
        check(status, what)

    def _receive(self, function: Any) -> GuestPacket | None:
        channel = self._open()
        packet = ffi.new("struct hvs_guest_packet *")
        with self._machine._calling(GUEST):
            got = function(channel, packet)
        if check(got, "recv") == 0:
            return None
        return GuestPacket(
            type=packet_type(packet.type),
            xid=packet.xid,
            wants_completion=packet.wants_completion,
            data=bytes(ffi.buffer(packet.data, packet.len)) if packet.len else b"",
            ranges=tuple(
                (packet.ranges[i].offset, packet.ranges[i].len) for i in range(packet.range_count)
            ),
            pageset_id=packet.pageset_id,
        )


class _Index:
    """A 32-bit word of a ring's control page."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __get__(self, ring: Ring, owner: type) -> int:
        return int(struct.unpack_from("<I", ring.control, self._offset)[0])

    def __set__(self, ring: Ring, value: int) -> None:
        struct.pack_into("<I", ring.control, self._offset, value)


class Ring:
    """A ring as it lies in memory, to be read or spoiled."""

    write_index = _Index(0)
    read_index = _Index(4)
    interrupt_mask = _Index(8)
    pending_send_size = _Index(12)

    def __init__(self, memory: memoryview) -> None:
        self.control = memory[:PAGE]
        self.data = memory[PAGE:]

    def append(self, packet: Bytes) -> None:
        """Write behind what is there, over the end if need be, and publish. The write index may
        become one that is not allowed."""
        at = self.write_index % len(self.data)
        data = bytes(packet)
        if len(data) > len(self.data):
            raise ValueError("longer than the ring")
        first = data[: len(self.data) - at]
        self.data[at : at + len(first)] = first
        self.data[: len(data) - len(first)] = data[len(first) :]
        self.write_index = (at + len(data)) % len(self.data)


def raw_packet(
    payload: Bytes = b"",
    *,
    type: int = PacketType.INBAND,
    xid: int = 0,
    flags: int = 0,
    header: Bytes = b"",
    header_len8: int | None = None,
    len8: int | None = None,
    trailer: int = 0,
) -> bytes:
    """A packet as it lies in a ring: descriptor, extended header, payload padded to 8 bytes,
    trailer. flags 1: wants a completion. header_len8 and len8, the lengths that the descriptor
    says, are right unless given."""
    body = bytes(header) + bytes(payload)
    body += bytes(-len(body) % 8)
    if header_len8 is None:
        header_len8 = 2 + len(header) // 8
    if len8 is None:
        len8 = 2 + len(body) // 8
    return (
        struct.pack("<HHHHQ", type, header_len8 & 0xFFFF, len8 & 0xFFFF, flags, xid)
        + body
        + struct.pack("<Q", trailer)
    )
