# SPDX-License-Identifier: MIT
"""What methods return. Members that a newer server adds are left out."""

from __future__ import annotations

import dataclasses
import functools
import types
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hvstack.management._wire import ProtocolError

Service = Literal["heartbeat", "kvp", "shutdown", "time-sync", "vss", "file-copy"]
Pool = Literal["external", "guest", "auto", "auto-external"]
HostPool = Literal["external", "auto-external"]
Action = Literal["power-off", "restart", "hibernate"]
Consistency = Literal["auto", "application", "crash"]

T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    protocol: int
    library: str
    server: str
    role: str


@dataclass(frozen=True)
class Method:
    name: str
    allowed: bool


@dataclass(frozen=True)
class State:
    code: int
    name: str


@dataclass(frozen=True)
class ServiceStatus:
    service: str
    name: str
    enabled: bool
    open: bool
    ready: bool
    primary: State
    secondary: State | None
    framework: str | None
    version: str | None
    requests: int
    failures: int
    timeouts: int
    malformed: int
    waiting: int


@dataclass(frozen=True)
class Heartbeat(ServiceStatus):
    application: str
    beats: int
    missed: int
    last_beat_ms: int | None
    up_ms: int


@dataclass(frozen=True)
class GuestOs:
    """What the guest told the hypervisor."""

    id: str | None = None
    name: str | None = None
    version: str | None = None
    open_source: bool | None = None


@dataclass(frozen=True)
class OsRecord:
    """What the guest's KVP daemon says."""

    name: str | None = None
    version: str | None = None
    build: str | None = None
    architecture: str | None = None
    integration_services: str | None = None
    computer: str | None = None


@dataclass(frozen=True)
class Addresses:
    ipv4: list[str] | None = None
    ipv6: list[str] | None = None


@dataclass(frozen=True)
class GuestHeartbeat:
    primary: State
    up_ms: int


@dataclass(frozen=True)
class GuestRecord:
    """`guest_os`, `os` and `addresses` are the guest's words: don't trust them."""

    name: str | None
    uuid: str
    state: str | None
    vmbus: str | None
    guest_os: GuestOs | None
    os: OsRecord | None
    addresses: Addresses | None
    heartbeat: GuestHeartbeat | None


@dataclass(frozen=True)
class Devices:
    """What VMM and library know of each."""

    disks: list[dict[str, Any]]
    nets: list[dict[str, Any]]


@dataclass(frozen=True)
class KvpItem:
    key: str
    value: str


@dataclass(frozen=True)
class KvpList:
    items: list[KvpItem]
    complete: bool
    age_ms: int | None


@dataclass(frozen=True)
class IpConfig:
    dhcp: bool
    addresses: list[str]
    gateways: list[str]
    dns: list[str]


@dataclass(frozen=True)
class CaptureStatus:
    active: bool
    packets: int
    dropped: int
    bytes: int
    error: str | None


@dataclass(frozen=True)
class BackupCheck:
    """`application`: whether the guest can be frozen; if not, `reason` says why."""

    application: bool
    flags: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class BackupProgress:
    id: str
    phase: str
    done_bytes: int
    total_bytes: int  # 0: not known yet
    disk: str | None = None  # while it is copied


@dataclass(frozen=True)
class BackupStatus:
    """The others are those of BackupProgress, if `active`."""

    active: bool
    id: str | None = None
    phase: str | None = None
    disk: str | None = None
    done_bytes: int | None = None
    total_bytes: int | None = None


_hints = functools.cache(get_type_hints)


def _record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ProtocolError(f"{where} is not an object")
    members: dict[str, Any] = {}
    hints = _hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in value:
            at = f"{where}.{field.name}"
            members[field.name] = _decode(hints[field.name], value[field.name], at)
        elif field.default is dataclasses.MISSING:
            raise ProtocolError(f"{where} has no member '{field.name}'")
    return kind(**members)


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where)
    if origin in (Union, types.UnionType):
        (some,) = (one for one in get_args(kind) if one is not NoneType)
        return None if value is None else _decode(some, value, where)
    if origin is list and isinstance(value, list):
        return [_decode(get_args(kind)[0], one, f"{where}[{n}]") for n, one in enumerate(value)]
    kind = origin or kind
    if value.__class__ is not kind:  # bool is not an int here
        raise ProtocolError(f"{where} is not of type {getattr(kind, '__name__', kind)}")
    return value


def decode(kind: type[T], value: Any, where: str) -> T:
    """The value, made of what JSON has. ProtocolError: it is something else."""
    return cast(T, _decode(kind, value, where))
