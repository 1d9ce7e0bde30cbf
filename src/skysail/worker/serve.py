"""The worker's only loop: batches in from every frontend, results out, one at a time and in turn."""

from __future__ import annotations

import logging
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from skysail.errors import ProtocolError
from skysail.wire.messages import MAX_FRAME, MODEL_ERROR, Batch, Hello, Result, encode
from skysail.wire.protocol import Protocol, State

__all__ = ["Server", "Stop"]

_LOG = logging.getLogger(__name__)

_CHUNK = 1 << 18
_MOST_WAITING = 16
"""Batches of one connection that may wait here; more wait in its socket."""

_STALLED = 30.0
"""Seconds after which a frontend that takes no bytes is hung up on."""


class Stop:
    """A request to stop, which a signal handler or another thread may make at any time."""

    def __init__(self) -> None:
        self.requested = False
        self.fd = -1
        self._write_fd = -1

    def __enter__(self) -> Self:
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.fd)
        os.close(self._write_fd)

    def request(self) -> None:
        """Ask; asking again is harmless."""
        if not self.requested:
            self.requested = True
            os.write(self._write_fd, b"\0")


class Server:
    """Serves one model to all that connect to a listening socket.

    `run` is called for each batch, and `rest` when it has been answered. Every connection with a batch waiting has one
    run in each turn, so none starves another; one that breaks the protocol, hangs up or stalls is closed, and costs the
    others nothing but the batch in hand.
    """

    def __init__(
        self,
        listener: socket.socket,
        hello: Hello,
        run: Callable[[Batch], Result],
        stop: Stop,
        *,
        limit: int = MAX_FRAME,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._listener = listener
        self._hello = hello
        self._run = run
        self._stop = stop
        self._limit = limit
        self._rest = rest
        self._selector: selectors.BaseSelector
        self._connections: dict[socket.socket, _Connection] = {}

    def serve(self) -> None:
        """Serve until a stop is requested; the batch in hand is finished and answered first."""
        self._listener.setblocking(False)
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._stop.fd, selectors.EVENT_READ)
            while not self._stop.requested:
                self._turn()
            for connection in list(self._connections.values()):
                self._close(connection)

    def _turn(self) -> None:
        """Take what has come, then run one batch of each connection that has one."""
        waiting = any(connection.batches for connection in self._connections.values())
        for key, _ in self._selector.select(0 if waiting else None):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data is not None:
                self._read(key.data)
        for connection in [c for c in self._connections.values() if c.batches]:
            if self._stop.requested:
                return
            self._answer(connection, connection.batches.popleft())
            self._rest()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it went as it came
            return
        accepted.setblocking(False)
        connection = _Connection(accepted, Protocol(State.BATCHES, limit=self._limit))
        self._connections[accepted] = connection
        self._selector.register(accepted, selectors.EVENT_READ, connection)
        self._send(connection, b"".join(encode(self._hello)))

    def _read(self, connection: _Connection) -> None:
        if len(connection.batches) >= _MOST_WAITING:
            return
        try:
            data = connection.socket.recv(_CHUNK)
            if not data:
                connection.protocol.receive_eof()
                self._close(connection)
                return
            connection.protocol.receive_data(data)
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            self._close(connection, error)
            return
        connection.batches.extend(message for message in connection.protocol.events() if isinstance(message, Batch))

    def _answer(self, connection: _Connection, batch: Batch) -> None:
        result = self._run(batch)
        try:
            buffers = encode(result, self._limit)
        except ProtocolError as error:  # outputs that are too large together; the messages are not
            message = f"the outputs of this batch cannot be sent: {error.message}".encode()
            n = len(result.payloads)
            result = result._replace(statuses=bytes([MODEL_ERROR]) * n, payloads=[message] * n, traceback="")
            buffers = encode(result, self._limit)
        self._send(connection, b"".join(buffers))

    def _send(self, connection: _Connection, data: bytes) -> None:
        try:
            try:
                sent = connection.socket.send(data)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                connection.socket.settimeout(_STALLED)
                connection.socket.sendall(memoryview(data)[sent:])
                connection.socket.setblocking(False)
        except OSError as error:
            self._close(connection, error)

    def _close(self, connection: _Connection, error: Exception | None = None) -> None:
        """Hang up, and forget what was asked there."""
        if isinstance(error, ProtocolError | TimeoutError):
            _LOG.warning("%s: hung up on a frontend: %s", self._hello.replica, error)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        del self._connections[connection.socket]


class _Connection:
    """One frontend: its socket, what it is saying, and its batches that wait."""

    __slots__ = ("batches", "protocol", "socket")

    def __init__(self, socket: socket.socket, protocol: Protocol) -> None:
        self.socket = socket
        self.protocol = protocol
        self.batches: deque[Batch] = deque()
