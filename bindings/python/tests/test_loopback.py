# SPDX-License-Identifier: MIT
"""The loopback: what the examples do not show, and misuse."""

from __future__ import annotations

import errno
import gc
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from hvstack import loopback as lb
from hvstack.loopback import Channel, Device, Guest, GuestChannel, Machine, Packet, PacketType

CLASS = UUID("3b1c6e5e-0e2f-4d7c-8a52-7d0a3a6f1e01")


class Echo(Device):
    """Answers with what it was sent; remembers what happened."""

    def __init__(self, **options: object) -> None:
        super().__init__(CLASS, **options)  # type: ignore[arg-type]
        self.log: list[str] = []
        self.on_packet: Callable[[Channel, Packet], None] | None = None

    def open(self, channel: Channel) -> None:
        self.log.append(f"open {channel.params.subchannel}")

    def packet(self, channel: Channel, packet: Packet) -> None:
        self.log.append("packet")
        if self.on_packet:
            self.on_packet(channel, packet)
        else:
            channel.complete(packet.xid, packet.data)

    def close(self, channel: Channel) -> None:
        self.log.append("close")

    def destroyed(self) -> None:
        self.log.append("destroyed")


class World:
    """A machine with an echo device, whose channel is open."""

    def __init__(
        self, machine: Machine, device: Echo | None = None, ring_bytes: int = 4096
    ) -> None:
        self.machine = machine
        self.device = device or Echo()
        machine.offer(self.device)
        self.guest: Guest = machine.start()
        self.guest.connect()
        self.guest.request_offers()
        self.offer = self.guest.find_offer(CLASS)
        self.channel: GuestChannel = self.guest.open(self.offer, ring_bytes)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(ram_bytes=1 << 20) as machine:
        yield machine


@pytest.fixture
def world(machine: Machine) -> World:
    return World(machine)


# ---- life


def test_a_channel_comes_and_goes(world: World) -> None:
    host = world.device.channel
    assert host.is_open
    assert world.machine.guest_version == (5, 3)
    world.channel.close()
    assert not host.is_open
    assert world.device.channels == []
    with world.guest.open(world.offer):
        assert world.device.channel.id == host.id
    world.guest.unload()
    assert world.machine.guest_version is None
    world.machine.close()
    assert world.device.log == ["open 0", "close", "open 0", "close", "destroyed"]


def test_the_device_hears_how_it_was_opened(machine: Machine) -> None:
    world = World(machine, ring_bytes=8192)
    params = world.device.channel.params
    assert (params.subchannel, params.send_ring_bytes, params.recv_ring_bytes) == (0, 8192, 8192)
    assert len(params.user_data) == 120


def test_a_device_may_refuse(machine: Machine) -> None:
    class Refusing(Device):
        def open(self, channel: Channel) -> None:
            raise PermissionError(errno.EPERM, "no")

    machine.offer(Refusing(CLASS))
    guest = machine.start()
    guest.connect()
    guest.request_offers()
    with pytest.raises(OSError, match="EREMOTEIO") as caught:
        guest.open(guest.find_offer(CLASS))
    assert caught.value.errno == errno.EREMOTEIO


def test_devices_come_while_the_guest_runs(world: World) -> None:
    late = world.machine.offer(Device(UUID(int=5), flags=lb.OfferFlags.INTERFACE))
    world.machine.run()
    world.channel.events()
    offer = world.guest.find_offer(UUID(int=5))
    assert offer.flags == lb.OfferFlags.INTERFACE
    assert offer.instance_id == late.instance_id
    late.rescind()
    with pytest.raises(RuntimeError, match="not offered"):
        late.rescind()


def test_two_devices_of_one_class_have_instances_of_their_own(machine: Machine) -> None:
    one, other = machine.offer(Device(CLASS)), machine.offer(Device(CLASS))
    assert one.instance_id != other.instance_id
    with pytest.raises(OSError, match="EEXIST"):
        machine.offer(Device(CLASS, one.instance_id))
    with pytest.raises(RuntimeError, match="before"):
        machine.offer(one)


