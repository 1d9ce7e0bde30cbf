"""The near end of a worker, against hand-driven far ends on real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from skysail.batching.batcher import Batcher
from skysail.batching.sizing import Aimd
from skysail.calls import Call
from skysail.clock import SystemClock
from skysail.replicas.replica import Replica
from skysail.types import Failure, Outcome, Output
from skysail.wire.messages import Batch, Hello, Result, encode
from skysail.wire.protocol import Protocol, State

pytestmark = pytest.mark.anyio


def call_now(function: Callable[[], None]) -> None:
    """A batcher's `defer` that defers nothing."""
    function()


class Caller(Call):
    """A call that can be awaited."""

    __slots__ = ("outcome",)

    def __init__(self, row: bytes, within: float = 30.0) -> None:
        now = SystemClock.monotonic()
        super().__init__(row, False, now, now + within)
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Outcome, now: float) -> None:
        self.over = True
        self.outcome.set_result(outcome)


class Far:
    """The far end of one connection, spoken by the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.wire = Protocol(State.BATCHES)
        self.batches: list[Batch] = []

    def hello(self, pid: int | None = None) -> None:
        hello = Hello(1, "m", 1, "m@1/0", os.getpid() if pid is None else pid, "json", True)
        self.writer.writelines(encode(hello))

    async def batch(self) -> Batch:
        while not self.batches:
            self.wire.receive_data(await self.reader.read(1 << 16))
            self.batches += [event for event in self.wire.events() if isinstance(event, Batch)]
        return self.batches.pop(0)

    def echo(self, batch: Batch, status: int = 0, traceback: str = "") -> None:
        rows = [bytes(row) for row in batch.rows]
        self.writer.writelines(encode(Result(batch.id, bytes([status] * len(rows)), rows, 0.0, 0.0, traceback)))

    def close(self) -> None:
        self.writer.transport.abort()


class Near:
    """A replica, its batcher, and the connections its far end has had."""

    def __init__(self, path: Path, timeout: float) -> None:
        self.batcher = Batcher(SystemClock(), asyncio.get_running_loop().call_soon, 1.0)
        self.fars: asyncio.Queue[Far] = asyncio.Queue()
        self.greeted = asyncio.Event()
        self.replica = Replica(
            "m@1/0",
            str(path),
            self.batcher,
            sizing=Aimd(64),
            timeout=timeout,
            clock=SystemClock(),
            on_hello=lambda hello: self.greeted.set(),
            on_lost=self.greeted.clear,
        )
        self.batcher.stations.append(self.replica.station)

    async def ready(self, pid: int | None = None) -> Far:
        """The next connection, past its hello."""
        far = await self.fars.get()
        far.hello(pid)
        await self.greeted.wait()
        return far

    def ask(self, row: bytes) -> Caller:
        call = Caller(row)
        self.batcher.ask(call)
        return call


@asynccontextmanager
async def running(path: Path, hang: float = 30.0) -> AsyncIterator[Near]:
    """A replica that is kept connected to a server of ours."""
    near = Near(path, hang)
    accepted: list[Far] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(Far(reader, writer))
        near.fars.put_nowait(accepted[-1])

    server = await asyncio.start_unix_server(accept, path)
    task = asyncio.create_task(near.replica.run())
    try:
        yield near
    finally:
        task.cancel()
        await asyncio.wait([task])
        server.close()
        for far in accepted:
            far.close()
        for far in accepted:
            with suppress(ConnectionError):
                await far.writer.wait_closed()


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A socket's path, short enough for one."""
    return tmp_path_factory.mktemp("s") / "w.sock"


async def test_outputs_and_failures_reach_their_callers(path: Path) -> None:
    """A status for each row becomes an output, an invalid row, or the model's error; the traceback is kept."""
    async with running(path) as near:
        far = await near.ready()
        calls = [near.ask(row) for row in (b"1", b"2", b"3")]
        outcomes: list[Outcome] = []
        seen = 0
        while seen < 3:
            batch = await far.batch()
            statuses = bytes([(0, 1, 2)[int(row) - 1] for row in batch.rows])
            rows = [bytes(row) for row in batch.rows]
            far.writer.writelines(encode(Result(batch.id, statuses, rows, 0.0, 0.0, "Traceback: boom")))
            seen += len(rows)
        outcomes = [await call.outcome for call in calls]
        assert outcomes[0] == Output(b"1")
        assert [o.code for o in outcomes[1:] if isinstance(o, Failure)] == ["invalid_input", "model_error"]
        assert near.replica.traceback == "Traceback: boom"
        far.close()


