"""The object graph of a frontend, over workers that are played by the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from skysail.assembly import Frontend, Listener, check_policy
from skysail.clock import SystemClock
from skysail.config.schema import AppConfig, Config, ModelConfig, ReplicaSpec, Topology, VersionSpec
from skysail.engine import Prediction
from skysail.errors import ConfigError, UnknownApp, UnknownPrediction
from skysail.stores.memory import MemoryStore
from skysail.types import Output
from skysail.wire.messages import Batch, Hello, Result, encode
from skysail.wire.protocol import Protocol, State

pytestmark = pytest.mark.anyio


class Heard(Listener):
    """Keeps the verdicts on versions."""

    def __init__(self) -> None:
        self.verdicts: asyncio.Queue[tuple[str, int, str | None]] = asyncio.Queue()

    def version_ready(self, model: str, version: int) -> None:
        self.verdicts.put_nowait((model, version, None))

    def version_failed(self, model: str, version: int, error: str) -> None:
        self.verdicts.put_nowait((model, version, error))

    async def next(self) -> tuple[str, int, str | None]:
        return await asyncio.wait_for(self.verdicts.get(), 10)


class Harbour:
    """A frontend, and the far ends of the workers it is told of."""

    def __init__(self, folder: Path, frontend: Frontend, heard: Heard, tasks: asyncio.TaskGroup) -> None:
        self.folder = folder
        self.frontend = frontend
        self.heard = heard
        self.tasks = tasks
        self.serving: list[asyncio.Task[None]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def worker(self, model: str, version: int, says: bytes, *, status: int = 0, input: str = "json") -> VersionSpec:
        """A version with one worker, which answers every row with the same output."""
        path = self.folder / f"{model}{version}.s"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        hello = Hello(1, model, version, f"{model}@{version}/0", 0, input, True)
        self.serving.append(self.tasks.create_task(self._serve(listener, hello, says, status)))
        config = ModelConfig(name=model, path=f"{model}.py:f", runtime="python")
        replicas = (ReplicaSpec(name=f"{model}@{version}/0", socket=str(path)),)
        return VersionSpec(config=config, version=version, replicas=replicas)

    async def _serve(self, listener: socket.socket, hello: Hello, says: bytes, status: int) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                peer, _ = await loop.sock_accept(listener)
                with peer:
                    peer.setblocking(False)
                    wire = Protocol(State.BATCHES)
                    await loop.sock_sendall(peer, b"".join(encode(hello)))
                    while data := await loop.sock_recv(peer, 1 << 16):
                        wire.receive_data(data)
                        for batch in wire.events():
                            if isinstance(batch, Batch):
                                await self.gate.wait()
                                n = len(batch.rows)
                                result = Result(batch.id, bytes([status] * n), [says] * n, 0.0, 0.0, "")
                                await loop.sock_sendall(peer, b"".join(encode(result)))

    async def predict(self, row: bytes = b"1", app: str = "a") -> Prediction:
        done: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self.frontend.engine.predict(self.frontend.engine.apps[app], row, done.set_result)
        return await asyncio.wait_for(done, 10)


def app(*models: str, **options: Any) -> dict[str, AppConfig]:
    """One application, `a`."""
    return {"a": AppConfig(name="a", models=models, slo=5.0, **options)}


@asynccontextmanager
async def harbour(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harbour]:
    """A frontend that has started and serves nothing yet."""
    heard = Heard()
    frontend = Frontend(Config(), 0, MemoryStore(), clock=SystemClock(), rng=Random(1), listener=heard)
    async with asyncio.TaskGroup() as tasks:
        await frontend.start(tasks)
        harbour = Harbour(tmp_path_factory.mktemp("h"), frontend, heard, tasks)
        yield harbour
        await frontend.aclose()
        for task in harbour.serving:
            task.cancel()


async def test_a_topology_is_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Not ready at first, with the reason; then answered by the version that is current."""
    async with harbour(tmp_path_factory) as it:
        assert it.frontend.ready() == {"*": "no application is configured yet"}
        one = it.worker("m", 1, b"1")
        await it.frontend.apply(Topology(apps=app("m"), versions=(one,), current={}))
        assert it.frontend.ready() == {"a": "m: no version is current"}
        assert await it.heard.next() == ("m", 1, None)
        await it.frontend.apply(Topology(apps=app("m"), versions=(one,), current={"m": 1}))
        assert it.frontend.ready() == {}
        prediction = await it.predict()
        assert (prediction.output, prediction.models) == (Output(b"1"), ["m@1"])
        described = it.frontend.describe(it.frontend.engine.apps["a"])
        assert (described["input"], described["models"]) == ("json", ["m@1"])
        await it.frontend.wait_configured()


