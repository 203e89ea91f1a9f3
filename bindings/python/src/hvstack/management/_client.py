# SPDX-License-Identifier: MIT
"""A client that waits."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from hvstack.management._discovery import find_socket
from hvstack.management._methods import Call, Methods
from hvstack.management._records import BackupProgress, decode
from hvstack.management._wire import (
    JSON,
    MAX_FDS,
    Answer,
    CallError,
    ConnectionClosed,
    Event,
    EventQueue,
    Lines,
    ProtocolError,
    encode,
    parse,
)

T = TypeVar("T")


class Client(Methods):
    """A connection to a machine's management socket. Not for several threads at the same time.

    socket_path  where the machine listens. Client.open() finds it by the machine's name
    timeout      seconds that a call waits for its answer; None: as long as it takes. A call that
                 takes longer raises TimeoutError; its answer is thrown away
    """

    def __init__(
        self, socket_path: str | os.PathLike[str], *, timeout: float | None = None
    ) -> None:
        self.timeout = timeout
        self._lines = Lines()
        self._received: list[bytes] = []
        self._last_id = 0
        self._answers: dict[int, Answer | None] = {}  # of requests that are waited for
        self._sinks: list[Callable[[Event], None]] = []
        self._refusal: CallError | None = None  # of the connection, if nothing follows
        self._reason: Exception | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(os.fspath(socket_path))
        except BaseException:
            self._socket.close()
            raise

    @classmethod
    def open(cls, machine: str | None = None, *, timeout: float | None = None) -> Client:
        """The machine of this name, UUID or socket's name; None: the only one there is. Looks where
        hvctl does. LookupError: there is none, or there are several."""
        return cls(find_socket(machine), timeout=timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """What the connection has under way ends: a guest that it froze is thawed."""
        self._fail(ConnectionClosed("the client was closed"))

    def request(
        self, method: str, params: Mapping[str, Any] | None = None, fds: Sequence[int] = ()
    ) -> JSON:
        """Call a method that this class does not have."""
        return self.call(Call(method, params or {}, lambda result: result, fds))

    def call(self, call: Call[T]) -> T:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        if call.progress:
            with EventStream(self, _progress_sink(call.progress)):
                return call.decode(self._result(call, deadline))
        return call.decode(self._result(call, deadline))

    def event_stream(self) -> EventStream:
        """Events from now on: `with client.event_stream() as stream: for event in stream: ...`"""
        return EventStream(self, None)

    def _result(self, call: Call[T], deadline: float | None) -> JSON:
        number = self._send(call, deadline)
        self._answers[number] = None
        try:
            while (answer := self._answers[number]) is None:
                self._pump(deadline)
        finally:
            del self._answers[number]
        if answer.error:
            raise answer.error
        return answer.result

    def _send(self, call: Call[T], deadline: float | None) -> int:
        self._check()
        if len(call.fds) > MAX_FDS:
            raise ValueError(f"more than {MAX_FDS} file descriptors")
        self._last_id += 1
        line = encode(self._last_id, call.method, call.params)
        try:
            self._limit(deadline)
            sent = socket.send_fds(self._socket, [line], list(call.fds)) if call.fds else 0
            self._socket.sendall(line[sent:])
        except (BrokenPipeError, ConnectionResetError):
            pass  # why is in what can still be read
        except OSError as error:
            self._fail(ConnectionClosed(f"a request could not be sent: {error}"))
            raise
        return self._last_id

    def _limit(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("the machine has not answered in time")
        self._socket.settimeout(left)

    def _pump(self, deadline: float | None) -> None:
        """Handle a line."""
        self._check()
        while not self._received:
            self._limit(deadline)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise TimeoutError("the machine has not answered in time") from None
            except ConnectionError:
                data = b""
            if not data:
                self._fail(
                    self._refusal or ConnectionClosed("the machine has ended the connection")
                )
                self._check()
            try:
                self._received = self._lines.feed(data)
            except ProtocolError as error:
                self._fail(error)
                raise
        try:
            message = parse(self._received.pop(0))
        except ProtocolError as error:
            self._fail(error)
            raise
        self._refusal = None
        if isinstance(message, Event):
            for sink in list(self._sinks):
                sink(message)
        elif message:
            self._answered(message)

    def _answered(self, answer: Answer) -> None:
        if answer.id is None:  # to what was just asked, or to the connection, which is closed then
            self._refusal = answer.error
            self._answers = dict.fromkeys(self._answers, answer)
        elif answer.id in self._answers:
            self._answers[answer.id] = answer

    def _fail(self, reason: Exception) -> None:
        if not self._reason:
            self._reason = reason
            self._socket.close()

    def _check(self) -> None:
        if isinstance(self._reason, CallError):
            raise self._reason
        if self._reason:
            raise type(self._reason)(*self._reason.args)


def _progress_sink(progress: Callable[[BackupProgress], None]) -> Callable[[Event], None]:
    def sink(event: Event) -> None:
        if event.name == "backup-progress":
            progress(decode(BackupProgress, event.members, event.name))

    return sink


class EventStream:
    """An iterator over events. What comes while the client waits for answers is kept."""

    def __init__(self, client: Client, sink: Callable[[Event], None] | None) -> None:
        self._client = client
        self._queue = EventQueue()
        self._sink = sink or self._queue.put

    def __enter__(self) -> EventStream:
        self._client._sinks.append(self._sink)
        try:
            self._client.events()
        except BaseException:
            self._client._sinks.remove(self._sink)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client._sinks.remove(self._sink)
        if not self._client._sinks and not self._client._reason:
            self._client.events(False)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return self.get()

    def get(self, timeout: float | None = None) -> Event:
        """The next event. TimeoutError: none for so many seconds. EventsLost: the client was busy
        elsewhere. ConnectionClosed: the machine has ended."""
        if self._sink not in self._client._sinks:
            raise RuntimeError("use an event stream with 'with'")
        deadline = None if timeout is None else time.monotonic() + timeout
        while (event := self._queue.take()) is None:
            self._client._pump(deadline)
        return event
