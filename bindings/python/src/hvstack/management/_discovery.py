# SPDX-License-Identifier: MIT
"""Where machines listen: the folders that hvctl looks into."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from hvstack.management._records import GuestRecord
from hvstack.management._wire import Error

SYSTEM_FOLDER = Path("/run/hvstack")
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Machine:
    """`info` is None, and `error` says why, if it does not answer."""

    socket: Path
    info: GuestRecord | None
    error: Exception | None = None

    def is_called(self, name: str) -> bool:
        """Its name, its UUID, or its socket's name with or without ".sock"."""
        if self.socket.name in (name, f"{name}.sock"):
            return True
        return self.info is not None and (
            self.info.name == name or self.info.uuid.lower() == name.lower()
        )


def find_sockets() -> list[Path]:
    """Sockets in $XDG_RUNTIME_DIR/hvstack and /run/hvstack. Some may be left over."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folders = ([Path(runtime) / "hvstack"] if runtime else []) + [SYSTEM_FOLDER]
    found: list[Path] = []
    for folder in folders:
        with contextlib.suppress(OSError):  # it is not there, or not for us
            found += sorted(path for path in folder.iterdir() if path.is_socket())
    return found


def find_machines(timeout: float = PATIENCE_S) -> list[Machine]:
    """Ask each socket who is there, for so many seconds at most."""
    from hvstack.management._client import Client

    machines = []
    for path in find_sockets():
        try:
            with Client(path, timeout=timeout) as client:
                machines.append(Machine(path, client.info()))
        except (Error, OSError) as error:
            machines.append(Machine(path, None, error))
    return machines


def find_socket(name: str | None = None) -> Path:
    """Of the machine of this name; None: of the only one that runs."""
    machines = [
        machine
        for machine in find_machines()
        if (machine.is_called(name) if name is not None else machine.info)
    ]
    if not machines:
        raise LookupError(f"there is no machine '{name}'" if name else "no machine is running")
    if len(machines) > 1:
        names = ", ".join(str(machine.socket) for machine in machines)
        raise LookupError(f"there are several machines: {names}")
    return machines[0].socket
