# SPDX-License-Identifier: MIT
"""Constants of the library, and what turns its values into Python's."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from hvstack._native import ffi, lib

Bytes = bytes | bytearray | memoryview
F = TypeVar("F", bound=Callable[..., Any])

PAGE = 4096


class PacketType(enum.IntEnum):
    INBAND = lib.HVS_PACKET_INBAND
    TRANSFER_PAGES = lib.HVS_PACKET_TRANSFER_PAGES
    GPA_DIRECT = lib.HVS_PACKET_GPA_DIRECT
    COMPLETION = lib.HVS_PACKET_COMPLETION


class OfferFlags(enum.IntFlag):
    INTERFACE = lib.HVS_OFFER_INTERFACE
    PIPE = lib.HVS_OFFER_PIPE
    SOCKET = lib.HVS_OFFER_SOCKET


def check(status: int, what: str) -> int:
    """status, if it is not a negative errno."""
    if status < 0:
        name = errno.errorcode.get(-status, "unknown")
        raise OSError(-status, f"{what}: {name}, {os.strerror(-status)}")
    return status


def guid(value: UUID) -> Any:
    return [value.bytes_le]


def uuid(value: Any) -> UUID:
    return UUID(bytes_le=bytes(value.b))


def packet_type(value: int) -> int:
    return PacketType(value) if value in PacketType._value2member_map_ else value


def callback(error: Any = None) -> Callable[[F], F]:
    """Makes a function what the library calls by its name; error is what C gets if it raises."""

    def register(function: F) -> F:
        ffi.def_extern(error=error)(function)
        return function

    return register


class Iovec:
    """Bytes for C, as long as this lives."""

    def __init__(self, *pieces: Bytes) -> None:
        self._pieces = [ffi.from_buffer(piece) for piece in pieces]
        self.array = ffi.new("struct iovec[]", max(len(pieces), 1))
        self.count = len(pieces)
        for entry, piece in zip(self.array, self._pieces, strict=False):
            entry.iov_base = ffi.cast("void *", piece)
            entry.iov_len = len(piece)


def page_ranges(ranges: Sequence[tuple[int, int]]) -> Any:
    """Of (offset, length)."""
    array = ffi.new("struct hvs_page_range[]", max(len(ranges), 1))
    for entry, (offset, length) in zip(array, ranges, strict=False):
        entry.offset, entry.len = offset, length
    return array
