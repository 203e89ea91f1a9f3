# SPDX-License-Identifier: MIT
"""A client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
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


class AsyncClient(Methods):
    """A connection to a machine's management socket; `await AsyncClient.connect(path)` makes one.
    Calls may overlap. One that is cancelled goes on in the machine; its answer is thrown away."""

    def __init__(self, connected: socket.socket) -> None:
        """For connect(): a socket that does not block. It becomes the client's."""
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[JSON]] = {}
        self._sinks: list[Callable[[Event], None]] = []
        self._streams: list[AsyncEventStream] = []
        self._refusal: CallError | None = None  # of the connection, if nothing follows
        self._reason: Exception | None = None
        self._sending = asyncio.Lock()
        self._reader = self._loop.create_task(self._read())

    @classmethod
    async def connect(cls, socket_path: str | os.PathLike[str]) -> AsyncClient:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, os.fspath(socket_path))
        except BaseException:
            connecting.close()
            raise
        return cls(connecting)

    @classmethod
    async def open(cls, machine: str | None = None) -> AsyncClient:
        """As Client.open()."""
        return await cls.connect(await asyncio.to_thread(find_socket, machine))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """What the connection has under way ends: a guest that it froze is thawed."""
        self._fail(ConnectionClosed("the client was closed"))
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._socket.close()

    async def request(
        self, method: str, params: Mapping[str, Any] | None = None, fds: Sequence[int] = ()
    ) -> JSON:
        """Call a method that this class does not have."""
        return await self.call(Call(method, params or {}, lambda result: result, fds))

    async def call(self, call: Call[T]) -> T:
        self._check()
        if len(call.fds) > MAX_FDS:
            raise ValueError(f"more than {MAX_FDS} file descriptors")
        answer: asyncio.Future[JSON] = self._loop.create_future()
        if not call.progress:
            return call.decode(await self._result(call, answer))
        async with AsyncEventStream(self, _progress_sink(call.progress, answer)):
            return call.decode(await self._result(call, answer))

    def event_stream(self) -> AsyncEventStream:
        """Events from now on:
        `async with client.event_stream() as stream: async for event in stream: ...`"""
        return AsyncEventStream(self, None)

    async def _result(self, call: Call[T], answer: asyncio.Future[JSON]) -> JSON:
        self._last_id += 1
        number = self._last_id
        self._waiting[number] = answer
        try:
            await self._send(encode(number, call.method, call.params), call.fds)
            return await answer
        finally:
            self._waiting.pop(number, None)
            answer.cancel()

    async def _send(self, line: bytes, fds: Sequence[int]) -> None:
        async with self._sending:
            self._check()
            whole = False
            try:
                if fds:
                    line = line[await self._send_fds(line, fds) :]
                await self._loop.sock_sendall(self._socket, line)
                whole = True
            except (BrokenPipeError, ConnectionResetError):
                whole = True  # why is in what can still be read
            finally:
                if not whole:
                    self._fail(ConnectionClosed("a request could not be sent in full"))

    async def _send_fds(self, line: bytes, fds: Sequence[int]) -> int:
        while True:
            try:
                return socket.send_fds(self._socket, [line], list(fds))
            except BlockingIOError:
                writable = self._loop.create_future()
                self._loop.add_writer(self._socket, _wake, writable)
                try:
                    await writable
                finally:
                    self._loop.remove_writer(self._socket)

    async def _read(self) -> None:
        lines = Lines()
        try:
            while data := await self._loop.sock_recv(self._socket, 65536):
                for line in lines.feed(data):
                    self._handle(parse(line))
            self._ended()
        except ConnectionError:
            self._ended()
        except (ProtocolError, OSError) as error:
            self._fail(error)

    def _handle(self, message: Answer | Event | None) -> None:
        self._refusal = None
        if isinstance(message, Event):
            for sink in list(self._sinks):
                sink(message)
        elif message and message.id is None:
            # To something that was just asked, or to the connection, which is closed then.
            self._refusal = message.error
            for waiting in self._waiting.values():
                _answer(waiting, message)
        elif message and message.id in self._waiting:
            _answer(self._waiting[message.id], message)

    def _ended(self) -> None:
        self._fail(self._refusal or ConnectionClosed("the machine has ended the connection"))

    def _fail(self, reason: Exception) -> None:
        if self._reason:
            return
        self._reason = reason
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_again(reason))
        for stream in self._streams:
            stream._news.set()
        with contextlib.suppress(OSError):  # it is already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._reason:
            raise _again(self._reason)


def _answer(waiting: asyncio.Future[JSON], answer: Answer) -> None:
    if waiting.done():
        return
    if answer.error:
        waiting.set_exception(answer.error)
    else:
        waiting.set_result(answer.result)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _again(reason: Exception) -> Exception:
    """For somebody else to raise."""
    if isinstance(reason, CallError):
        return reason
    return type(reason)(*reason.args)


def _progress_sink(
    progress: Callable[[BackupProgress], None], answer: asyncio.Future[JSON]
) -> Callable[[Event], None]:
    def sink(event: Event) -> None:
        if event.name != "backup-progress":
            return
        try:
            progress(decode(BackupProgress, event.members, event.name))
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)

    return sink


class AsyncEventStream:
    """An asynchronous iterator over events."""

    def __init__(self, client: AsyncClient, sink: Callable[[Event], None] | None) -> None:
        self._client = client
        self._queue = EventQueue()
        self._news = asyncio.Event()
        self._sink = sink or self._put

    def _put(self, event: Event) -> None:
        self._queue.put(event)
        self._news.set()

    async def __aenter__(self) -> AsyncEventStream:
        self._client._sinks.append(self._sink)
        self._client._streams.append(self)
        try:
            await self._client.events()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        if not self._client._sinks and not self._client._reason:
            await self._client.events(False)

    def _leave(self) -> None:
        self._client._sinks.remove(self._sink)
        self._client._streams.remove(self)

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> Event:
        """As EventStream.get()."""
        if self not in self._client._streams:
            raise RuntimeError("use an event stream with 'async with'")
        while (event := self._queue.take()) is None:
            self._client._check()
            self._news.clear()
            await self._news.wait()
        return event