def test_the_same_happens_every_time() -> None:
    def run() -> list[object]:
        seen: list[object] = []
        with Machine() as machine:
            world = World(machine)
            world.device.on_packet = lambda ch, p: seen.append((ch.now_ns, p.xid))
            for n in range(20):
                world.channel.send(bytes(n), xid=n)
                machine.step()
                seen.append(machine.counters)
            return seen

    assert run() == run()


def test_limits_of_the_machine() -> None:
    with Machine(max_version=(4, 0)) as machine:
        guest = machine.start()
        with pytest.raises(OSError, match="EPROTONOSUPPORT"):
            guest.connect((4, 1))
        guest.connect((4, 0))
        with pytest.raises(OSError, match="EBUSY"):
            machine.start()
    with Machine(external_sints=True) as machine:
        World(machine)
    for ram_bytes in 0, -4096, 5000:
        with pytest.raises(ValueError, match="4096"):
            Machine(ram_bytes=ram_bytes)
    with pytest.raises(MemoryError):
        Machine(ram_bytes=1 << 52)


# ---- packets


def test_packets_both_ways(world: World) -> None:
    world.channel.send(b"12345", xid=1 << 63, wants_completion=True)
    answer = world.channel.recv()
    assert answer == lb.GuestPacket(PacketType.COMPLETION, 1 << 63, False, b"12345\0\0\0")
    assert world.channel.poll() is None
    world.device.channel.do(lambda ch: ch.send(memoryview(b"hello"), xid=3, wants_completion=True))
    assert world.channel.events() == 1
    packet = world.channel.poll()
    assert packet == lb.GuestPacket(PacketType.INBAND, 3, True, b"hello\0\0\0")
    got: list[Packet] = []
    world.device.on_packet = lambda ch, p: got.append(p)
    world.channel.complete(3, bytearray(b"thanks"))
    world.machine.run()
    assert (got[0].type, got[0].xid, got[0].data) == (PacketType.COMPLETION, 3, b"thanks\0\0")


def test_messages_of_a_pipe_have_their_length(machine: Machine) -> None:
    world = World(machine, Echo(flags=lb.OfferFlags.PIPE))
    world.device.on_packet = lambda ch, p: ch.send(p.data * 2)
    world.channel.send(b"abc")
    assert world.channel.recv().data == b"abcabc"


def test_guest_memory_of_a_packet(world: World) -> None:
    kept: list[Packet] = []

    def use(channel: Channel, packet: Packet) -> None:
        kept.append(packet)
        assert packet.buffer_bytes == 5000
        assert packet.read(4090, 8) == bytes(6) + b"\x01\x02"
        packet.write(b"out", 4997)
        with pytest.raises(OSError, match="ERANGE"):
            packet.write(b"four", 4997)
        with pytest.raises(OSError, match="ERANGE"):
            packet.read(4999, 2)
        with pytest.raises(ValueError, match="negative"):
            packet.read(-1, 1)

    world.device.on_packet = use
    pages, more = world.machine.alloc(), world.machine.alloc(2)
    more.view[0:2] = b"\x01\x02"
    world.channel.send(b"", buffers=[pages.buffer(), more.buffer(0, 904)])
    world.machine.run()
    assert bytes(more.view[901:904]) == b"out"
    with pytest.raises(RuntimeError, match="not the device's"):
        world.device.channel.do(lambda ch: kept[0].read())
    world.device.on_packet = lambda ch, p: kept.append(p)
    world.channel.send(b"")
    world.machine.run()
    with pytest.raises(RuntimeError, match="callback"):
        kept[1].read()


