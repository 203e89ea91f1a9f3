# SPDX-License-Identifier: MIT
"""Both clients: what they ask for, what they make of answers, and of what is no answer."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve
from fakemachine import SILENT, Connection, Fail

from hvstack import management as m
from hvstack.management import AsyncClient, Client

OK = {"code": 2, "name": "OK"}
STATUS = {
    "service": "heartbeat", "name": "Heartbeat", "enabled": True, "open": True, "ready": True,
    "primary": OK, "secondary": None, "framework": "3.0", "version": "3.0", "requests": 1,
    "failures": 2, "timeouts": 3, "malformed": 4, "waiting": 5,
}  # fmt: skip
INFO = {
    "name": "web1", "uuid": "0b5f3c1e-6d0a-4f7e-9a53-5f2f6f0d8c11", "state": "running",
    "vmbus": "5.3", "guest_os": {"id": "0x81", "name": "Linux", "version": "6.1", "new": 1},
    "os": None, "addresses": {"ipv4": ["192.0.2.7"], "ipv6": []},
    "heartbeat": {"primary": OK, "up_ms": 81000},
}  # fmt: skip
IP = {"dhcp": True, "addresses": ["192.0.2.7/24"], "gateways": [], "dns": []}
BEAT = {**STATUS, "application": "healthy", "beats": 4, "missed": 0, "last_beat_ms": 9, "up_ms": 1}
CAPTURED = {"active": True, "packets": 3, "dropped": 0, "bytes": 99, "error": None}
WAS_CAPTURED = m.CaptureStatus(True, 3, 0, 99, None)
MORE = {"of": "a newer server"}

# What is called, method and parameters that are asked for, the answer, what is returned.
CALLS: list[tuple[Callable[[Any], Any], str, dict[str, Any], dict[str, Any], Any]] = [
    (lambda c: c.version(), "version", {},
     {"protocol": 1, "library": "0.1.0", "server": "x", "role": "operator", **MORE},
     m.Version(1, "0.1.0", "x", "operator")),
    (lambda c: c.methods(), "methods", {}, {"methods": [{"name": "info", "allowed": True}]},
     [m.Method("info", True)]),
    (lambda c: c.events(), "events", {}, {}, None),
    (lambda c: c.events(False), "events", {"subscribe": False}, {}, None),
    (lambda c: c.info(), "info", {}, INFO,
     m.GuestRecord("web1", str(INFO["uuid"]), "running", "5.3",
                   m.GuestOs("0x81", "Linux", "6.1"), None, m.Addresses(["192.0.2.7"], []),
                   m.GuestHeartbeat(m.State(2, "OK"), 81000))),
    (lambda c: c.devices(), "devices", {}, {"disks": [{"disk": "a"}], "nets": []},
     m.Devices([{"disk": "a"}], [])),
    (lambda c: c.metrics(), "metrics", {}, {"text": "# EOF\n"}, "# EOF\n"),
    (lambda c: c.services(), "services", {}, {"services": [STATUS]},
     [m.ServiceStatus("heartbeat", "Heartbeat", True, True, True, m.State(2, "OK"), None, "3.0",
                      "3.0", 1, 2, 3, 4, 5)]),
    (lambda c: c.service_enable("kvp", False), "service-enable",
     {"service": "kvp", "enabled": False}, {}, None),
    (lambda c: c.heartbeat(), "heartbeat", {}, BEAT,
     m.Heartbeat("heartbeat", "Heartbeat", True, True, True, m.State(2, "OK"), None, "3.0", "3.0",
                 1, 2, 3, 4, 5, "healthy", 4, 0, 9, 1)),
    (lambda c: c.time_sync(timeout_ms=5), "time-sync", {"timeout_ms": 5}, {}, None),
    (lambda c: c.shutdown(), "shutdown", {"action": "power-off"}, {}, None),
    (lambda c: c.shutdown("restart", force=True, reason="r", guest_timeout_s=3, timeout_ms=4),
     "shutdown", {"action": "restart", "force": True, "reason": "r", "guest_timeout_s": 3,
                  "timeout_ms": 4}, {}, None),
    (lambda c: c.channels(), "channels", {}, {"channels": [{}]}, [{}]),
    (lambda c: c.kvp_list("auto", refresh=True), "kvp-list", {"pool": "auto", "refresh": True},
     {"items": [{"key": "k", "value": "\u00e4"}], "complete": True, "age_ms": None},
     m.KvpList([m.KvpItem("k", "\u00e4")], True, None)),
    (lambda c: c.kvp_get("auto", "k"), "kvp-get", {"pool": "auto", "key": "k"}, {"value": "v"},
     "v"),
    (lambda c: c.kvp_set("k", "\u00e4"), "kvp-set", {"key": "k", "value": "\u00e4"},
     {"delivered": True}, True),
    (lambda c: c.kvp_delete("k", pool="auto-external"), "kvp-delete",
     {"key": "k", "pool": "auto-external"}, {"delivered": False}, False),
    (lambda c: c.ip_get("net0"), "ip-get", {"net": "net0"}, IP,
     m.IpConfig(True, ["192.0.2.7/24"], [], [])),
    (lambda c: c.ip_get(mac="00:15:5d:00:00:01", timeout_ms=1), "ip-get",
     {"mac": "00:15:5d:00:00:01", "timeout_ms": 1}, IP, m.IpConfig(True, ["192.0.2.7/24"], [], [])),
    (lambda c: c.ip_set("n", dhcp=False, addresses=["a"], gateways=["b"], dns=["c"], timeout_ms=1),
     "ip-set", {"net": "n", "dhcp": False, "addresses": ["a"], "gateways": ["b"], "dns": ["c"],
                "timeout_ms": 1}, {}, None),
    (lambda c: c.copy_file_start("/tmp", "x", 3, overwrite=True, create_path=False, timeout_ms=1),
     "copy-file-start", {"directory": "/tmp", "name": "x", "bytes": 3, "overwrite": True,
                         "create_path": False, "timeout_ms": 1}, {"piece": 6144}, 6144),
    (lambda c: c.copy_file_write(b"abc"), "copy-file-write", {"data": "YWJj"}, {"written": 3}, 3),
    (lambda c: c.copy_file_finish(), "copy-file-finish", {}, {}, None),
    (lambda c: c.copy_file_cancel(), "copy-file-cancel", {}, {}, None),
    (lambda c: c.backup_check(timeout_ms=1), "backup-check", {"timeout_ms": 1},
     {"application": False, "reason": "no"}, m.BackupCheck(False, None, "no")),
    (lambda c: c.freeze(timeout_ms=1, hold_ms=2), "freeze", {"timeout_ms": 1, "hold_ms": 2},
     {"hold_ms": 2}, 2),
    (lambda c: c.thaw(), "thaw", {}, {"frozen_ms": 5}, 5),
    (lambda c: c.backup_start({"a": (0, 0)}, consistency="crash", parent="x", max_bytes_per_s=1),
     "backup-start", {"disks": ["a"], "consistency": "crash", "parent": "x", "max_bytes_per_s": 1},
     {"manifest": {"id": "y"}}, {"id": "y"}),
    (lambda c: c.backup_status(), "backup-status", {}, {"active": False}, m.BackupStatus(False)),
    (lambda c: c.backup_cancel(), "backup-cancel", {}, {}, None),
    (lambda c: c.disks(), "disks", {}, {"disks": [{}]}, [{}]),
    (lambda c: c.disk_add("a.img"), "disk-add", {"disk": "a.img"}, {"disk": "disk1"}, "disk1"),
    (lambda c: c.disk_remove("a"), "disk-remove", {"disk": "a"}, {}, None),
    (lambda c: c.disk_resize("a", "2G"), "disk-resize", {"disk": "a", "size": "2G"}, {}, None),
    (lambda c: c.disk_resize("a"), "disk-resize", {"disk": "a"}, {}, None),
    (lambda c: c.disk_read_only("a", True), "disk-read-only", {"disk": "a", "on": True}, {}, None),
    (lambda c: c.disk_limit("a", iops=1, bps=2), "disk-limit", {"disk": "a", "iops": 1, "bps": 2},
     {}, None),
    (lambda c: c.disk_latency("a", True), "disk-latency", {"disk": "a", "on": True}, {}, None),
    (lambda c: c.disk_fault("a", "error=io"), "disk-fault", {"disk": "a", "rules": "error=io"}, {},
     None),
    (lambda c: c.medium_insert("cd", "/x"), "medium-insert", {"disk": "cd", "file": "/x"}, {},
     None),
    (lambda c: c.medium_eject("cd", force=True), "medium-eject", {"disk": "cd", "force": True}, {},
     None),
    (lambda c: c.nets(), "nets", {}, {"nets": []}, []),
    (lambda c: c.net_add("user"), "net-add", {"net": "user"}, {"net": "net1"}, "net1"),
    (lambda c: c.net_remove("n"), "net-remove", {"net": "n"}, {}, None),
    (lambda c: c.net_link("n", False), "net-link", {"net": "n", "up": False}, {}, None),
    (lambda c: c.net_policy("n", None), "net-policy", {"net": "n", "policy": None}, {}, None),
    (lambda c: c.net_capture("n", "/c", max_bytes=9), "net-capture",
     {"net": "n", "file": "/c", "max-bytes": 9}, {}, None),
    (lambda c: c.net_mirror("n", "o"), "net-mirror", {"net": "n", "to": "o"}, {}, None),
    (lambda c: c.net_forward("n", "tcp:1:2"), "net-forward", {"net": "n", "forward": "tcp:1:2"}, {},
     None),
    (lambda c: c.net_unforward("n", "tcp:1:2"), "net-unforward", {"net": "n", "forward": "tcp:1:2"},
     {}, None),
    (lambda c: c.channel_capture("/c", device="d", max_bytes=9, max_packet=8), "channel-capture",
     {"file": "/c", "device": "d", "max-bytes": 9, "max-packet": 8}, {}, None),
    (lambda c: c.channel_capture(), "channel-capture", {}, CAPTURED, WAS_CAPTURED),
    (lambda c: c.channel_capture_status(), "channel-capture-status", {}, CAPTURED, WAS_CAPTURED),
]  # fmt: skip

# What is no answer: the machine says this to the first request, and closes the connection.
RUBBISH: list[tuple[bytes, type[Exception]]] = [
    (b"", m.ConnectionClosed),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", m.ProtocolError),
    (b"\xff\xfe\0\0\n", m.ProtocolError),
    (b"[]\n", m.ProtocolError),
    (b"{} {}\n", m.ProtocolError),
    (b"\n", m.ProtocolError),
    (b"[" * 100000 + b"\n", m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1,"result":{"a":' + b"9" * 5000 + b"}}\n", m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":null,"result":{}}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1,"result":[]}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":"1","result":{}}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1,"error":{}}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":7}}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":1,"error":null}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","method":"event"}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","method":"event","params":{"event":1,"time":2}}\n', m.ProtocolError),
    (b'{"jsonrpc":"2.0","id":7,"result":{}}\n', m.ConnectionClosed),
    (b'{"jsonrpc":"2.0","id":1,"res', m.ConnectionClosed),
    (b'{"jsonrpc":"2.0","method":"news","params":3}\n', m.ConnectionClosed),
]

# Results that have the wrong things in them, or nothing.
ODD: list[tuple[Callable[[Client], object], str, dict[str, Any]]] = [
    (lambda c: c.version(), "version", {"protocol": "1", "library": "", "server": "", "role": ""}),
    (lambda c: c.version(), "version", {}),
    (lambda c: c.services(), "services", {"services": [None]}),
    (lambda c: c.services(), "services", {"services": {}}),
    (lambda c: c.services(), "services", {"services": [{**STATUS, "requests": True}]}),
    (lambda c: c.services(), "services", {"services": [{**STATUS, "primary": None}]}),
    (lambda c: c.metrics(), "metrics", {"text": ["x"]}),
    (lambda c: c.info(), "info", {**INFO, "addresses": {"ipv4": [1]}}),
    (lambda c: c.thaw(), "thaw", {"frozen_ms": 1e300}),
    (lambda c: c.devices(), "devices", {"disks": [3], "nets": []}),
    (lambda c: c.backup_start({"a": (0, 0)}), "backup-start", {"manifest": []}),
]


def in_asyncio(path: Path, what: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(30), await AsyncClient.connect(path) as client:
            return await what(client)

    return asyncio.run(main())


def in_both(path: Path, what: Callable[[Any], Any]) -> list[Any]:
    """What both clients return."""
    with Client(path, timeout=30) as client:
        first = what(client)
    return [first, in_asyncio(path, what)]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call[1]))
def test_each_method_asks_for_the_right_thing_and_returns_what_was_answered(
    serve: Serve, call: Any
) -> None:
    what, method, params, answer, returned = call
    machine = serve({method: answer})
    assert in_both(machine.path, what) == [returned, returned]
    assert machine.asked == [(method, params)] * 2


def test_every_method_is_in_this_test() -> None:
    assert {call[1] for call in CALLS} == set(m.METHODS)


def test_every_method_says_what_it_takes() -> None:
    for name in m.METHODS.values():
        parameters = inspect.signature(getattr(Client, name)).parameters
        assert "args" not in parameters
        assert "kwargs" not in parameters


@pytest.mark.parametrize("code", m.ERRORS)
def test_errors_are_exceptions_with_the_code_of_the_protocol(serve: Serve, code: int) -> None:
    machine = serve({"thaw": Fail(code, "because", {"guest_status": 5, "needs": ["backup"]})})
    with Client(machine.path, timeout=30) as client:
        with pytest.raises(m.ERRORS[code], match="because") as caught:
            client.thaw()
        assert caught.value.code == code
        assert client.request("events") == {}  # the connection goes on

    async def thaw(client: AsyncClient) -> None:
        with pytest.raises(m.ERRORS[code], match="because"):
            await client.thaw()
        await client.events()

    in_asyncio(machine.path, thaw)


def test_errors_have_what_belongs_to_them(serve: Serve) -> None:
    machine = serve({
        "thaw": Fail(6, "x", {"guest_status": 0x80004005, "guest_error": "failed"}),
        "freeze": Fail(1, "x", {"needs": ["backup", "administrator"]}),
        "info": Fail(6, "x", {"guest_status": "odd", "guest_error": 3}),
        "devices": Fail(1, "x", {"needs": 7}),
        "metrics": Fail(99, "new"),
    })  # fmt: skip
    with Client(machine.path, timeout=30) as client:
        with pytest.raises(m.GuestError) as failed:
            client.thaw()
        assert (failed.value.guest_status, failed.value.guest_error) == (0x80004005, "failed")
        with pytest.raises(m.AccessDenied) as denied:
            client.freeze()
        assert denied.value.needs == ["backup", "administrator"]
        with pytest.raises(m.GuestError) as odd:
            client.info()
        assert (odd.value.guest_status, odd.value.guest_error) == (None, None)
        with pytest.raises(m.AccessDenied) as none:
            client.devices()
        assert none.value.needs == []
        with pytest.raises(m.CallError) as new:
            client.metrics()
        assert new.value.code == 99


def test_the_errors_are_those_of_the_schema(source: Path) -> None:
    schema = json.loads((source / "docs/management.schema.json").read_text())
    assert set(m.ERRORS) == set(schema["$defs"]["error"]["properties"]["code"]["enum"])


def test_parameters_are_those_of_the_schema(source: Path) -> None:
    schema = json.loads((source / "docs/management.schema.json").read_text())
    for name, described in schema["methods"].items():
        taken = set().union(*(call[2] for call in CALLS if call[1] == name))
        assert taken <= set(described["params"]["properties"]), name
        here = inspect.signature(getattr(Client, m.METHODS[name])).parameters
        named = {"bytes" if n == "size" else n for n in here} - {"self", "progress"}
        assert named == set(described["params"]["properties"]), name


def test_the_methods_of_hvrun_are_there(source: Path) -> None:
    text = "".join(path.read_text() for path in (source / "tools/hvrun").glob("control_*.c"))
    names = set(re.findall(r'^\t\{"([a-z-]+)", HVS_ROLES_', text, re.MULTILINE))
    assert len(names) > 10
    schema = json.loads((source / "docs/management.schema.json").read_text())
    assert names | set(schema["methods"]) == set(m.METHODS)


@pytest.mark.parametrize(("raw", "kind"), RUBBISH)
def test_what_is_no_answer_ends_the_connection(
    serve: Serve, raw: bytes, kind: type[Exception]
) -> None:
    machine = serve(raw=raw)
    if not raw.endswith(b"\n"):
        kind = m.ConnectionClosed  # the line has not ended
    with Client(machine.path, timeout=30) as client:
        for _ in range(2):
            with pytest.raises(kind):
                client.info()

    async def info(client: AsyncClient) -> None:
        for _ in range(2):
            with pytest.raises(kind):
                await client.info()

    in_asyncio(machine.path, info)


@pytest.mark.parametrize(("what", "method", "answer"), ODD)
def test_results_of_the_wrong_kind_are_refused(
    serve: Serve, what: Callable[[Any], Any], method: str, answer: dict[str, Any]
) -> None:
    machine = serve({method: answer})
    with Client(machine.path, timeout=30) as client, pytest.raises(m.ProtocolError, match=method):
        what(client)
    with pytest.raises(m.ProtocolError, match=method):
        in_asyncio(machine.path, what)


def test_a_line_without_end_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvstack.management._wire.MAX_LINE", 100_000)
    machine = serve(raw=b'{"x":"' + b"y" * 300_000)
    with Client(machine.path, timeout=30) as client:
        with pytest.raises(m.ProtocolError, match="in a line"):
            client.info()
    with pytest.raises(m.ProtocolError, match="in a line"):
        in_asyncio(machine.path, lambda client: client.info())


def test_who_is_denied_hears_why(serve: Serve) -> None:
    no = b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"you have no role"}}\n'
    machine = serve(greeting=no)
    with Client(machine.path, timeout=30) as client:
        for _ in range(2):
            with pytest.raises(m.AccessDenied, match="you have no role"):
                client.info()
    with pytest.raises(m.AccessDenied, match="you have no role"):
        in_asyncio(machine.path, lambda client: client.info())


def test_long_answers_arrive(serve: Serve) -> None:
    text = "x" * (3 << 20)
    machine = serve({"metrics": {"text": text}})
    assert in_both(machine.path, lambda c: c.metrics()) == [text, text]


def test_long_requests_arrive(serve: Serve) -> None:
    data = os.urandom(1 << 20)
    machine = serve({"copy-file-write": {"written": len(data)}})
    assert in_both(machine.path, lambda c: c.copy_file_write(data)) == [len(data)] * 2
    assert len(machine.asked[0][1]["data"]) > len(data)


def test_an_answer_that_comes_too_late_is_thrown_away(serve: Serve) -> None:
    go_on = threading.Event()

    def late(connection: Connection, params: Any) -> dict[str, Any]:
        go_on.wait(30)
        return {"frozen_ms": 1}

    machine = serve({"thaw": late, "metrics": {"text": "t"}})
    with Client(machine.path, timeout=0.05) as client:
        with pytest.raises(TimeoutError):
            client.thaw()
        go_on.set()
        client.timeout = 30
        assert client.metrics() == "t"


def test_a_cancelled_call_leaves_the_connection_as_it_is(serve: Serve) -> None:
    go_on = threading.Event()

    def late(connection: Connection, params: Any) -> dict[str, Any]:
        go_on.wait(30)
        return {"frozen_ms": 1}

    machine = serve({"thaw": late, "metrics": {"text": "t"}})

    async def main(client: AsyncClient) -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.thaw()
        go_on.set()
        return await client.metrics()

    assert in_asyncio(machine.path, main) == "t"


def test_calls_overlap(serve: Serve) -> None:
    """Answers come in the opposite order."""
    keys: list[str] = []

    def hold(connection: Connection, params: Any) -> object:
        keys.append(params["key"])
        if len(keys) == 3:
            for n in 3, 2, 1:
                result = {"value": keys[n - 1]}
                connection.send({"jsonrpc": "2.0", "id": n, "result": result})
        return SILENT

    machine = serve({"kvp-get": hold})

    async def three(client: AsyncClient) -> list[str]:
        return list(await asyncio.gather(*(client.kvp_get("auto", key) for key in "abc")))

    assert in_asyncio(machine.path, three) == ["a", "b", "c"]


def test_events_come_while_others_wait(serve: Serve) -> None:
    def info(connection: Connection, params: Any) -> dict[str, Any]:
        connection.event("heartbeat-missed", missed=1)
        connection.event("heartbeat-missed", missed=2)
        return INFO

    machine = serve({"info": info})
    event = m.Event("heartbeat-missed", "2026-01-01T00:00:00.000Z", {"missed": 1})
    with Client(machine.path, timeout=30) as client, client.event_stream() as stream:
        client.info()
        assert next(stream) == event
        assert next(iter(stream)).members == {"missed": 2}
        with pytest.raises(TimeoutError):
            stream.get(timeout=0.01)

    async def watch(client: AsyncClient) -> None:
        async with client.event_stream() as stream:
            await client.info()
            assert await anext(stream) == event
            assert [e.members async for e in _some(stream, 1)] == [{"missed": 2}]

    in_asyncio(machine.path, watch)
    assert [asked for asked in machine.asked if asked[0] == "events"] == [
        ("events", {}), ("events", {"subscribe": False})
    ] * 2  # fmt: skip


async def _some(stream: m.AsyncEventStream, count: int) -> Any:
    for _ in range(count):
        yield await anext(stream)


def test_a_stream_ends_with_the_connection(serve: Serve) -> None:
    def hang_up(connection: Connection, params: Any) -> dict[str, Any]:
        connection.event("guest-shutdown", action="power-off")
        connection.socket.shutdown(1)
        raise BrokenPipeError

    machine = serve({"info": hang_up})
    with Client(machine.path, timeout=30) as client, client.event_stream() as stream:
        with pytest.raises(m.ConnectionClosed):
            client.info()
        with pytest.raises(m.ConnectionClosed):
            for _ in stream:
                pass

    async def watch(client: AsyncClient) -> None:
        async with client.event_stream() as stream:
            with pytest.raises(m.ConnectionClosed):
                await client.info()
            assert (await anext(stream)).name == "guest-shutdown"
            with pytest.raises(m.ConnectionClosed):
                await anext(stream)

    in_asyncio(machine.path, watch)


def test_events_that_are_too_many_are_counted(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvstack.management._wire.EventQueue.limit", 2)

    def info(connection: Connection, params: Any) -> dict[str, Any]:
        for n in range(5):
            connection.event("heartbeat-missed", missed=n)
        return INFO

    machine = serve({"info": info})
    with Client(machine.path, timeout=30) as client, client.event_stream() as stream:
        client.info()
        assert [stream.get().members["missed"] for _ in range(2)] == [0, 1]
        with pytest.raises(m.EventsLost, match="3 events"):
            stream.get()
        client.info()
        assert stream.get().members == {"missed": 0}


def test_a_stream_is_for_with(serve: Serve) -> None:
    with Client(serve().path, timeout=30) as client, pytest.raises(RuntimeError):
        next(client.event_stream())

    async def watch(client: AsyncClient) -> None:
        with pytest.raises(RuntimeError):
            await anext(client.event_stream())

    in_asyncio(serve().path, watch)


def test_progress_of_a_backup(serve: Serve, tmp_path: Path) -> None:
    images = []

    def start(connection: Connection, params: Any) -> dict[str, Any]:
        for done in range(3):
            connection.event("backup-progress", id="b", phase="copying", disk="a",
                             done_bytes=done, total_bytes=3)  # fmt: skip
            connection.event("heartbeat-missed", missed=1)
        images.append(len(connection.fds))
        for fd in connection.fds:
            os.write(fd, b"x")
        return {"manifest": {"id": "b"}}

    machine = serve({"backup-start": start})
    seen: list[m.BackupProgress] = []
    with (tmp_path / "image").open("wb") as image, (tmp_path / "map").open("wb") as map_file:
        disks = {"a": (image.fileno(), map_file.fileno())}
        manifests = in_both(machine.path, lambda c: c.backup_start(disks, progress=seen.append))
    assert manifests == [{"id": "b"}] * 2
    assert [p.done_bytes for p in seen] == [0, 1, 2] * 2
    assert seen[0] == m.BackupProgress("b", "copying", 0, 3, "a")
    assert images == [2, 2]
    assert (tmp_path / "image").read_bytes() == b"xx"


def test_what_progress_raises_is_raised(serve: Serve) -> None:
    def start(connection: Connection, params: Any) -> dict[str, Any]:
        connection.event("backup-progress", id="b", phase="copying", done_bytes=0, total_bytes=0)
        return {"manifest": {}}

    def fail(progress: m.BackupProgress) -> None:
        raise KeyError(progress.phase)

    machine = serve({"backup-start": start, "metrics": {"text": "t"}})
    with Client(machine.path, timeout=30) as client:
        with pytest.raises(KeyError, match="copying"):
            client.backup_start({"a": (0, 0)}, progress=fail)
        assert client.metrics() == "t"

    async def backup(client: AsyncClient) -> str:
        with pytest.raises(KeyError, match="copying"):
            await client.backup_start({"a": (0, 0)}, progress=fail)
        return await client.metrics()

    assert in_asyncio(machine.path, backup) == "t"


def test_more_files_than_a_request_may_have(serve: Serve) -> None:
    disks = {str(n): (0, 0) for n in range(65)}
    with Client(serve().path, timeout=30) as client, pytest.raises(ValueError, match="128"):
        client.backup_start(disks)


def test_after_close_there_is_nothing(serve: Serve) -> None:
    machine = serve({"metrics": {"text": "t"}})
    client = Client(machine.path)
    client.close()
    client.close()
    with pytest.raises(m.ConnectionClosed):
        client.metrics()

    async def main() -> None:
        client = await AsyncClient.connect(machine.path)
        waiting = asyncio.create_task(client.request("metrics"))
        await asyncio.sleep(0)
        await client.close()
        await client.close()
        with pytest.raises(m.ConnectionClosed):
            await waiting
        with pytest.raises(m.ConnectionClosed):
            await client.metrics()

    asyncio.run(main())


def test_parameters_that_json_does_not_have(serve: Serve) -> None:
    with Client(serve({"x": {}}).path, timeout=30) as client:
        with pytest.raises(ValueError, match="JSON"):
            client.request("x", {"n": float("nan")})
        assert client.request("x") == {}


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        in_asyncio(tmp_path / "nowhere", lambda client: client.info())


class TestDiscovery:
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setattr("hvstack.management._discovery.SYSTEM_FOLDER", tmp_path)

    def test_no_machine(self) -> None:
        assert m.find_sockets() == []
        with pytest.raises(LookupError, match="no machine is running"):
            Client.open()

    def test_machines_by_name(self, serve: Serve, tmp_path: Path) -> None:
        (tmp_path / "hvstack").mkdir()
        (tmp_path / "hvstack" / "no-socket").write_text("")
        web = serve({"info": INFO})
        mail = serve({"info": {**INFO, "name": "mail", "uuid": "ab" * 16}})
        serve(greeting=b"")
        assert [machine.info is None for machine in m.find_machines()] == [False, False, True]
        for name in "web1", str(INFO["uuid"]).upper(), web.path.name:
            with Client.open(name, timeout=30) as client:
                assert client.info().name == "web1"
        assert m.find_socket("mail") == mail.path
        with pytest.raises(LookupError, match="several"):
            m.find_socket()
        with pytest.raises(LookupError, match="'db'"):
            m.find_socket("db")

        async def ask() -> str | None:
            async with await AsyncClient.open("mail") as client:
                return (await client.info()).name

        assert asyncio.run(ask()) == "mail"

    def test_a_socket_that_was_left_over(self, serve: Serve) -> None:
        serve(greeting=b"").stop()
        (machine,) = m.find_machines()
        assert isinstance(machine.error, ConnectionRefusedError)
