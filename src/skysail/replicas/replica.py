"""The near end of one worker: a connection that is kept, batches out, results in, and a hang noticed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import cast

from skysail.batching.batcher import Batcher
from skysail.batching.sizing import Sizing
from skysail.batching.station import Batch, Station
from skysail.clock import Clock
from skysail.errors import ProtocolError
from skysail.types import Failure, Output
from skysail.wire.messages import OUTPUT, Hello, Message, Result, encode
from skysail.wire.messages import Batch as BatchMessage
from skysail.wire.protocol import Protocol, State

__all__ = ["Replica", "ReplicaStatistics"]

_BACKOFF = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_BATCH_BYTES = 4 << 20
"""Bytes that are to fit into a worker's socket: what does not waits until the event loop comes round to it. Linux gives
as many as `net.core.wmem_max` says, which is 208 KiB unless it has been raised.
"""
_GRACE = 1.0
"""Seconds between asking a hung worker for its traceback (SIGABRT) and killing it."""


class ReplicaStatistics:
    """A snapshot of one replica."""

    __slots__ = ("inflight", "kills", "name", "pid", "state")

    def __init__(self, name: str, state: str, pid: int | None, inflight: int, kills: int) -> None:
        self.name = name
        self.state = state
        self.pid = pid
        self.inflight = inflight
        self.kills = kills


class Replica:
    """Keeps one connection to one worker, and gives its batcher a station to load.

    `run` is the owner task: it connects, waits until the connection is lost, and connects again. Connecting to a worker
    that is loading or restarting simply waits, because its socket is held by the parent; so nothing here polls.
    `timeout` is how long a batch may take before the worker counts as hung and is killed, by the process id it gave in
    its hello.
    """

    def __init__(
        self,
        name: str,
        path: str,
        batcher: Batcher,
        *,
        sizing: Sizing,
        timeout: float,
        clock: Clock,
        on_hello: Callable[[Hello], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.name = name
        self.hello: Hello | None = None
        self.kills = 0
        self.traceback = ""
        self.station = Station(self, sizing)
        self._path = path
        self._batcher = batcher
        self._timeout = timeout
        self._now = clock.monotonic
        self._on_hello = on_hello
        self._on_lost = on_lost
        self._connection: _Connection | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._closing = False

    async def run(self) -> None:
        """Stay connected until cancelled."""
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                try:
                    _, protocol = await loop.create_unix_connection(lambda: _Connection(self), self._path)
                except OSError:
                    await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
                    failures += 1
                    continue
                connection = protocol
                try:
                    await connection.lost
                finally:
                    connection.abort()
                # A worker that dies before it says hello is loading in vain: its parent waits longer and longer to
                # start it again, and there is no hurry here either.
                failures = 0 if connection.greeted else failures + 1
                await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)] if failures else 0)
        finally:
            self._stop_watching()

    def send(self, batch: Batch) -> None:
        """Put a batch on the wire."""
        connection = self._connection
        if connection is None:
            raise RuntimeError(f"{self.name} is not connected")
        connection.send(batch)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._timeout, self._check)

    def statistics(self) -> ReplicaStatistics:
        """Its state, process and work in hand."""
        state = "ready" if self.station.ready else "connecting"
        pid = self.hello.pid if self.hello is not None and self.station.ready else None
        return ReplicaStatistics(self.name, state, pid, sum(len(b.calls) for b in self.station.inflight), self.kills)

    # -- called by the connection -------------------------------------------------------------------------------------

    def connected(self, connection: _Connection, hello: Hello) -> None:
        """The worker has loaded its model and says who it is."""
        self._connection = connection
        self.hello = hello
        self.station.ready = True
        self._on_hello(hello)
        self._batcher.wake()

    def answered(self, result: Result, batch: Batch) -> None:
        """A batch has come back."""
        if result.traceback:
            self.traceback = result.traceback
        outcomes: list[Output | Failure]
        if result.statuses.strip(_ALL_OUTPUTS):
            outcomes = [_OUTCOMES[status](p) for status, p in zip(result.statuses, result.payloads, strict=True)]
        else:
            outcomes = [Output(payload) for payload in result.payloads]
        busy = result.decode_s + result.predict_s
        self._batcher.answered(self.station, batch, outcomes, busy, result.predict_s)

    def disconnected(self, connection: _Connection, why: str) -> None:
        """The worker is gone, or broke the protocol."""
        if self._connection is not connection:
            return
        self._connection = None
        self._stop_watching()
        self._batcher.lost(self.station, f"the worker {self.name} {why}")
        self._on_lost()

    # -- hangs --------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        self._watch = None
        inflight = self.station.inflight
        if not inflight or self.hello is None:
            return
        loop = asyncio.get_running_loop()
        age = self._now() - max(inflight[0].sent, self.station.last_done)
        if age < self._timeout:
            self._watch = loop.call_later(self._timeout - age, self._check)
            return
        self.kills += 1
        _signal(self.hello.pid, signal.SIGABRT)
        connection = self._connection
        if connection is not None:
            connection.why = f"hung: a batch took longer than the model's timeout of {self._timeout:g} s"
            self._watch = loop.call_later(_GRACE, self._kill, self.hello.pid, connection)

    def _kill(self, pid: int, connection: _Connection) -> None:
        self._watch = None
        if self._connection is connection:
            _signal(pid, signal.SIGKILL)
            connection.abort()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


class _Connection(asyncio.Protocol):
    """Bytes between the event loop and the sans-I/O protocol; one for each time the worker is connected to."""

    def __init__(self, replica: Replica) -> None:
        self.greeted = False
        self.why = "died or closed its connection"
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._replica = replica
        self._wire = Protocol(State.GREETING)
        self._transport: asyncio.Transport | None = None
        self._batches: dict[int, Batch] = {}
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)  # a batch leaves at once, not at the end of the loop's turn
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BATCH_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            self._wire.receive_data(data)
            for event in self._wire.events():
                self._handle(event)
        except ProtocolError as error:
            self.why = f"broke the protocol: {error.message}"
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._replica.disconnected(self, self.why)
        if not self.lost.done():
            self.lost.set_result(None)

    def send(self, batch: Batch) -> None:
        """Write one batch."""
        self._next += 1
        self._batches[self._next] = batch
        if self._transport is not None:
            calls = batch.calls
            message = BatchMessage(self._next, [call.row for call in calls], bytes([call.binary for call in calls]))
            self._transport.writelines(encode(message))

    def abort(self) -> None:
        """Close at once; harmless when closed."""
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, event: Message) -> None:
        if isinstance(event, Result):
            batch = self._batches.pop(event.id, None)
            if batch is None or len(event.payloads) != len(batch.calls):
                raise ProtocolError(f"a result for batch {event.id} does not match what was sent")
            self._replica.answered(event, batch)
        elif isinstance(event, Hello):
            self.greeted = True
            self._replica.connected(self, event)


def _invalid(payload: bytes) -> Failure:
    return Failure("invalid_input", str(payload, "utf-8", "replace"))


def _model_error(payload: bytes) -> Failure:
    return Failure("model_error", str(payload, "utf-8", "replace"))


_ALL_OUTPUTS = bytes([OUTPUT])

_OUTCOMES: tuple[Callable[[bytes], Output | Failure], ...] = (Output, _invalid, _model_error)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