def test_memory_that_is_shared_for_longer(world: World) -> None:
    pages = world.machine.alloc(3)
    number = world.guest.share(world.offer.relid, pages)
    host = world.device.channel
    gpadl = host.do(lambda ch: ch.gpadl(number))
    assert host.do(lambda ch: len(gpadl)) == 3 * 4096
    host.do(lambda ch: gpadl.write(b"there", 8000))
    assert bytes(pages.view[8000:8005]) == b"there"
    assert host.do(lambda ch: gpadl.read(8000, 5)) == b"there"
    ranges = [(8000, 5), (0, 8)]
    host.do(lambda ch: ch.send_pages(7, ranges, b"look", xid=4))
    packet = world.channel.recv()
    assert (packet.type, packet.pageset_id) == (PacketType.TRANSFER_PAGES, 7)
    assert packet.ranges == ((8000, 5), (0, 8))
    with pytest.raises(OSError, match="ENOENT"):
        host.do(lambda ch: ch.gpadl(number + 1))
    host.do(lambda ch: gpadl.put())
    with pytest.raises(RuntimeError):
        gpadl.put()
    with pytest.raises(RuntimeError):
        len(gpadl)
    with pytest.raises(RuntimeError, match="given back"):
        host.do(lambda ch: gpadl.put())
    world.guest.unshare(world.offer.relid, number)
    again = world.guest.share(world.offer.relid, pages)
    held = host.do(lambda ch: ch.gpadl(again))
    world.channel.close()  # gives it back
    with pytest.raises(RuntimeError, match="closed"):
        held.read(0, 1)


def test_a_ring_that_is_full(world: World) -> None:
    world.device.on_packet = lambda ch, p: None
    with pytest.raises(BlockingIOError):
        for _ in range(100):
            world.channel.send(bytes(200), flush=False)
    with pytest.raises(OSError, match="EMSGSIZE"):
        world.channel.send(bytes(1 << 20))
    world.channel.flush()
    world.machine.run()
    world.channel.send(bytes(200))
    sent: list[int] = []

    def fill(channel: Channel) -> None:
        while True:
            channel.send(bytes(200))
            sent.append(1)

    with pytest.raises(BlockingIOError):
        world.device.channel.do(fill)
    assert 1 < len(sent) < 20


def test_subchannels(machine: Machine) -> None:
    world = World(machine, Echo(max_subchannels=2))
    world.device.channel.do(lambda ch: ch.offer_subchannels(2))
    for _ in range(3):  # the host sends one message at a time
        machine.run()
        world.channel.events()
    second = world.guest.open(world.guest.find_offer(CLASS, subchannel=2))
    assert {ch.params.subchannel for ch in world.device.channels} == {0, 2}
    second.send(b"by the second", wants_completion=True)
    assert second.recv().data.startswith(b"by the second")
    with pytest.raises(OSError, match="EINVAL"):
        world.device.channel.do(lambda ch: ch.offer_subchannels(3))


def test_a_device_that_stops_a_channel(world: World) -> None:
    world.device.on_packet = lambda ch, p: ch.fault("no such request")
    world.channel.send(b"x")
    world.machine.run()
    assert world.machine.counters.last_fault.startswith("device")
    with pytest.raises(OSError, match="ESHUTDOWN"):
        world.device.channel.do(lambda ch: ch.send(b"x"))


# ---- a guest that says anything


def test_messages_of_any_kind(world: World) -> None:
    assert world.guest.post(bytes(300)) != 0  # too long for the hypercall
    assert world.guest.post(bytes(8), connection_id=99) != 0
    with pytest.raises(TimeoutError):
        world.guest.wait_message(15)


def test_registers_and_hypercalls(world: World) -> None:
    world.guest.write_msr(0x40000000, 0x8100 << 48 | 77)
    assert world.guest.read_msr(0x40000000) == 0x8100 << 48 | 77
    with pytest.raises(OSError, match="0x40000fff"):
        world.guest.read_msr(0x40000FFF)
    assert world.guest.hypercall(0xFFFF) & 0xFFFF == 2  # invalid code
    assert world.guest.signal(world.offer.connection_id) == 0
    assert world.guest.signal(1 << 20) != 0


def test_raw_packets(world: World) -> None:
    for n in range(100):  # over the end of the ring
        world.channel.send_raw(lb.raw_packet(bytes(100), xid=n))
        assert world.channel.recv().xid == n
    with pytest.raises(RuntimeError, match="send_raw"):
        world.channel.send(b"x")
    with pytest.raises(ValueError, match="longer"):
        world.channel.send_raw(bytes(5000))


