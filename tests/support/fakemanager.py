# SPDX-License-Identifier: MIT
"""A machine's management socket that says what a test wants, and remembers what it was asked."""

import array
import json
import os
import socket
import threading


class Error(Exception):
    """What a handler raises to have the call fail."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.body = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


class FakeManager:
    """answers: {method: result}, or a function of the parameters and the connection. A method that
    is not there is not known. raw: bytes to answer the first request with, instead; then the
    connection is closed. greeting: bytes for whoever connects, likewise."""

    def __init__(self, path, answers, raw=None, greeting=None):
        self.answers = answers
        self.raw = raw
        self.greeting = greeting
        self.asked = []  # (method, params)
        self.fds = []  # that came with the last request
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(8)
        self._threads = []
        self._closing = False
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(Connection(connection),))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with connection.socket:
            try:
                if self.greeting is not None:
                    connection.socket.sendall(self.greeting)
                    connection.socket.shutdown(socket.SHUT_WR)
                    connection.drain()
                    return
                while (line := connection.line()) is not None:
                    if self.raw is not None:
                        connection.socket.sendall(self.raw)
                        return
                    self._answer(connection, json.loads(line))
                    if connection.hang_up:
                        return
            except (BrokenPipeError, ConnectionResetError):
                pass

    def _answer(self, connection, request):
        method, params = request["method"], request.get("params")
        assert request["jsonrpc"] == "2.0", request
        self.asked.append((method, params))
        self.fds = connection.take_fds()
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            if method not in self.answers:
                raise Error(-32601, "method not found")
            result = self.answers[method]
            reply["result"] = result(params, connection) if callable(result) else result
        except Error as error:
            reply["error"] = error.body
        connection.send(reply)


class Connection:
    """One client, for handlers that want more than to answer."""

    def __init__(self, sock):
        self.socket = sock
        self.hang_up = False  # after this answer
        self._buffer = b""
        self._fds = []

    def send(self, message):
        self.socket.sendall(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def event(self, **params):
        self.send({"jsonrpc": "2.0", "method": "event", "params": params})

    def drain(self):
        while self.socket.recv(65536):
            pass

    def line(self):
        """None: the client has left."""
        while b"\n" not in self._buffer:
            data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(253 * 4))
            for level, kind, content in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                fds = array.array("i")
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
                self._fds.extend(fds)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def take_fds(self):
        """They become the caller's."""
        fds, self._fds = self._fds, []
        return fds


def close_all(fds):
    for fd in fds:
        os.close(fd)
