# SPDX-License-Identifier: MIT
"""Lines of JSON-RPC, and what they mean. Does no input or output."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

JSON = dict[str, Any]

MAX_LINE = 64 << 20
MAX_FDS = 128
MAX_EVENTS = 10_000  # that wait in a stream


class Error(Exception):
    """Whatever goes wrong with a machine's socket, except for OSError when it can't be opened."""


class ProtocolError(Error):
    """The other end does not speak the protocol. The connection is closed."""


class ConnectionClosed(Error, ConnectionError):
    """The other end has closed the connection, or close() was called."""


class EventsLost(Error):
    """Events came faster than they were taken. The stream goes on with later ones."""


class CallError(Error):
    """A call has failed: `code` and `data` as in docs/management.md, str() is the sentence."""

    code: int = 0

    def __init__(self, message: str, data: JSON | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data: JSON = data or {}


class ParseError(CallError):
    code = -32700


class InvalidRequest(CallError):
    code = -32600


class MethodNotFound(CallError):
    code = -32601


class InvalidParams(CallError):
    code = -32602


class InternalError(CallError):
    code = -32603


class AccessDenied(CallError):
    """`needs` are the roles that may."""

    code = 1

    @property
    def needs(self) -> list[str]:
        needs = self.data.get("needs")
        return [role for role in needs if isinstance(role, str)] if isinstance(needs, list) else []


class NotFound(CallError):
    code = 2


class Exists(CallError):
    code = 3


class Busy(CallError):
    code = 4


class NotReady(CallError):
    code = 5


class GuestError(CallError):
    """`guest_status` is an HRESULT, `guest_error` its meaning."""

    code = 6

    @property
    def guest_status(self) -> int | None:
        status = self.data.get("guest_status")
        return status if type(status) is int else None

    @property
    def guest_error(self) -> str | None:
        text = self.data.get("guest_error")
        return text if isinstance(text, str) else None


class GuestTimeout(CallError):
    code = 7


class Gone(CallError):
    code = 8


class NotSupported(CallError):
    code = 9


class Failed(CallError):
    code = 10


class TooMany(CallError):
    code = 11


class Cancelled(CallError):
    code = 12


# By the protocol's code.
ERRORS: Mapping[int, type[CallError]] = {
    kind.code: kind
    for kind in (
        ParseError, InvalidRequest, MethodNotFound, InvalidParams, InternalError, AccessDenied,
        NotFound, Exists, Busy, NotReady, GuestError, GuestTimeout, Gone, NotSupported, Failed,
        TooMany, Cancelled,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something has happened: `members` are those of the event, but for its name and time."""

    name: str
    time: str
    members: JSON = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    id: int | None  # None: the server did not understand which request
    result: JSON = field(default_factory=dict)
    error: CallError | None = None


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _error(body: Any) -> CallError:
    code = body.get("code") if isinstance(body, dict) else None
    message = body.get("message") if isinstance(body, dict) else None
    if type(code) is not int or not isinstance(message, str):
        raise ProtocolError("a call has failed, and the server does not say why")
    data = body.get("data")
    kind = ERRORS.get(code)
    error = kind(message) if kind else CallError(message)
    error.code = code
    error.data = data if isinstance(data, dict) else {}
    return error


def _event(params: Any) -> Event:
    if not isinstance(params, dict):
        raise ProtocolError("an event without members")
    members = dict(params)
    name, time = members.pop("event", None), members.pop("time", None)
    if not isinstance(name, str) or not isinstance(time, str):
        raise ProtocolError("an event without name or time")
    return Event(name, time, members)


def _answer(message: JSON) -> Answer:
    number = message.get("id")
    if number is not None and type(number) is not int:
        raise ProtocolError("an answer to a request that was not made")
    if "error" in message:
        return Answer(number, error=_error(message["error"]))
    result = message.get("result")
    if number is None or not isinstance(result, dict):
        raise ProtocolError("an answer without a result")
    return Answer(number, result)


def parse(line: bytes) -> Answer | Event | None:
    """None: a notification that is no event."""
    try:
        message = json.loads(line.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("the server says what is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("the server says what is not JSON-RPC")
    if "method" in message:
        return _event(message.get("params")) if message["method"] == "event" else None
    return _answer(message)


class Lines:
    """Cuts what was received into lines."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> list[bytes]:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join(self._pieces) + lines[0]
            self._pieces.clear()
            self._length = 0
        self._pieces.append(rest)
        self._length += len(rest)
        if self._length > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise ProtocolError(f"the server says more than {MAX_LINE} bytes in a line")
        return lines


def encode(number: int, method: str, params: Mapping[str, Any] | None) -> bytes:
    request: JSON = {"jsonrpc": "2.0", "id": number, "method": method}
    if params:
        request["params"] = params
    return json.dumps(request, ensure_ascii=False, allow_nan=False).encode() + b"\n"


class EventQueue:
    """Events that nobody has taken yet."""

    limit: ClassVar[int] = MAX_EVENTS

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._lost = 0

    def put(self, event: Event) -> None:
        if len(self._events) < self.limit:
            self._events.append(event)
        else:
            self._lost += 1

    def take(self) -> Event | None:
        if self._events:
            return self._events.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            raise EventsLost(f"{lost} events were lost")
        return None
