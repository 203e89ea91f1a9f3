# SPDX-License-Identifier: MIT
"""Host and guest of VMBus in this process, over plain memory: for tests of drivers and of devices.

A Machine has the library's real host end: bus, hypervisor interface, devices. Guest is the
library's real guest end. Put your own in the place of either: a guest that says whatever you want
(Guest.post(), GuestChannel.send_raw(), Ring), or a Device of your own.

There is no thread and no clock but the machine's: the host runs when the guest waits for it, or in
Machine.run() and Machine.step(); time passes in Machine.advance(), and 2 ms whenever the guest
waits. So everything happens in the same order every time. A machine belongs to the thread that made
it.

What the library refuses is an OSError with its errno: TimeoutError for ETIMEDOUT, BlockingIOError
for EAGAIN, and so on. What a callback raises is raised by the call that the callback ran in.
"""

from hvstack.loopback._device import Channel, Device, Gpadl, OpenParams, Packet
from hvstack.loopback._guest import Guest, GuestChannel, GuestPacket, Offer, Ring, raw_packet
from hvstack.loopback._machine import Buffer, Counters, Machine, Pages
from hvstack.loopback._native_types import OfferFlags, PacketType
from hvstack.loopback._storage import SCSI_CLASS, ScsiDriver, ScsiResult, add_scsi

__all__ = [
    "SCSI_CLASS",
    "Buffer",
    "Channel",
    "Counters",
    "Device",
    "Gpadl",
    "Guest",
    "GuestChannel",
    "GuestPacket",
    "Machine",
    "Offer",
    "OfferFlags",
    "OpenParams",
    "Packet",
    "PacketType",
    "Pages",
    "Ring",
    "ScsiDriver",
    "ScsiResult",
    "add_scsi",
    "raw_packet",
]
