# SPDX-License-Identifier: MIT
"""Machines to talk to: one that says what a test wants, and the library's own server."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
DISK_BYTES = 4 << 20

sys.path.insert(0, str(HERE))
from fakemachine import FakeMachine  # noqa: E402


def _pkg_config(*words: str) -> list[str]:
    said = subprocess.run(["pkg-config", *words], check=True, capture_output=True, text=True)
    return shlex.split(said.stdout)


def _flags() -> list[str]:
    libraries = ["hvstack-host", "hvstack-guest", "hvstack"]
    build_dir = os.environ.get("HVSTACK_BUILD_DIR")
    if not build_dir:
        return _pkg_config("--cflags", "--libs", *libraries, "libevent_core", "json-c")
    folder = Path(build_dir).resolve() / "lib"
    return [
        f"-I{HERE.parents[2] / 'include'}",
        f"-L{folder}",
        f"-Wl,-rpath,{folder}",
        *(f"-l{library}" for library in libraries),
        *_pkg_config("--cflags", "--libs", "libevent_core", "json-c"),
    ]


@pytest.fixture(scope="session")
def server_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server, compiled. Skips where there is no libhvstack-host to compile it with."""
    program = tmp_path_factory.mktemp("server") / "server"
    try:
        flags = _flags()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("pkg-config does not know hvstack-host, libevent_core and json-c")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    strict = ["-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [*compiler, *strict, str(HERE / "server.c"), "-o", str(program), *flags], check=True
    )
    return program


@pytest.fixture
def server(server_program: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder of a server that runs: `socket`, `disk0.img`."""
    (tmp_path / "disk0.img").write_bytes(b"data" * (DISK_BYTES // 4))
    with subprocess.Popen(
        [server_program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield tmp_path
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture(scope="session")
def source() -> Path:
    """The tree of libhvstack that this folder is in."""
    tree = HERE.parents[2]
    if not (tree / "docs/management.schema.json").exists():
        pytest.skip("not in the tree of libhvstack")
    return tree


Serve = Callable[..., FakeMachine]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """serve(script): a machine that is called for each connection; see fakemachine."""
    running: list[FakeMachine] = []

    def start(*args: Any, **kwargs: Any) -> FakeMachine:
        machine = FakeMachine(tmp_path / f"fake{len(running)}", *args, **kwargs)
        running.append(machine)
        return machine

    yield start
    for machine in running:
        machine.stop()
