# SPDX-License-Identifier: MIT
"""Both clients against the library's own server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DISK_BYTES

from hvstack import management as m
from hvstack.management import AsyncClient, Client


@pytest.fixture
def client(server: Path) -> Iterator[Client]:
    with Client(server / "socket", timeout=30) as client:
        yield client


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Image and map of a backup."""
    with (tmp_path / "image").open("wb") as image, (tmp_path / "map").open("wb") as map_file:
        yield image.fileno(), map_file.fileno()


def test_the_client_has_every_method_of_the_server_and_no_other(
    client: Client, source: Path
) -> None:
    served = {method.name for method in client.methods()}
    schema = json.loads((source / "docs/management.schema.json").read_text())
    assert served == set(schema["methods"])
    prefixes = ("channel-", "disk", "medium", "net")
    of_hvrun = {name for name in m.METHODS if name.startswith(prefixes)}
    assert served == set(m.METHODS) - of_hvrun
    assert all(callable(getattr(client, name)) for name in m.METHODS.values())


def test_what_the_machine_is(client: Client) -> None:
    version = client.version()
    assert (version.protocol, version.server, version.role) == (1, "test 1.0", "administrator")
    info = client.info()
    assert (info.name, info.state) == ("web1", "running")
    assert client.devices() == m.Devices([{"disk": "disk0", "backup": True}], [])
    assert client.metrics().endswith("# EOF\n")


def test_services(client: Client) -> None:
    services = {status.service: status for status in client.services()}
    assert len(services) == 6
    assert not services["kvp"].ready
    assert client.heartbeat().last_beat_ms is None
    with pytest.raises(m.NotSupported):
        client.service_enable("heartbeat", False)  # this server can't
    with pytest.raises(m.NotReady):
        client.shutdown("restart", force=True)
    assert not client.backup_check().application


def test_pairs(client: Client) -> None:
    assert client.kvp_set("color", "blue \U0001f535") is False
    assert client.kvp_get("external", "color") == "blue \U0001f535"
    assert m.KvpItem("color", "blue \U0001f535") in client.kvp_list("external").items
    client.kvp_delete("color")
    with pytest.raises(m.NotFound):
        client.kvp_get("external", "color")


def test_errors_of_the_server(client: Client) -> None:
    with pytest.raises(m.InvalidParams, match="'pool'"):
        client.request("kvp-list")
    with pytest.raises(m.MethodNotFound):
        client.disks()
    with pytest.raises(m.InvalidRequest):
        client.kvp_set("k", "x" * 300_000)  # the line is too long
    with pytest.raises(m.NotReady):
        client.thaw()


def test_a_backup(client: Client, server: Path, files: tuple[int, int]) -> None:
    seen: list[m.BackupProgress] = []
    manifest = client.backup_start({"disk0": files}, consistency="crash", progress=seen.append)
    assert "copying" in {progress.phase for progress in seen}
    assert seen[-1].done_bytes == seen[-1].total_bytes == DISK_BYTES
    assert {progress.id for progress in seen} == {manifest["id"]}
    image = (server / "image").read_bytes()
    assert hashlib.sha256(image).digest() == hashlib.sha256(b"data" * (DISK_BYTES // 4)).digest()
    assert (server / "map").read_text().startswith("0 ")
    assert client.backup_status() == m.BackupStatus(False)


def test_a_backup_that_another_client_watches_and_cancels(
    server: Path, files: tuple[int, int]
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(60),
            await AsyncClient.connect(server / "socket") as one,
            await AsyncClient.connect(server / "socket") as other,
            other.event_stream() as stream,
        ):
            backup = asyncio.ensure_future(
                one.backup_start({"disk0": files}, consistency="crash", max_bytes_per_s=65536)
            )
            async for event in stream:
                if event.name == "backup-progress" and event.members["phase"] == "copying":
                    break
            status = await other.backup_status()
            assert (status.active, status.disk) == (True, "disk0")
            with pytest.raises(m.Busy):
                await other.backup_start({"disk0": files})
            await other.backup_cancel()
            with pytest.raises(m.Cancelled):
                await backup
            async for event in stream:
                if event.name == "backup-ended":
                    assert event.members["status"] == "cancelled"
                    break
            assert not (await one.backup_status()).active  # the connection goes on

    asyncio.run(main())


def test_files_that_are_not_right(client: Client, server: Path, files: tuple[int, int]) -> None:
    os.write(files[0], b"not empty")
    with pytest.raises(m.InvalidParams, match="empty regular files"):
        client.backup_start({"disk0": files})
    with pytest.raises(m.InvalidParams, match="two file descriptors"):
        client.request("backup-start", {"disks": ["disk0"]})
    with pytest.raises(m.NotFound):
        client.backup_start({"disk7": files})


def test_file_descriptors_stay_open_and_none_is_left(
    client: Client, files: tuple[int, int]
) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    client.backup_start({"disk0": files})
    assert os.fstat(files[0]).st_size == DISK_BYTES
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_many_calls_at_once(server: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), await AsyncClient.connect(server / "socket") as client:
            keys = [f"key{n}" for n in range(10)]
            await asyncio.gather(*(client.kvp_set(key, key * 50) for key in keys))
            values = await asyncio.gather(*(client.kvp_get("external", key) for key in keys))
            assert values == [key * 50 for key in keys]

    asyncio.run(main())


def test_the_machine_ends(server_program: Path, server: Path) -> None:
    with Client(server / "socket", timeout=30) as client:
        assert client.info().name == "web1"
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(server / "socket"))
            rude.sendall(b"{]\n\0\xff\n" * 10)
        assert client.info().name == "web1"
