# SPDX-License-Identifier: MIT
"""Every method of the protocol, for both clients."""

from __future__ import annotations

import base64
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from hvstack.management import _records as r
from hvstack.management._wire import JSON

if TYPE_CHECKING:
    from hvstack.management._aio import AsyncClient
    from hvstack.management._client import Client

P = ParamSpec("P")
T = TypeVar("T")

# Of the protocol, and what they are called here.
METHODS: dict[str, str] = {}


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what becomes of its result."""

    method: str
    params: Mapping[str, Any]
    decode: Callable[[JSON], T]
    fds: Sequence[int] = ()
    progress: Callable[[r.BackupProgress], None] | None = None


class _Method(Generic[P, T]):
    """Makes a method of a function that says what to ask: of Client one that returns the result, of
    AsyncClient one to be awaited."""

    def __init__(self, ask: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._ask = ask

    @overload
    def __get__(self, client: None, owner: type) -> Callable[Concatenate[Any, P], Call[T]]: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self._ask

        @functools.wraps(self._ask)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.call(self._ask(client, *args, **kwargs))

        return method


def _method(
    name: str,
) -> Callable[[Callable[Concatenate[Any, P], Call[T]]], _Method[P, T]]:
    def make(ask: Callable[Concatenate[Any, P], Call[T]]) -> _Method[P, T]:
        METHODS[name] = ask.__name__
        return _Method(ask)

    return make


def _given(**params: Any) -> JSON:
    """Those that are not None; "max-bytes" is max_bytes_ here."""
    return {
        name[:-1].replace("_", "-") if name.endswith("_") else name: value
        for name, value in params.items()
        if value is not None
    }


def _nothing(_: JSON) -> None:
    return None


def _record(name: str, kind: type[T]) -> Callable[[JSON], T]:
    return lambda result: r.decode(kind, result, name)


def _member(name: str, member: str, kind: type[T]) -> Callable[[JSON], T]:
    return lambda result: r.decode(kind, result.get(member), f"{name}.{member}")


class Methods:
    """What is left out, or None, the server decides. Times and sizes have their unit in the name;
    `timeout_ms` is how long the guest may take."""

    # ---- everybody's

    @_method("version")
    def version(self) -> Call[r.Version]:
        return Call("version", {}, _record("version", r.Version))

    @_method("methods")
    def methods(self) -> Call[list[r.Method]]:
        """Which methods the server has, and which of them this client may call."""
        return Call("methods", {}, _member("methods", "methods", list[r.Method]))

    @_method("events")
    def events(self, subscribe: bool | None = None) -> Call[None]:
        """Have events sent to this connection, or no longer. event_stream() does it by itself."""
        return Call("events", _given(subscribe=subscribe), _nothing)

    @_method("info")
    def info(self) -> Call[r.GuestRecord]:
        return Call("info", {}, _record("info", r.GuestRecord))

    @_method("devices")
    def devices(self) -> Call[r.Devices]:
        return Call("devices", {}, _record("devices", r.Devices))

    @_method("channels")
    def channels(self) -> Call[list[dict[str, Any]]]:
        """Of all devices, with what they have counted."""
        return Call("channels", {}, _member("channels", "channels", list[dict[str, Any]]))

    @_method("metrics")
    def metrics(self) -> Call[str]:
        """OpenMetrics text."""
        return Call("metrics", {}, _member("metrics", "text", str))

    # ---- integration services

    @_method("services")
    def services(self) -> Call[list[r.ServiceStatus]]:
        return Call("services", {}, _member("services", "services", list[r.ServiceStatus]))

    @_method("service-enable")
    def service_enable(self, service: r.Service, enabled: bool) -> Call[None]:
        return Call("service-enable", {"service": service, "enabled": enabled}, _nothing)

    @_method("heartbeat")
    def heartbeat(self) -> Call[r.Heartbeat]:
        return Call("heartbeat", {}, _record("heartbeat", r.Heartbeat))

    @_method("time-sync")
    def time_sync(self, *, timeout_ms: int | None = None) -> Call[None]:
        """Have the guest set its clock now."""
        return Call("time-sync", _given(timeout_ms=timeout_ms), _nothing)

    @_method("shutdown")
    def shutdown(
        self,
        action: r.Action = "power-off",
        *,
        force: bool | None = None,
        reason: str | None = None,
        guest_timeout_s: int | None = None,
        timeout_ms: int | None = None,
    ) -> Call[None]:
        """Returns when the guest has said that it will, not when it has."""
        params = _given(
            action=action,
            force=force,
            reason=reason,
            guest_timeout_s=guest_timeout_s,
            timeout_ms=timeout_ms,
        )
        return Call("shutdown", params, _nothing)

    @_method("kvp-list")
    def kvp_list(self, pool: r.Pool, *, refresh: bool | None = None) -> Call[r.KvpList]:
        """refresh: ask the guest, instead of what was seen last."""
        return Call("kvp-list", _given(pool=pool, refresh=refresh), _record("kvp-list", r.KvpList))

    @_method("kvp-get")
    def kvp_get(self, pool: r.Pool, key: str, *, refresh: bool | None = None) -> Call[str]:
        params = _given(pool=pool, key=key, refresh=refresh)
        return Call("kvp-get", params, _member("kvp-get", "value", str))

    @_method("kvp-set")
    def kvp_set(self, key: str, value: str, *, pool: r.HostPool | None = None) -> Call[bool]:
        """False: the guest is not there, and gets it when it is."""
        params = _given(key=key, value=value, pool=pool)
        return Call("kvp-set", params, _member("kvp-set", "delivered", bool))

    @_method("kvp-delete")
    def kvp_delete(self, key: str, *, pool: r.HostPool | None = None) -> Call[bool]:
        """As kvp_set()."""
        params = _given(key=key, pool=pool)
        return Call("kvp-delete", params, _member("kvp-delete", "delivered", bool))

    @_method("ip-get")
    def ip_get(
        self, net: str | None = None, *, mac: str | None = None, timeout_ms: int | None = None
    ) -> Call[r.IpConfig]:
        """Of the adapter of this id, or of this MAC address."""
        params = _given(net=net, mac=mac, timeout_ms=timeout_ms)
        return Call("ip-get", params, _record("ip-get", r.IpConfig))

    @_method("ip-set")
    def ip_set(
        self,
        net: str,
        *,
        dhcp: bool | None = None,
        addresses: Sequence[str] | None = None,
        gateways: Sequence[str] | None = None,
        dns: Sequence[str] | None = None,
        timeout_ms: int | None = None,
    ) -> Call[None]:
        """Addresses are "192.0.2.7/24"; what is left out is none."""
        params = _given(
            net=net,
            dhcp=dhcp,
            addresses=addresses,
            gateways=gateways,
            dns=dns,
            timeout_ms=timeout_ms,
        )
        return Call("ip-set", params, _nothing)

    @_method("copy-file-start")
    def copy_file_start(
        self,
        directory: str,
        name: str,
        size: int,
        *,
        overwrite: bool | None = None,
        create_path: bool | None = None,
        timeout_ms: int | None = None,
    ) -> Call[int]:
        """Begin to copy a file of so many bytes. Returns how many go into a copy_file_write()."""
        params = _given(
            directory=directory,
            name=name,
            bytes=size,
            overwrite=overwrite,
            create_path=create_path,
            timeout_ms=timeout_ms,
        )
        return Call("copy-file-start", params, _member("copy-file-start", "piece", int))

    @_method("copy-file-write")
    def copy_file_write(self, data: bytes | bytearray | memoryview) -> Call[int]:
        """Returns how many bytes were written until now."""
        params = {"data": base64.b64encode(data).decode()}
        return Call("copy-file-write", params, _member("copy-file-write", "written", int))

    @_method("copy-file-finish")
    def copy_file_finish(self) -> Call[None]:
        return Call("copy-file-finish", {}, _nothing)

    @_method("copy-file-cancel")
    def copy_file_cancel(self) -> Call[None]:
        return Call("copy-file-cancel", {}, _nothing)

    # ---- backup

    @_method("backup-check")
    def backup_check(self, *, timeout_ms: int | None = None) -> Call[r.BackupCheck]:
        params = _given(timeout_ms=timeout_ms)
        return Call("backup-check", params, _record("backup-check", r.BackupCheck))

    @_method("freeze")
    def freeze(self, *, timeout_ms: int | None = None, hold_ms: int | None = None) -> Call[int]:
        """Returns after how many ms the guest is thawed at the latest."""
        params = _given(timeout_ms=timeout_ms, hold_ms=hold_ms)
        return Call("freeze", params, _member("freeze", "hold_ms", int))

    @_method("thaw")
    def thaw(self) -> Call[int]:
        """Returns for how many ms the guest was frozen."""
        return Call("thaw", {}, _member("thaw", "frozen_ms", int))

    @_method("backup-start")
    def backup_start(
        self,
        disks: Mapping[str, tuple[int, int]],
        *,
        consistency: r.Consistency | None = None,
        parent: str | None = None,
        max_bytes_per_s: int | None = None,
        progress: Callable[[r.BackupProgress], None] | None = None,
    ) -> Call[dict[str, Any]]:
        """Back up these disks, and return the manifest when that has ended: store it, with the
        names of the files added (docs/backup.md).

        disks     file descriptors of image and map of each: empty regular files, open for writing.
                  They stay the caller's
        parent    id of the backup that this one is to build upon
        progress  is called, while this call waits, about once a second. If it raises, this call
                  ends with that; the backup goes on until backup_cancel() or close()
        """
        params = _given(
            disks=list(disks),
            consistency=consistency,
            parent=parent,
            max_bytes_per_s=max_bytes_per_s,
        )
        decode = _member("backup-start", "manifest", dict[str, Any])
        fds = [fd for pair in disks.values() for fd in pair]
        return Call("backup-start", params, decode, fds, progress)

    @_method("backup-status")
    def backup_status(self) -> Call[r.BackupStatus]:
        return Call("backup-status", {}, _record("backup-status", r.BackupStatus))

    @_method("backup-cancel")
    def backup_cancel(self) -> Call[None]:
        return Call("backup-cancel", {}, _nothing)

    # ---- hvrun's: other VMMs may not have them

    @_method("disks")
    def disks(self) -> Call[list[dict[str, Any]]]:
        return Call("disks", {}, _member("disks", "disks", list[dict[str, Any]]))

    @_method("disk-add")
    def disk_add(self, disk: str) -> Call[str]:
        """disk: as of hvrun's option --disk. Returns its id."""
        return Call("disk-add", {"disk": disk}, _member("disk-add", "disk", str))

    @_method("disk-remove")
    def disk_remove(self, disk: str) -> Call[None]:
        return Call("disk-remove", {"disk": disk}, _nothing)

    @_method("disk-resize")
    def disk_resize(self, disk: str, size: str | None = None) -> Call[None]:
        """size: "20G". None: somebody else has done it, and the guest is to see it."""
        return Call("disk-resize", _given(disk=disk, size=size), _nothing)

    @_method("disk-read-only")
    def disk_read_only(self, disk: str, on: bool) -> Call[None]:
        return Call("disk-read-only", {"disk": disk, "on": on}, _nothing)

    @_method("disk-limit")
    def disk_limit(
        self, disk: str, *, iops: int | None = None, bps: int | None = None
    ) -> Call[None]:
        """None: no limit of that kind."""
        return Call("disk-limit", _given(disk=disk, iops=iops, bps=bps), _nothing)

    @_method("disk-latency")
    def disk_latency(self, disk: str, on: bool) -> Call[None]:
        """Measure how long requests take, for metrics(), or no longer."""
        return Call("disk-latency", {"disk": disk, "on": on}, _nothing)

    @_method("disk-fault")
    def disk_fault(self, disk: str, rules: str) -> Call[None]:
        return Call("disk-fault", {"disk": disk, "rules": rules}, _nothing)

    @_method("medium-insert")
    def medium_insert(self, disk: str, file: str) -> Call[None]:
        return Call("medium-insert", {"disk": disk, "file": file}, _nothing)

    @_method("medium-eject")
    def medium_eject(self, disk: str, *, force: bool | None = None) -> Call[None]:
        return Call("medium-eject", _given(disk=disk, force=force), _nothing)

    @_method("nets")
    def nets(self) -> Call[list[dict[str, Any]]]:
        return Call("nets", {}, _member("nets", "nets", list[dict[str, Any]]))

    @_method("net-add")
    def net_add(self, net: str) -> Call[str]:
        """net: as of hvrun's option --net. Returns its id."""
        return Call("net-add", {"net": net}, _member("net-add", "net", str))

    @_method("net-remove")
    def net_remove(self, net: str) -> Call[None]:
        return Call("net-remove", {"net": net}, _nothing)

    @_method("net-link")
    def net_link(self, net: str, up: bool) -> Call[None]:
        return Call("net-link", {"net": net, "up": up}, _nothing)

    @_method("net-policy")
    def net_policy(self, net: str, policy: Mapping[str, Any] | None) -> Call[None]:
        """None: the policy that adapters begin with."""
        return Call("net-policy", {"net": net, "policy": policy}, _nothing)

    @_method("net-capture")
    def net_capture(
        self, net: str, file: str | None = None, *, max_bytes: int | None = None
    ) -> Call[None]:
        """file None: capture no longer."""
        return Call("net-capture", _given(net=net, file=file, max_bytes_=max_bytes), _nothing)

    @_method("net-mirror")
    def net_mirror(self, net: str, to: str | None = None) -> Call[None]:
        """to None: mirror no longer."""
        return Call("net-mirror", _given(net=net, to=to), _nothing)

    @_method("net-forward")
    def net_forward(self, net: str, forward: str) -> Call[None]:
        """forward: "tcp:[ADDR:]PORT:GUESTPORT"."""
        return Call("net-forward", {"net": net, "forward": forward}, _nothing)

    @_method("net-unforward")
    def net_unforward(self, net: str, forward: str) -> Call[None]:
        return Call("net-unforward", {"net": net, "forward": forward}, _nothing)

    @_method("channel-capture")
    def channel_capture(
        self,
        file: str | None = None,
        *,
        device: str | None = None,
        max_bytes: int | None = None,
        max_packet: int | None = None,
    ) -> Call[r.CaptureStatus | None]:
        """file None: capture no longer; returns what the capture had. device: an instance id."""
        params = _given(file=file, device=device, max_bytes_=max_bytes, max_packet_=max_packet)
        status = _record("channel-capture", r.CaptureStatus)
        return Call("channel-capture", params, _nothing if file is not None else status)

    @_method("channel-capture-status")
    def channel_capture_status(self) -> Call[r.CaptureStatus]:
        status = _record("channel-capture-status", r.CaptureStatus)
        return Call("channel-capture-status", {}, status)
