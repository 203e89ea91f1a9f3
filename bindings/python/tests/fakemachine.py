# SPDX-License-Identifier: MIT
"""A management socket that says what a test wants."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JSON = dict[str, Any]
# By method: a result, a Fail, SILENT, or a function of connection and parameters that returns one.
Answers = Mapping[str, Any]


SILENT = object()  # no answer


class Fail(Exception):
    def __init__(self, code: int, message: str = "no", data: JSON | None = None) -> None:
        super().__init__(message)
        self.body: JSON = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


class Connection:
    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.fds: list[int] = []
        self._buffer = b""

    def line(self) -> bytes | None:
        while b"\n" not in self._buffer:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 250)
            self.fds += fds
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def send(self, message: JSON) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def event(self, name: str, **members: Any) -> None:
        params = {"event": name, "time": "2026-01-01T00:00:00.000Z", **members}
        self.send({"jsonrpc": "2.0", "method": "event", "params": params})


class FakeMachine:
    """raw: bytes to say to the first request, instead; greeting: to whoever connects. The
    connection is closed after either."""

    def __init__(
        self,
        path: Path,
        answers: Answers | None = None,
        *,
        raw: bytes | None = None,
        greeting: bytes | None = None,
    ) -> None:
        self.path = path
        self.asked: list[tuple[str, JSON]] = []
        self._answers = answers or {}
        self._raw = raw
        self._greeting = greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connected,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connected: socket.socket) -> None:
        connection = Connection(connected)
        with connected:
            try:
                if self._greeting is not None:
                    connected.sendall(self._greeting)
                    connected.shutdown(socket.SHUT_WR)
                    while connected.recv(65536):
                        pass
                    return
                while (line := connection.line()) is not None:
                    if self._raw is not None:
                        connected.sendall(self._raw)
                        return
                    self._answer(connection, json.loads(line))
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                for fd in connection.fds:
                    os.close(fd)

    def _answer(self, connection: Connection, request: JSON) -> None:
        method, params = request["method"], request.get("params", {})
        assert request["jsonrpc"] == "2.0"
        self.asked.append((method, params))
        reply: JSON = {"jsonrpc": "2.0", "id": request["id"]}
        answer = self._answers.get(method, {} if method == "events" else Fail(-32601))
        try:
            if callable(answer):
                answer = answer(connection, params)
            if answer is SILENT:
                return
            if isinstance(answer, Fail):
                raise answer
            reply["result"] = answer
        except Fail as fail:
            reply["error"] = fail.body
        connection.send(reply)
