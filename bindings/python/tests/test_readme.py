# SPDX-License-Identifier: MIT
"""The code of README.md runs, and does what the text says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve
from fakemachine import Connection, Fail
from test_management import BEAT, INFO

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (Path(__file__).parents[1] / "README.md").read_text(), re.M | re.S
)


class Enough(Exception):
    pass


def start(connection: Connection, params: Any) -> dict[str, Any]:
    connection.event(
        "backup-progress", id="b", phase="copying", done_bytes=1, total_bytes=2, disk="disk0"
    )
    return {"manifest": {"id": "b"}}


def subscribe(connection: Connection, params: Any) -> dict[str, Any]:
    if params.get("subscribe", True):
        connection.event("heartbeat-missed", missed=1)
    return {}


@pytest.mark.parametrize(
    ("block", "printed"),
    [
        (0, ["None OK", "the guest's driver is not there"]),
        (1, ["2026-01-01T00:00:00.000Z heartbeat-missed {'missed': 1}"]),
        (2, ["copying 1 2"]),
        (3, []),
    ],
)
def test_code_of_the_readme(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, printed: list[str]
) -> None:
    serve({
        "info": INFO, "heartbeat": BEAT, "kvp-set": {"delivered": True}, "events": subscribe,
        "shutdown": Fail(5, "the guest's driver is not there"), "backup-start": start,
    })  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("hvstack.management._discovery.SYSTEM_FOLDER", tmp_path)
    lines: list[str] = []

    def show(*words: object) -> None:
        lines.append(" ".join(map(str, words)))
        if lines == printed:
            raise Enough

    code = compile(BLOCKS[block], f"README.md, block {block}", "exec")
    if printed:
        with pytest.raises(Enough):
            exec(code, {"print": show, "__name__": "readme"})
    else:
        exec(code, {"print": show, "__name__": "readme"})
    assert lines == printed


def test_all_code_of_the_readme_is_in_this_test() -> None:
    assert len(BLOCKS) == 4