def test_ring_words_can_be_read_and_written(world: World) -> None:
    world.channel.send(b"12345678")
    assert world.channel.out_ring.write_index == 32
    assert bytes(world.channel.out_ring.data[16:24]) == b"12345678"
    world.channel.in_ring.interrupt_mask = 1
    assert bytes(world.channel.in_ring.control[8:12]) == b"\1\0\0\0"
    world.channel.in_ring.write_index = 13
    with pytest.raises(OSError, match="EPROTO"):
        world.channel.poll()


# ---- time, and whose turn it is


def test_what_happens_while_the_guest_waits() -> None:
    waits = []

    def wait(machine: Machine) -> None:
        waits.append(machine.counters.hypercalls)
        machine.advance(1000)
        machine.step(1)

    with Machine(on_wait=wait) as machine:
        world = World(machine)
        world.channel.send(b"x", wants_completion=True)
        world.channel.recv()
        assert waits

        world.device.on_packet = lambda ch, p: None
        world.channel.send(b"x", wants_completion=True)
        with pytest.raises(TimeoutError):
            world.channel.recv()


def test_what_raises_while_the_guest_waits() -> None:
    def wait(machine: Machine) -> None:
        raise LookupError("waiting")

    with Machine(on_wait=wait) as machine:
        guest = machine.start()
        with pytest.raises(LookupError, match="waiting"):
            guest.connect()


@pytest.mark.parametrize("meddle", [Machine.close, Machine.alloc, Machine.start])
def test_what_is_not_for_the_time_while_the_guest_waits(
    meddle: Callable[[Machine], object],
) -> None:
    with Machine(on_wait=meddle) as machine:
        guest = machine.start()
        with pytest.raises(RuntimeError, match="waiting"):
            guest.connect()


def test_a_budget(world: World) -> None:
    for _ in range(10):
        world.channel.send(b"x", flush=False)
    world.channel.flush()
    world.machine.step(1)
    assert 1 <= world.device.log.count("packet") < 10
    world.machine.run()
    assert world.device.log.count("packet") == 10
    with pytest.raises(ValueError, match="budget"):
        world.machine.step(0)


# ---- exceptions in callbacks


def test_what_a_callback_raises_is_raised_by_the_call(world: World) -> None:
    def fail(channel: Channel, packet: Packet) -> None:
        raise ZeroDivisionError(f"packet {packet.xid}")

    world.device.on_packet = fail
    for xid in 1, 2:
        world.channel.send(b"x", xid=xid, flush=False)
    world.channel.flush()
    with pytest.raises(ZeroDivisionError, match="packet 1"):
        world.machine.run()
    with pytest.raises(ZeroDivisionError, match="packet 2"):
        world.channel.recv()
    world.device.on_packet = None
    world.channel.send(b"works again", wants_completion=True)
    assert world.channel.recv().data.startswith(b"works again")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, AssertionError])
def test_nothing_that_is_raised_is_lost(world: World, kind: type[BaseException]) -> None:
    def fail(channel: Channel, packet: Packet) -> None:
        channel.kick()  # for ever, if it was handled
        raise kind

    world.device.on_packet = fail
    world.channel.send(b"x")
    with pytest.raises(kind):
        world.machine.run()


def test_callbacks_of_the_end_that_raise() -> None:
    class Bad(Echo):
        def close(self, channel: Channel) -> None:
            raise ValueError("close")

        def destroyed(self) -> None:
            raise ValueError("destroyed")

    with pytest.raises(ValueError, match="close") as caught, Machine() as machine:
        World(machine, Bad())
    assert machine.closed
    assert caught.value.__notes__ == ["after that, another callback has raised "
                                      "ValueError('destroyed')"]  # fmt: skip


def test_open_that_raises_something_else(machine: Machine) -> None:
    class Bad(Device):
        def open(self, channel: Channel) -> None:
            raise TypeError("open")

    machine.offer(Bad(CLASS))
    guest = machine.start()
    guest.connect()
    guest.request_offers()
    with pytest.raises(TypeError, match="open"):
        guest.open(guest.find_offer(CLASS))