def test_a_batch_leaves_before_the_turn_is_over(path: Path) -> None:
    """What the loop does next in its turn may take longer than the worker needs, which would wait for it."""

    async def batch_of_one_turn() -> bytes:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            listener.setblocking(False)
            batcher, greeted = Batcher(SystemClock(), call_now, 1.0), asyncio.Event()
            replica = Replica(
                "m@1/0",
                str(path),
                batcher,
                sizing=Aimd(64),
                timeout=30.0,
                clock=SystemClock(),
                on_hello=lambda hello: greeted.set(),
                on_lost=greeted.clear,
            )
            batcher.stations.append(replica.station)
            running = asyncio.create_task(replica.run())
            far, _ = await asyncio.get_running_loop().sock_accept(listener)
            with far:
                far.sendall(b"".join(encode(Hello(1, "m", 1, "m@1/0", os.getpid(), "json", True))))
                await greeted.wait()
                batcher.ask(Caller(b"1"))
                sent = far.recv(1 << 16)  # without a turn of the loop in between
            running.cancel()
            await asyncio.wait([running])
            return sent

    wire = Protocol(State.BATCHES)
    wire.receive_data(uvloop.run(batch_of_one_turn()))
    assert [event.rows for event in wire.events() if isinstance(event, Batch)] == [[b"1"]]


async def test_before_the_hello_nothing_is_sent(path: Path) -> None:
    """A worker that is still loading is connected to, but not ready."""
    async with running(path) as near:
        far = await near.fars.get()
        assert not near.replica.station.ready
        outcome = await near.ask(b"1").outcome
        assert isinstance(outcome, Failure)
        assert outcome.code == "unavailable"
        far.close()


async def test_a_worker_that_dies_is_connected_to_again(path: Path) -> None:
    """Its work in hand is answered, and the next worker on the same socket serves on."""
    async with running(path) as near:
        far = await near.ready()
        call = near.ask(b"1")
        await far.batch()
        far.close()
        outcome = await call.outcome
        assert isinstance(outcome, Failure)
        assert outcome.code == "unavailable"
        assert "m@1/0" in outcome.message
        far = await near.ready()
        call = near.ask(b"2")
        far.echo(await far.batch())
        assert await call.outcome == Output(b"2")
        far.close()


@pytest.mark.parametrize(
    "misbehave",
    [
        lambda far, batch: far.writer.write(b"\xff" * 64),
        lambda far, batch: far.echo(batch._replace(id=batch.id + 7)),
        lambda far, batch: far.echo(batch._replace(rows=[*batch.rows, b"0"])),
        lambda far, batch: far.hello(),
    ],
    ids=["garbage", "wrong-id", "wrong-length", "second-hello"],
)
async def test_a_worker_that_breaks_the_protocol_is_dropped(
    path: Path, misbehave: Callable[[Far, Batch], None]
) -> None:
    """Nobody is given another's answer: the connection is closed, its callers told, and a new one made."""
    async with running(path) as near:
        far = await near.ready()
        call = near.ask(b"1")
        misbehave(far, await far.batch())
        outcome = await call.outcome
        assert isinstance(outcome, Failure)
        assert "protocol" in outcome.message
        far.close()
        far = await near.ready()
        far.close()


async def test_the_socket_closed_at_every_byte_of_a_result(path: Path) -> None:
    """Wherever the stream ends, the caller is answered and the replica connects again."""
    full = b"".join(encode(Result(1, b"\0", [b"42"], 0.0, 0.0, "")))
    async with running(path) as near:
        for cut in range(len(full)):
            far = await near.ready()
            call = near.ask(str(cut).encode())  # another row each time: one that workers die over is quarantined
            batch = await far.batch()
            data = b"".join(encode(Result(batch.id, b"\0", [b"42"], 0.0, 0.0, "")))
            far.writer.write(data[:cut])
            await far.writer.drain()
            far.writer.close()
            outcome = await call.outcome
            assert isinstance(outcome, Failure)


async def test_a_hung_worker_is_killed(path: Path) -> None:
    """A batch older than the timeout ends the worker's process, and its callers hear why."""
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    async with running(path, hang=0.1) as near:
        far = await near.ready(victim.pid)
        call = near.ask(b"1")
        await far.batch()
        assert await asyncio.wait_for(victim.wait(), 10.0) == -signal.SIGABRT
        far.close()
        outcome = await call.outcome
        assert isinstance(outcome, Failure)
        assert "timeout of 0.1 s" in outcome.message
        assert near.replica.kills == 1


async def test_a_hung_worker_that_ignores_the_abort_is_killed_for_good(path: Path) -> None:
    """SIGKILL follows where SIGABRT was not enough."""
    code = "import signal, time; signal.signal(signal.SIGABRT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    if victim.stdout is None:
        raise RuntimeError("no pipe")
    await victim.stdout.readline()
    async with running(path, hang=0.1) as near:
        far = await near.ready(victim.pid)
        call = near.ask(b"1")
        await far.batch()
        assert await asyncio.wait_for(victim.wait(), 10.0) == -signal.SIGKILL
        assert isinstance(await call.outcome, Failure)
        far.close()


async def test_a_socket_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    """A replica may start before its worker's socket exists."""
    near = Near(path, 30.0)
    task = asyncio.create_task(near.replica.run())
    await asyncio.sleep(0.05)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    peer, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 10.0)
    peer.close()
    listener.close()
    task.cancel()
    await asyncio.wait([task])
