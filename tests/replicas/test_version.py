"""A model version over replicas whose workers are played by the test."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from skysail.batching.batcher import Batcher
from skysail.batching.sizing import Aimd
from skysail.cache.cached import Cached
from skysail.cache.lru import Lru
from skysail.clock import SystemClock
from skysail.replicas.replica import Replica
from skysail.replicas.version import Version
from skysail.types import Failure, ModelRef
from skysail.wire.messages import Batch, Hello, Result, encode
from skysail.wire.protocol import Protocol, State

pytestmark = pytest.mark.anyio


class Workers:
    """Listening sockets, and a far end on each that answers every row as told."""

    def __init__(self, folder: Path, count: int) -> None:
        self.paths = [str(folder / f"{i}.s") for i in range(count)]
        self.status = 0
        self.peers: list[socket.socket] = []

    async def serve(self, index: int) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.paths[index])
            listener.listen()
            listener.setblocking(False)
            peer, _ = await loop.sock_accept(listener)
        with peer:
            peer.setblocking(False)
            self.peers.append(peer)
            wire = Protocol(State.BATCHES)
            await loop.sock_sendall(peer, b"".join(encode(Hello(1, "m", 1, f"m@1/{index}", 0, "json", True))))
            while data := await loop.sock_recv(peer, 1 << 16):
                wire.receive_data(data)
                for batch in wire.events():
                    if isinstance(batch, Batch):
                        rows = [bytes(row) for row in batch.rows]
                        result = Result(batch.id, bytes([self.status] * len(rows)), rows, 0.0, 0.0, "Traceback: x")
                        await loop.sock_sendall(peer, b"".join(encode(result)))


class Watch:
    """Hears of a version's changes."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def __call__(self, version: Version) -> None:
        self.event.set()

    async def until(self, version: Version, *, ready: int) -> None:
        """Wait until so many replicas are ready."""
        async with asyncio.timeout(10):
            while sum(replica.station.ready for replica in version.replicas) != ready:
                self.event.clear()
                await self.event.wait()


def build(paths: list[str], watch: Watch) -> Version:
    """A version with a replica for each path."""
    batcher = Batcher(SystemClock(), asyncio.get_running_loop().call_soon, 1.0)
    cached = Cached(batcher, Lru(1 << 20, None, SystemClock()))
    version = Version(ModelRef("m", 1), batcher, cached, watch, cache=True)
    for index, path in enumerate(paths):
        version.add(
            Replica(
                f"m@1/{index}",
                path,
                batcher,
                sizing=Aimd(8),
                timeout=30.0,
                clock=SystemClock(),
                on_hello=version.greeted,
                on_lost=version.lost,
            )
        )
    return version


async def test_a_version_is_ready_with_its_first_replica_and_complete_with_its_last(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One replica answers; a deploy waits for all; one that is lost leaves the others."""
    workers, watch = Workers(tmp_path_factory.mktemp("v"), 2), Watch()
    version = build(workers.paths, watch)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(version.run())
        first = tasks.create_task(workers.serve(0))
        assert not version.ready
        await watch.until(version, ready=1)
        assert version.ready
        assert not version.complete
        second = tasks.create_task(workers.serve(1))
        await watch.until(version, ready=2)
        assert version.complete
        first.cancel()
        await watch.until(version, ready=1)
        assert version.ready
        assert not version.complete
        running.cancel()
        second.cancel()
    assert not version.ready


@pytest.mark.parametrize(("status", "fault"), [(0, None), (1, None), (2, "model_error")])
async def test_a_probe_finds_out_whether_the_model_answers(
    tmp_path_factory: pytest.TempPathFactory, status: int, fault: str | None
) -> None:
    """An output is an answer, and so is calling the row invalid; an exception is a fault."""
    workers, watch = Workers(tmp_path_factory.mktemp("v"), 1), Watch()
    workers.status = status
    version = build(workers.paths, watch)
    found: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(version.run())
        serving = tasks.create_task(workers.serve(0))
        await watch.until(version, ready=1)
        version.probe(b"1", False, SystemClock.monotonic(), found.set_result)
        failure = await asyncio.wait_for(found, 10)
        assert (None if failure is None else failure.code) == fault
        assert version.traceback == "Traceback: x"
        running.cancel()
        serving.cancel()