def test_do_returns_and_raises(world: World) -> None:
    assert world.device.channel.do(lambda ch: ch.id) == world.device.channel.id
    with pytest.raises(ZeroDivisionError):
        world.device.channel.do(lambda ch: 1 // 0)


# ---- misuse


def test_nothing_works_when_the_machine_is_closed(machine: Machine) -> None:
    world = World(machine)
    pages, host = machine.alloc(), world.device.channel
    machine.close()
    calls: list[Callable[[], object]] = [
        machine.run, machine.step, machine.start, machine.alloc, machine.close, pages.free,
        lambda: machine.advance(1), lambda: machine.counters, lambda: machine.guest_version,
        lambda: machine.offer(Echo()), world.guest.connect, world.guest.request_offers,
        world.guest.unload, lambda: world.guest.offers, lambda: world.guest.open(world.offer),
        lambda: world.guest.share(1, pages), lambda: world.guest.post(b"x"),
        lambda: world.guest.wait_message(1), lambda: world.guest.hypercall(1),
        lambda: world.guest.read_msr(1), world.channel.close, world.channel.send,
        world.channel.recv, world.channel.poll, world.channel.flush, world.channel.events,
        world.channel.signal, lambda: world.channel.send_raw(b"x"), host.kick, host.recv,
        lambda: host.do(lambda ch: None), world.device.rescind,
        lambda: lb.add_scsi(machine, [bytearray(512)]), lambda: lb.ScsiDriver(world.channel),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError):
            call()
    assert not host.is_open
    # Views stay what they are.
    pages.view[:] = bytes(4096)
    world.channel.out_ring.write_index = 8
    assert world.channel.out_ring.write_index == 8
    with world.channel:
        pass
    machine.__exit__(None, None, None)


def test_a_view_outlives_the_machine() -> None:
    with Machine(ram_bytes=1 << 20) as machine:
        view = machine.alloc(4).view
    del machine
    gc.collect()
    view[:] = b"x" * len(view)
    assert bytes(view[-4:]) == b"xxxx"


def test_a_channel_that_was_closed(world: World) -> None:
    host = world.device.channel
    world.channel.close()
    calls: list[Callable[[], object]] = [
        world.channel.close, world.channel.send, world.channel.recv, host.kick, host.flush,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="closed"):
            call()
    with pytest.raises(LookupError):
        _ = world.device.channel


def test_what_only_callbacks_may_call(world: World) -> None:
    host = world.device.channel
    calls: list[Callable[[], object]] = [
        host.recv, host.send, lambda: host.complete(1), host.flush, lambda: host.set_timer(1),
        lambda: host.now_ns, lambda: host.fault("x"), lambda: host.offer_subchannels(1),
        lambda: host.gpadl(1), lambda: host.send_pages(1, [(0, 1)]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="Channel.do"):
            call()


def test_what_callbacks_may_not_call(world: World) -> None:
    calls: list[Callable[[], object]] = [
        world.machine.run, world.machine.close, world.machine.start, world.channel.recv,
        world.channel.send, world.channel.close, world.device.rescind, world.machine.alloc,
        lambda: world.device.channel.do(lambda ch: None), lambda: world.machine.offer(Echo()),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="not allowed now"):
            world.device.channel.do(lambda ch, call=call: call())  # type: ignore[misc]


def test_another_thread_may_not_use_the_machine(world: World) -> None:
    raised: list[RuntimeError] = []

    def use() -> None:
        try:
            world.machine.run()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "another thread" in str(raised[0])


def test_arguments_that_make_no_sense(world: World) -> None:
    pages = world.machine.alloc()
    calls: list[Callable[[], object]] = [
        lambda: world.guest.open(world.offer, 0), lambda: world.guest.open(world.offer, 100),
        lambda: world.guest.open(world.offer, -4096), lambda: world.machine.alloc(0),
        lambda: pages.buffer(4000, 200), lambda: pages.buffer(-1, 1), lambda: pages.buffer(1, -1),
        lambda: Device(CLASS, user_data=bytes(121)),
        lambda: lb.add_scsi(world.machine, [bytearray(100)]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError):  # noqa: PT011
            call()
    calls = [
        lambda: world.channel.send(b"x", xid=-1),
        lambda: world.guest.open(world.offer, 1 << 32),
        lambda: world.machine.advance(-1),
        lambda: world.device.channel.do(lambda ch: ch.set_timer(1 << 64)),
        lambda: world.machine.offer(Device(CLASS, max_packet_bytes=1 << 32)),
    ]
    for call in calls:
        with pytest.raises(OverflowError):
            call()
    with pytest.raises(MemoryError):
        world.machine.alloc(1 << 40)
    with pytest.raises(OSError, match="ENOMEM"):
        world.guest.open(world.offer, 1 << 30)
    with pytest.raises(TypeError):
        world.channel.send("text")  # type: ignore[arg-type]
    pages.free()
    with pytest.raises(RuntimeError, match="freed"):
        pages.free()


def test_a_forged_offer(world: World) -> None:
    forged = lb.Offer(CLASS, UUID(int=1), 0, 0, 0xFFFFFFFF, 0xFFFFFF, b"")
    with pytest.raises(OSError, match="EREMOTEIO|ETIMEDOUT"):
        world.guest.open(forged)
    world.channel.send(b"x", wants_completion=True)
    assert world.channel.recv().type == PacketType.COMPLETION


# ---- memory


def test_a_machine_that_nobody_closes_is_closed() -> None:
    log: list[str] = []

    def forget() -> weakref.ref[Machine]:
        machine = Machine()
        World(machine).device.log = log
        return weakref.ref(machine)

    with pytest.warns(ResourceWarning, match="was not closed"):
        machine = forget()
        gc.collect()
    assert machine() is None
    assert log == ["close", "destroyed"]


def test_devices_live_as_long_as_the_library_needs_them(machine: Machine) -> None:
    def offer() -> weakref.ref[Device]:
        return weakref.ref(machine.offer(Echo()))

    device = offer()
    gc.collect()
    assert device() is not None
    guest = machine.start()
    guest.connect()
    guest.request_offers()
    channel = guest.open(guest.find_offer(CLASS))
    gc.collect()
    channel.send(b"x", wants_completion=True)
    channel.recv()
    machine.close()
    gc.collect()
    assert device() is None


def test_the_interpreter_may_end_at_any_time() -> None:
    program = """
from uuid import UUID
from hvstack.loopback import Device, Machine
machine = Machine()
machine.offer(Device(UUID(int=9)))
guest = machine.start()
guest.connect()
guest.request_offers()
channel = guest.open(guest.find_offer(UUID(int=9)))
print("here")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_many_machines(machine: Machine) -> None:
    for n in range(50):
        with Machine(ram_bytes=1 << 20) as other:
            world = World(other)
            world.channel.send(struct.pack("<Q", n), wants_completion=True)
            assert world.channel.recv().data == struct.pack("<Q", n)


def test_disks_are_the_test_s(machine: Machine) -> None:
    disk = bytearray(4096)
    lb.add_scsi(machine, [disk, bytearray(512)], read_only=True)
    guest = machine.start()
    guest.connect()
    guest.request_offers()
    driver = lb.ScsiDriver(guest.open(guest.find_offer(lb.SCSI_CLASS)))
    assert driver.execute(b"\x25".ljust(10, b"\0"), data_in=8).data == struct.pack(">II", 7, 512)
    refused = driver.execute(struct.pack(">BxIxHx", 0x2A, 0, 1), data_out=bytes(512))
    assert refused.scsi_status == 2
    with pytest.raises(BufferError):
        disk.append(1)
    for cdb, options in (b"", {}), (bytes(17), {}), (bytes(6), {"data_out": b"x", "data_in": 1}):
        with pytest.raises(ValueError):  # noqa: PT011
            driver.execute(cdb, **options)  # type: ignore[arg-type]
    machine.close()
    disk.append(1)
