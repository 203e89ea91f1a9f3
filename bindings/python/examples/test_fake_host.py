# SPDX-License-Identifier: MIT
"""Example: a device that a test scripts, against the library's real guest end.

Copy this to test a driver's idea of your device before there is a device: what it does when the
device is slow, full, or wrong. The device here adds numbers: a request is two of them and a page to
write the sum into, or none, and then the sum is in the completion.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from uuid import UUID

import pytest

from hvstack.loopback import (
    Channel,
    Device,
    Guest,
    GuestChannel,
    Machine,
    Packet,
    PacketType,
    raw_packet,
)

ADDER_CLASS = UUID("8f5d2b3a-6a43-4c0c-9b9f-5e3d4c1f7a11")
TICK, NS = b"tick\0\0\0\0", 1_000_000


class Adder(Device):
    def __init__(self) -> None:
        super().__init__(ADDER_CLASS, user_data=b"v1")
        self.slow: list[Packet] | None = None  # not answered yet

    def packet(self, channel: Channel, packet: Packet) -> None:
        if self.slow is not None:
            self.slow.append(packet)
        else:
            self.answer(channel, packet)

    def answer(self, channel: Channel, packet: Packet) -> None:
        a, b = struct.unpack_from("<II", packet.data)
        total = struct.pack("<Q", a + b)
        if packet.buffer_bytes:
            packet.write(total)
        channel.complete(packet.xid, b"" if packet.buffer_bytes else total)

    def timer(self, channel: Channel) -> None:
        channel.send(TICK)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        yield machine


@pytest.fixture
def adder(machine: Machine) -> Adder:
    adder = Adder()
    machine.offer(adder)
    return adder


@pytest.fixture
def guest(machine: Machine, adder: Adder) -> Guest:
    guest = machine.start()
    guest.connect()
    guest.request_offers()
    return guest


@pytest.fixture
def channel(guest: Guest) -> GuestChannel:
    return guest.open(guest.find_offer(ADDER_CLASS))


def add(channel: GuestChannel, a: int, b: int, xid: int = 1) -> int:
    """What a driver does: send a request, wait for its completion."""
    channel.send(struct.pack("<II", a, b), xid=xid, wants_completion=True)
    answer = channel.recv()
    assert (answer.type, answer.xid) == (PacketType.COMPLETION, xid)
    (total,) = struct.unpack("<Q", answer.data)
    return int(total)


def test_the_driver_finds_the_device(guest: Guest) -> None:
    assert guest.find_offer(ADDER_CLASS).user_data[:2] == b"v1"


def test_a_request(channel: GuestChannel) -> None:
    assert add(channel, 20, 22) == 42


def test_a_request_with_guest_memory(machine: Machine, channel: GuestChannel) -> None:
    pages = machine.alloc()
    request = struct.pack("<II", 1, 2)
    channel.send(request, xid=9, wants_completion=True, buffers=[pages.buffer(100, 8)])
    assert channel.recv().xid == 9
    assert struct.unpack_from("<Q", pages.view, 100) == (3,)


def test_a_slow_device(channel: GuestChannel, adder: Adder) -> None:
    adder.slow = []
    with pytest.raises(TimeoutError):
        add(channel, 1, 1, xid=1)
    (packet,) = adder.slow
    adder.channel.do(lambda ch: adder.answer(ch, packet))
    assert channel.recv().data == struct.pack("<Q", 2)


def test_what_the_device_says_by_itself(
    machine: Machine, channel: GuestChannel, adder: Adder
) -> None:
    adder.channel.do(lambda ch: ch.set_timer(5 * NS))
    machine.advance(4 * NS)
    machine.run()
    assert channel.poll() is None
    machine.advance(1 * NS)
    machine.run()
    packet = channel.poll()
    assert packet
    assert packet.data == TICK


def test_a_device_that_leaves(guest: Guest, channel: GuestChannel, adder: Adder) -> None:
    adder.rescind()
    guest.machine.run()
    channel.events()  # the driver looks what has come
    with pytest.raises(OSError, match="send|recv"):
        add(channel, 1, 1)


def test_a_host_that_sends_nonsense(channel: GuestChannel) -> None:
    channel.in_ring.append(raw_packet(b"x" * 8, len8=1))
    with pytest.raises(OSError, match="EPROTO"):
        channel.recv()