async def test_a_switch_loses_no_query_and_serves_no_old_output(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the old version has in hand is answered; what comes after is the new one's, also for a cached row."""
    async with harbour(tmp_path_factory) as it:
        one = it.worker("m", 1, b"1")
        await it.frontend.apply(Topology(apps=app("m"), versions=(one,), current={"m": 1}))
        await it.heard.next()
        assert (await it.predict(b"7")).output == Output(b"1")
        two = it.worker("m", 2, b"2")
        await it.frontend.apply(Topology(apps=app("m"), versions=(one, two), current={"m": 1}))
        assert await it.heard.next() == ("m", 2, None)
        it.gate.clear()
        flying = asyncio.create_task(it.predict(b"8"))
        await asyncio.sleep(0)
        switched = asyncio.create_task(it.frontend.apply(Topology(apps=app("m"), versions=(two,), current={"m": 2})))
        await asyncio.sleep(0.02)
        assert not switched.done()
        it.gate.set()
        await switched
        assert (await flying).output == Output(b"1")
        assert (await it.predict(b"7")).output == Output(b"2")


async def test_a_version_that_fails_a_real_row_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It loaded, but does not answer what its predecessor answered; a control plane that is new hears of it too."""
    async with harbour(tmp_path_factory) as it:
        one = it.worker("m", 1, b"1")
        await it.frontend.apply(Topology(apps=app("m"), versions=(one,), current={"m": 1}))
        await it.heard.next()
        await it.predict(b"7")
        two = it.worker("m", 2, b"no such column", status=2)
        await it.frontend.apply(Topology(apps=app("m"), versions=(one, two), current={"m": 1}))
        model, version, error = await it.heard.next()
        assert (model, version) == ("m", 2)
        assert "no such column" in (error or "")
        it.frontend.announce()
        assert {await it.heard.next(), await it.heard.next()} == {("m", 1, None), ("m", 2, error)}


async def test_a_version_whose_input_does_not_fit_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models of one application take the same input, or json."""
    async with harbour(tmp_path_factory) as it:
        one, other = it.worker("m", 1, b"1", input="float64[4]"), it.worker("n", 1, b"1", input="json")
        apps = app("m", "n", "o")
        current = {"m": 1, "n": 1}
        await it.frontend.apply(Topology(apps=apps, versions=(one, other), current=current))
        assert {(await it.heard.next())[2], (await it.heard.next())[2]} == {None}
        odd = it.worker("o", 1, b"1", input="float64[5]")
        await it.frontend.apply(Topology(apps=apps, versions=(one, other, odd), current=current))
        _, _, error = await it.heard.next()
        assert "float64[5]" in (error or "")
        assert "m@1" in (error or "")


async def test_counts_and_learning_survive_a_change_of_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An application that is changed is the same application; one that is gone is unknown."""
    async with harbour(tmp_path_factory) as it:
        one = it.worker("m", 1, b"1")
        await it.frontend.apply(Topology(apps=app("m"), versions=(one,), current={"m": 1}))
        await it.heard.next()
        prediction = await it.predict()
        changed = app("m", policy="adahedge", default=b"0")
        await it.frontend.apply(Topology(apps=changed, versions=(one,), current={"m": 1}))
        stats = it.frontend.stats()
        assert stats["apps"]["a"]["answers"] == 1
        assert stats["models"]["m@1"]["rows"] == 1
        assert stats["apps"]["a"]["weights"] == {"m": 1.0}
        assert it.frontend.why(prediction.id)["output"] == 1
        with pytest.raises(UnknownPrediction):
            it.frontend.why("00-000001-0000ffff")
        await it.frontend.apply(Topology(apps={}, versions=(one,), current={"m": 1}))
        with pytest.raises(UnknownApp):
            it.frontend.weights("a", None)


async def test_replicas_come_and_go(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A version that grows or shrinks goes on answering, on the same queue."""
    async with harbour(tmp_path_factory) as it:
        first, second = it.worker("m", 1, b"1"), it.worker("m", 2, b"1")
        spare = ReplicaSpec(name="m@1/1", socket=second.replicas[0].socket)
        both = VersionSpec(config=first.config, version=1, replicas=(first.replicas[0], spare))
        for spec, count in ((first, 1), (both, 2), (first, 1)):
            await it.frontend.apply(Topology(apps=app("m"), versions=(spec,), current={"m": 1}))
            assert len(it.frontend.stats()["models"]["m@1"]["replicas"]) == count
            if count == 1 and it.heard.verdicts.empty() and not it.frontend.engine.apps["a"].candidates:
                await it.heard.next()
            assert (await it.predict(str(count).encode())).output == Output(b"1")


def test_a_policy_is_checked_before_anything_starts() -> None:
    """An unknown name, parameter or loss is a config error."""
    for wrong in ({"policy": "adahege"}, {"policy": "exp3", "policy_params": {"etta": 1}}, {"loss": "zero"}):
        with pytest.raises(ConfigError):
            check_policy(AppConfig(name="a", models=("m",), **wrong))  # type: ignore[arg-type]
    check_policy(AppConfig(name="a", models=("m",), policy="thompson"))
