"""The process that sends the queries: `python -m skysail.bench.generator`, orders in, a line each, and results out.

A process of its own, so that it does not share the interpreter with anything; one thread, no event loop: what a query
costs here the server lacks, and a timer that is a millisecond late would look like a slow server. It speaks as much of
HTTP/1.1 as the data plane answers with.
"""

from __future__ import annotations

import gc
import resource
import select
import selectors
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from random import Random
from typing import BinaryIO, Self

import msgspec

from skysail.bench.requests import Requests
from skysail.bench.trial import Closed, Open, Order, Setup, Tally, Trial, arrivals
from skysail.clock import Clock, SystemClock

__all__ = ["Generator", "main"]

_PATIENCE = 10.0
"""Seconds after the last query within which its answer must come."""

_COARSE = 0.05
"""Longer waits may end a millisecond late, as epoll's do; shorter ones are by `select`, which counts microseconds."""

_READ, _BOTH = selectors.EVENT_READ, selectors.EVENT_READ | selectors.EVENT_WRITE


class Generator:
    """Sends queries over keep-alive connections and notes when the answers came; used with `with`.

    A query that is due while all connections are busy waits for one, and this waiting is part of its latency, as is any
    other that the server causes (coordinated omission).
    """

    def __init__(self, address: tuple[str, int], requests: Requests, clock: Clock) -> None:
        self._address = address
        self._requests = requests
        self._now = clock.monotonic
        self._selector = selectors.DefaultSelector()
        self._connections: list[_Connection] = []
        self._free: list[_Connection] = []
        self._free_since = 0.0
        self._tally = Tally()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.socket.close()
        self._selector.close()

    def closed(self, order: Closed) -> Trial:
        """Run a closed loop. Raises `OSError` where the server cannot be connected to."""
        self._begin(order.connections)
        began, cpu = self._now(), _cpu()
        end = began + order.seconds
        while (now := self._now()) < end:
            while self._free:
                self._send(self._free.pop(), now)
            self._receive(end - now)
        self._finish()
        return self._tally.trial(offered=None, seconds=order.seconds, cpu=(_cpu() - cpu) / (self._now() - began))

    def open(self, order: Open) -> Trial:
        """Run an open loop. Raises as `closed` does."""
        moments = arrivals(order.rate, order.seconds, Random(order.seed))
        self._begin(order.connections)
        began, cpu = self._now(), _cpu()
        waiting = deque(moment + began for moment in moments)
        end = began + order.seconds
        while (now := self._now()) < end:
            while waiting and self._free and waiting[0] <= now:
                self._send(self._free.pop(), waiting.popleft())
            self._receive(min(waiting[0] if waiting and self._free else inf, end) - now)
        cpu = (_cpu() - cpu) / order.seconds
        self._catch_up(waiting)
        self._finish()
        for due in waiting:
            self._tally.lose(due, self._now(), "unanswered")
        return self._tally.trial(offered=order.rate, seconds=order.seconds, cpu=cpu)

    def _catch_up(self, waiting: deque[float]) -> None:
        """Send what was due in time and could not be sent, as long as it is still worth waiting for."""
        end = self._now() + _PATIENCE
        while waiting and (now := self._now()) < end:
            while waiting and self._free:
                self._send(self._free.pop(), waiting.popleft())
            self._receive(end - now)

    def _begin(self, connections: int) -> None:
        """Have so many connections at least, all of them free."""
        while len(self._connections) < connections:
            self._connections.append(self._connect())
        gc.collect()
        self._tally = Tally()
        self._free = self._connections[:connections]
        self._free_since = self._now()

    def _finish(self) -> None:
        """Wait for the answers that are due still; what does not come is not waited for any longer."""
        end = self._now() + _PATIENCE
        while (now := self._now()) < end and any(connection.busy for connection in self._connections):
            self._receive(end - now)
        for connection in [connection for connection in self._connections if connection.busy]:
            self._lose(connection, "unanswered")

    def _connect(self) -> _Connection:
        connection = _Connection(socket.create_connection(self._address))
        self._selector.register(connection.socket, _READ, connection)
        return connection

    def _send(self, connection: _Connection, due: float) -> None:
        self._tally.send(due, self._free_since, self._now())
        connection.busy, connection.due = True, due
        if connection.write(self._requests.next()):
            self._selector.modify(connection.socket, _BOTH, connection)

    def _receive(self, seconds: float) -> None:
        """Wait so long at most, and take what has come."""
        if 0 < seconds < _COARSE:
            select.select([self._selector.fileno()], [], [], seconds)
            seconds = 0
        for key, events in self._selector.select(max(0, seconds)):
            connection: _Connection = key.data
            if events & selectors.EVENT_WRITE and not connection.write(b""):
                self._selector.modify(connection.socket, _READ, connection)
            if events & _READ:
                self._take(connection)

    def _take(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(connection, "lost")
            return
        answer = connection.read(data)
        if answer is not None and connection.busy:
            status, body = answer
            now = self._now()
            self._tally.answer(connection.due, now, status, body)
            self._release(connection, now)

    def _release(self, connection: _Connection, now: float) -> None:
        connection.busy = False
        if not self._free:
            self._free_since = now
        self._free.append(connection)

    def _lose(self, connection: _Connection, why: str) -> None:
        """A connection is of no use any more; there is another in its place."""
        self._selector.unregister(connection.socket)
        connection.socket.close()
        other = self._connections[self._connections.index(connection)] = self._connect()
        if connection.busy:
            self._tally.lose(connection.due, self._now(), why)
            self._release(other, self._now())
        elif connection in self._free:
            self._free[self._free.index(connection)] = other


class _Connection:
    """One connection, with at most one query on its way, which was due then."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self.busy = False
        self.due = 0.0
        self._unsent = memoryview(b"")
        self._received = b""

    def write(self, data: bytes) -> bool:
        """Send a request, or what is left of the last one; whether there is still some left."""
        unsent = memoryview(data) if data else self._unsent
        try:
            self._unsent = unsent[self.socket.send(unsent) :]
        except BlockingIOError:
            self._unsent = unsent
        except OSError:  # the server has hung up, of which the selector tells
            self._unsent = memoryview(b"")
        return len(self._unsent) > 0

    def read(self, data: bytes) -> tuple[int, bytes] | None:
        """The status and body of an answer, once it is whole."""
        if self._received:
            data = self._received + data
        head, end, body = data.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            self._received = data
            return None
        self._received = b""
        return int(head[9:12]), body


def _length(head: bytes) -> int:
    """The announced length of an answer's body."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def _cpu() -> float:
    """Seconds of a processor that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _orders(stream: BinaryIO) -> Iterator[Order]:
    decoder = msgspec.json.Decoder[Order](Order)
    for line in stream:
        yield decoder.decode(line)


def _generator(setup: Setup) -> Generator:
    rows: Sequence[bytes] = Path(setup.rows).read_bytes().splitlines()
    host = f"[{setup.host}]" if ":" in setup.host else setup.host
    requests = Requests(rows, host=f"{host}:{setup.port}", path=setup.path, token=setup.token)
    return Generator((setup.host, setup.port), requests, SystemClock())


def main() -> None:
    """Carry out the orders on standard input, until it ends. The first must be a `Setup`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    orders = _orders(sys.stdin.buffer)
    setup = next(orders)
    if not isinstance(setup, Setup):
        raise ValueError(f"the first order must be a setup, not {setup!r}")
    gc.disable()  # a collection in the midst of a loop would look as if the server had taken so long
    with _generator(setup) as generator:
        for order in orders:
            match order:
                case Closed():
                    trial = generator.closed(order)
                case Open():
                    trial = generator.open(order)
                case Setup():
                    raise ValueError("a setup is said once")
            sys.stdout.buffer.write(msgspec.json.encode(trial) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
