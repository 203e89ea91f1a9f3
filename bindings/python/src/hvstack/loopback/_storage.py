# SPDX-License-Identifier: MIT
"""The library's SCSI controller with disks in memory, and its driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from hvstack._native import ffi, lib
from hvstack.loopback._guest import GuestChannel
from hvstack.loopback._machine import GUEST, HOST, Machine
from hvstack.loopback._native_types import PAGE, Bytes, check, guid

SCSI_CLASS = UUID("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f")
BLOCK = 512


def add_scsi(
    machine: Machine,
    disks: Sequence[bytearray],
    *,
    instance_id: UUID | None = None,
    read_only: bool = False,
) -> UUID:
    """Offer the library's controller, with a disk for each bytearray, of whole blocks of 512 bytes:
    LUN 0 is the first. Until the machine is closed, they can't change their length. Returns its
    instance."""
    if any(not disk or len(disk) % BLOCK for disk in disks):
        raise ValueError(f"disks are whole blocks of {BLOCK} bytes")
    instance = instance_id or uuid5(SCSI_CLASS, str(len(machine._keep)))
    config = ffi.new("struct hvs_storvsp_config *")
    config.size = ffi.sizeof("struct hvs_storvsp_config")
    config.instance_id = guid(instance)
    out = ffi.new("struct hvs_storvsp **")
    with machine._calling(HOST) as lb:
        status = lib.hvs_storvsp_create(lib.hvs_loopback_bus(lb), config, out)
    check(status, "add_scsi")
    for lun, disk in enumerate(disks):
        data = ffi.from_buffer(disk, require_writable=True)
        memory = ffi.new("struct hvs_memdisk *")
        memory.size = ffi.sizeof("struct hvs_memdisk")
        memory.data, memory.len, memory.block_size = ffi.cast("void *", data), len(disk), BLOCK
        memory.flags = lib.HVS_BLK_INFO_READ_ONLY if read_only else 0
        machine._keep += [data, memory]
        where = ffi.new("struct hvs_disk_config *")
        where.size = ffi.sizeof("struct hvs_disk_config")
        where.lun = lun
        where.disk_id = guid(uuid5(instance, str(lun)))
        with machine._calling(HOST):
            status = lib.hvs_storvsp_attach(out[0], where, lib.hvs_memdisk_ops(), memory, ffi.NULL)
        check(status, f"disk {lun}")
    return instance


@dataclass(frozen=True)
class ScsiResult:
    srb_status: int
    scsi_status: int  # 0: good
    sense: bytes
    data: bytes  # that the device sent


class ScsiDriver:
    """Speaks the storage protocol on a channel that was just opened. version: as (major, minor)."""

    def __init__(self, channel: GuestChannel, version: tuple[int, int] = (6, 2)) -> None:
        self.channel = channel
        self._machine = channel.guest.machine
        limit = ffi.new("uint32_t *")
        pointer = channel._open()
        with self._machine._calling(GUEST):
            status = lib.hvs_guest_stor_init(pointer, version[0] << 8 | version[1], limit)
        check(status, "ScsiDriver")
        self.max_transfer_bytes: int = limit[0]

    def execute(
        self, cdb: Bytes, *, lun: int = 0, data_out: Bytes = b"", data_in: int = 0
    ) -> ScsiResult:
        """Send a command, with data, or room for so many bytes, and wait for it."""
        if not 0 < len(cdb) <= 16:
            raise ValueError("a CDB is 1 to 16 bytes")
        if data_out and data_in:
            raise ValueError("data goes one way")
        size = len(data_out) or data_in
        command = ffi.new("struct hvs_guest_scsi *")
        command.lun, command.cdb_len = lun, len(cdb)
        command.cdb = bytes(cdb).ljust(16, b"\0")
        command.direction = lib.HVS_GUEST_STOR_NONE
        result = ffi.new("struct hvs_guest_scsi_result *")
        pages = self._machine.alloc(-(-size // PAGE)) if size else None
        if pages:
            command.direction = lib.HVS_GUEST_STOR_OUT if data_out else lib.HVS_GUEST_STOR_IN
            command.buffer.gpa, command.buffer.len = pages.gpa, size
            pages.view[: len(data_out)] = data_out
        pointer = self.channel._open()
        with self._machine._calling(GUEST):
            status = lib.hvs_guest_stor_execute(pointer, command, result)
        check(status, "execute")  # a command that has not ended keeps its pages
        got = bytes(pages.view[: min(result.transferred, data_in)]) if pages else b""
        if pages:
            pages.free()
        sense = bytes(result.sense)[: result.sense_len]
        return ScsiResult(result.srb_status, result.scsi_status, sense, got)
