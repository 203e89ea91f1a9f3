# SPDX-License-Identifier: MIT
"""Example: a guest that a test scripts, against the library's real host end.

Copy this to test how a host, or a device of yours, takes what a guest may say: well-formed
requests, and requests that no driver would make.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from hvstack.loopback import (
    SCSI_CLASS,
    Guest,
    GuestChannel,
    Machine,
    Offer,
    ScsiDriver,
    add_scsi,
    raw_packet,
)

# Control messages: a type and 4 bytes of padding, then what belongs to it.
INITIATE_CONTACT, VERSION_RESPONSE = 14, 15
GPADL_HEADER, GPADL_CREATED = 8, 10

READ_10, WRITE_10, INQUIRY = 0x28, 0x2A, 0x12


@pytest.fixture
def disk() -> bytearray:
    return bytearray(b"sector 0".ljust(512) + b"sector 1".ljust(512) + bytes(1 << 20))


@pytest.fixture
def machine(disk: bytearray) -> Iterator[Machine]:
    with Machine() as machine:
        add_scsi(machine, [disk])
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Guest:
    guest = machine.start()
    guest.connect((5, 3))
    guest.request_offers()
    return guest


@pytest.fixture
def offer(guest: Guest) -> Offer:
    return guest.find_offer(SCSI_CLASS)


@pytest.fixture
def channel(guest: Guest, offer: Offer) -> GuestChannel:
    return guest.open(offer)


def test_a_driver_reads_and_writes(channel: GuestChannel, disk: bytearray) -> None:
    driver = ScsiDriver(channel)
    read = driver.execute(struct.pack(">BxIxHx", READ_10, 1, 1), data_in=512)
    assert (read.scsi_status, read.data[:8]) == (0, b"sector 1")
    written = driver.execute(struct.pack(">BxIxHx", WRITE_10, 0, 1), data_out=b"new!" * 128)
    assert written.scsi_status == 0
    assert disk[:8] == b"new!new!"


def test_what_is_behind_the_end_can_not_be_read(channel: GuestChannel) -> None:
    read = ScsiDriver(channel).execute(struct.pack(">BxIxHx", READ_10, 1 << 30, 1), data_in=512)
    assert read.scsi_status == 2  # check condition
    assert read.sense[2] & 0xF == 5  # illegal request


def test_a_version_that_there_is_not(machine: Machine) -> None:
    guest = machine.start()
    # INITIATE_CONTACT by hand: version, VP, interrupt page, monitor pages.
    guest.post(struct.pack("<IIIIQQQ", INITIATE_CONTACT, 0, 99 << 16, 0, 0, 0, 0))
    response = guest.wait_message(VERSION_RESPONSE)
    assert response[8] == 0  # not supported


@pytest.mark.parametrize("message", [bytes(8), b"\xff" * 240, struct.pack("<II", 99, 0)])
def test_messages_that_make_no_sense_are_counted(machine: Machine, message: bytes) -> None:
    guest = machine.start()
    assert guest.post(message) == 0  # the hypervisor takes it,
    machine.run()
    assert machine.counters.faults == 1  # the bus does not,
    guest.connect()  # and goes on


def test_a_gpadl_of_pages_that_are_not_there(guest: Guest, offer: Offer) -> None:
    ranges = struct.pack("<IIQ", 4096, 0, 0xFFFFFFFF)
    header = struct.pack("<IIIIHH", GPADL_HEADER, 0, offer.relid, 77, len(ranges), 1)
    guest.post(header + ranges)
    relid, gpadl, status = struct.unpack_from("<III", guest.wait_message(GPADL_CREATED), 8)
    assert (relid, gpadl) == (offer.relid, 77)
    assert status != 0


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (raw_packet(b"x" * 8, len8=1), "packet header"),
        (raw_packet(b"x" * 8, header_len8=900), "packet header"),
        (raw_packet(b"x" * 8, type=0x99), "packet type"),
        (raw_packet(b"x" * 8, flags=0xFFFE), "packet type"),
    ],
)
def test_packets_that_contradict_themselves_stop_the_channel(
    machine: Machine, channel: GuestChannel, packet: bytes, fault: str
) -> None:
    channel.send_raw(packet)
    machine.run()
    assert machine.counters.last_fault == fault
    channel.close()  # which makes it usable again
    with channel.guest.open(channel.offer) as again:
        assert ScsiDriver(again).max_transfer_bytes > 0


def test_an_index_that_is_out_of_range(machine: Machine, channel: GuestChannel) -> None:
    channel.out_ring.write_index = 0xFFFFFFF8
    channel.signal()
    machine.run()
    assert machine.counters.last_fault == "ring index"
