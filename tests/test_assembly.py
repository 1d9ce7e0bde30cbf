"""The object graph of a frontend, over workers that are played by the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from skysail.assembly import Frontend, Listener, check_policy
from skysail.clock import SystemClock
from skysail.config.schema import AppConfig, ConfidenceConfig, Config, ModelConfig, ReplicaSpec, Topology, VersionSpec
from skysail.engine import Feedback, Prediction
from skysail.errors import ConfigError, UnknownApp, UnknownPrediction
from skysail.stores.base import Add, ObservationWrite, Writes
from skysail.stores.memory import MemoryStore
from skysail.types import Observation, Output
from skysail.types import State as LearnedState
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
        self.rows = 1000
        self.gate = asyncio.Event()
        self.gate.set()

    def worker(
        self,
        model: str,
        version: int,
        says: bytes,
        *,
        status: int = 0,
        input: str = "json",
        labels: tuple[str, ...] | None = None,
    ) -> VersionSpec:
        """A version with one worker, which answers every row with the same output."""
        path = self.folder / f"{model}{version}.s"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        hello = Hello(1, model, version, f"{model}@{version}/0", 0, input, True, labels)
        self.serving.append(self.tasks.create_task(self._serve(listener, hello, says, status)))
        config = ModelConfig(name=model, path=f"{model}.py:f", runtime="python", labels=labels)
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

    async def tell(self, label: bytes | None, reward: float | None = None) -> Prediction:
        """A query of its own, and how it turned out."""
        self.rows += 1
        prediction = await self.predict(b"%d" % self.rows)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        engine, feedback = self.frontend.engine, Feedback(id=prediction.id, label=label, reward=reward)
        engine.observe(engine.apps["a"], feedback, done.set_result)
        assert await asyncio.wait_for(done, 10) is True
        return prediction


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


async def test_contexts_stay_in_memory_while_the_policy_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A deployment or another setting reads no context again; another policy begins with its own."""
    async with harbour(tmp_path_factory) as it:
        one = it.worker("m", 1, b"1")
        current = {"m": 1}
        await it.frontend.apply(Topology(apps=app("m", policy="adahedge"), versions=(one,), current=current))
        it.frontend.weights("a", "alice")
        for options, held in (
            ({"policy": "adahedge", "default": b"0"}, 1),
            ({"policy": "thompson"}, 0),
        ):
            await it.frontend.apply(Topology(apps=app("m", **options), versions=(one,), current=current))
            assert it.frontend.stats()["apps"]["a"]["contexts"] == {"held": held, "read": 1, "put_off": 0}


async def test_what_other_frontends_learn_reaches_the_applications(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The states that changed are read anew, by the policy and by calibrated confidence; of no application too many."""
    async with harbour(tmp_path_factory) as it:
        await both(it, policy="adahedge", policy_params={}, confidence=CONFORMAL)
        store = it.frontend.ledger.store
        it.frontend.weights("a", None)
        assert it.frontend.stats()["apps"]["a"]["conformal"]["judged"] == 0
        keys = ["a/adahedge/", "a/adahedge+conformal/labels 0.9", "gone/adahedge/"]
        delta = LearnedState(1.0, {"m": (1.0, 0.0, 0.0), "n": (1.0, 1.0, 1.0)}, (0.0,))
        adds = (Add(keys[0], delta, 1.0),)
        store.write(Writes(observations=[ObservationWrite(Observation("01-000001-00000000", b"7", None, 0.0), adds)]))
        assert it.frontend.weights("a", None) == {"m": 0.5, "n": 0.5}
        it.frontend.changed(keys[1:])
        assert it.frontend.weights("a", None) == {"m": 0.5, "n": 0.5}
        it.frontend.changed(keys)
        assert it.frontend.weights("a", None)["m"] > 0.5
        store.delete(keys[0])
        it.frontend.outdated()
        assert it.frontend.weights("a", None) == {"m": 0.5, "n": 0.5}


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


OWN = """
from skysail.selection.vote import Vote

class Own(Vote):
    name = "own"
    def weigh(self, state):
        return type(super().weigh(state))(state.models, (0.75, 0.25))
"""


async def test_a_policy_of_ones_own_is_loaded_anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    """When its file has changed; while the file cannot be imported, the application goes on as it was, and says so."""
    async with harbour(tmp_path_factory) as it:
        versions = (it.worker("x", 1, b"1"), it.worker("y", 1, b"2"))
        file = it.folder / "own.py"

        async def apply(text: str) -> dict[str, float]:
            file.write_text(text)
            apps = app("x", "y", policy="own.py:Own", import_root=str(it.folder), code=text)
            await it.frontend.apply(Topology(apps=apps, versions=versions, current={"x": 1, "y": 1}))
            return it.frontend.weights("a", None)

        def counters() -> Any:
            return it.frontend.engine.apps["a"].counters

        await apply(OWN)
        await it.heard.next()
        await it.heard.next()
        assert await apply(OWN) == {"x": 0.75, "y": 0.25}
        assert await apply(OWN.replace("0.75, 0.25", "0.25, 0.75")) == {"x": 0.25, "y": 0.75}
        assert counters().policy_failures == 0
        assert await apply("import nothing_of_this_name") == {"x": 0.25, "y": 0.75}
        assert counters().policy_failures == 1
        assert "in import: " in (counters().policy_traceback or "")
        assert await apply(OWN) == {"x": 0.75, "y": 0.25}


async def test_a_policy_that_is_gone_at_the_start_loses_no_query(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first model listed answers, and the operator is told why."""
    async with harbour(tmp_path_factory) as it:
        apps = app("m", policy="gone.py:Own", loss="gone.py:Loss", import_root=str(it.folder))
        topology = Topology(apps=apps, versions=(it.worker("m", 1, b"1"),), current={"m": 1})
        await it.frontend.apply(topology)
        await it.heard.next()
        assert (await it.predict()).output == Output(b"1")
        assert "gone.py cannot be imported" in (it.frontend.engine.apps["a"].counters.policy_traceback or "")


async def test_declared_labels_reach_the_loss(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The longest list of those that the current versions declare; a version with another order is refused."""
    async with harbour(tmp_path_factory) as it:
        pets = ("cat", "dog")
        one, two = it.worker("x", 1, b"[1,0]", labels=pets), it.worker("y", 1, b"[0,1,0]", labels=(*pets, "eel"))
        apps = app("x", "y", policy="vote", loss="log")
        await it.frontend.apply(Topology(apps=apps, versions=(one, two), current={"x": 1, "y": 1}))
        assert {(await it.heard.next())[2], (await it.heard.next())[2]} == {None}
        loss: Any = it.frontend.engine.apps["a"].policy.loss
        assert loss.labels == ("cat", "dog", "eel")
        turned = it.worker("x", 2, b"[1,0]", labels=("dog", "cat"))
        await it.frontend.apply(Topology(apps=apps, versions=(one, two, turned), current={"x": 1, "y": 1}))
        _, version, refused = await it.heard.next()
        assert version == 2
        assert refused is not None
        assert "its labels are ['dog', 'cat'], but those of y@1 of the same application 'a'" in refused


def test_a_policy_is_checked_before_anything_starts() -> None:
    """An unknown name, parameter or loss is a config error."""
    for wrong in ({"policy": "adahege"}, {"policy": "exp3", "policy_params": {"etta": 1}}, {"loss": "zero"}):
        with pytest.raises(ConfigError):
            check_policy(AppConfig(name="a", models=("m",), **wrong))  # type: ignore[arg-type]
    check_policy(AppConfig(name="a", models=("m",), policy="thompson"))


async def test_stragglers_are_handled_as_the_settings_say(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Means and hedges are there where they are asked for, and stay through a change; latencies are watched for the
    models of such an application alone.
    """
    async with harbour(tmp_path_factory) as it:
        one = it.worker("m", 1, b"1")
        on = app("m", loss="squared", missing="mean", hedge=True, prefer_in_time=True)
        for apps in (on, on, app("m", loss="squared")):
            before = it.frontend.engine.apps.get("a")
            await it.frontend.apply(Topology(apps=apps, versions=(one,), current={"m": 1}))
            if before is None:
                await it.heard.next()
                await it.predict()
                continue
            now, version = it.frontend.engine.apps["a"], it.frontend.engine.apps["a"].served["m"]
            for row in range(40):
                await it.predict(b"%d" % row)
            if apps is on:
                assert (now.means, now.hedges) == (before.means, before.hedges)
                assert now.means is not None
                assert now.means.get("m@1") == Output(b"1.0")
                assert (now.prefer_in_time, version.p95 < 10.0) == (True, True)
            else:
                assert (now.means, now.hedges, now.prefer_in_time, version.p95) == (None, None, False, inf)


async def test_why_tells_what_feedback_did(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each model's loss, and the weights of now beside those of then; not where another policy has taken over."""
    async with harbour(tmp_path_factory) as it:
        versions = (it.worker("m", 1, b"1"), it.worker("n", 1, b"2"))
        current = {"m": 1, "n": 1}
        await it.frontend.apply(Topology(apps=app("m", "n", policy="adahedge"), versions=versions, current=current))
        for _ in versions:
            await it.heard.next()
        prediction = await it.predict()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        engine = it.frontend.engine
        engine.observe(engine.apps["a"], Feedback(id=prediction.id, label=b"2"), done.set_result)
        assert await asyncio.wait_for(done, 10) is True
        why = it.frontend.why(prediction.id)
        assert [model["loss"] for model in why["models"]] == [1.0, 0.0]
        assert why["weights"] == {"m": 0.5, "n": 0.5}
        assert why["weights_now"] == it.frontend.weights("a", None)
        assert why["weights_now"]["n"] > 0.5
        await it.frontend.apply(Topology(apps=app("m", "n"), versions=versions, current=current))
        assert it.frontend.why(prediction.id)["weights_now"] is None


CONFORMAL = ConfidenceConfig(method="conformal", target=0.9)


async def both(it: Harbour, **options: Any) -> None:
    """Two models that disagree, in one application."""
    versions = (it.worker("m", 1, b"7"), it.worker("n", 1, b"8"))
    apps = app("m", "n", **{"policy": "static", "policy_params": {"weights": [1.0, 0.0]}, **options})
    await it.frontend.apply(Topology(apps=apps, versions=versions, current={"m": 1, "n": 1}))
    for _ in versions:
        await it.heard.next()


async def test_confidence_is_calibrated_by_labels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """First nothing is said, then how often such answers were right; it is in the record, in the status, and stays
    through a change of settings. A reward, which does not tell the label, teaches nothing.
    """
    async with harbour(tmp_path_factory) as it:
        await both(it, policy="vote", policy_params={}, confidence=CONFORMAL)
        for n in range(20):
            answer = await it.tell(b"8" if n % 4 else b"7")
            await it.tell(None, 0.0)
            assert answer.cover is not None
            assert answer.confidence == answer.cover.confidence
            assert (answer.confidence is None) == (n < 10)
        assert answer.confidence == pytest.approx(0.25, abs=0.06)
        assert answer.agreement == 0.5
        decision = it.frontend.ledger.find(answer.id)
        assert decision is not None
        assert decision.cover == answer.cover
        assert (decision.cover.ranked, decision.cover.own) == ((b"7", b"8"), 0.5)
        why = it.frontend.why(answer.id)["conformal"]
        assert (why["covered"], why["policy_confidence"]) == (8 in why["set"], 0.5)
        tally = it.frontend.stats()["apps"]["a"]["conformal"]
        assert (tally["target"], tally["judged"], tally["covered"] >= 8) == (0.9, 10, True)
        engine = it.frontend.engine
        before = engine.apps["a"].calibration
        for confidence, same in ((CONFORMAL, True), (None, False)):
            apps = app("m", "n", policy="vote", confidence=confidence, default=b"0")
            await it.frontend.apply(
                Topology(apps=apps, versions=tuple(it.frontend._specs.values()), current={"m": 1, "n": 1})
            )
            assert (engine.apps["a"].calibration is before) is same
        answer = await it.tell(b"8")
        assert (answer.cover, answer.confidence) == (None, 0.5)
        assert it.frontend.stats()["apps"]["a"]["conformal"] is None


async def test_an_answer_that_is_not_sure_enough_still_teaches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`min_confidence` is about the calibrated confidence; the model's own answer is judged, not the default."""
    async with harbour(tmp_path_factory) as it:
        await both(it, confidence=CONFORMAL, default=b"-1", min_confidence=0.5)
        for _ in range(12):
            answer = await it.tell(b"8")
        assert (answer.output, answer.default, answer.reason) == (Output(b"-1"), True, "low_confidence")
        assert answer.confidence == pytest.approx(0.0, abs=0.01)
        for _ in range(30):
            answer = await it.tell(b"7")
        assert (answer.output, answer.default) == (Output(b"7"), False)


async def test_a_default_holds_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where every model fails there is nothing to say of the label, and nothing to learn."""
    async with harbour(tmp_path_factory) as it:
        one = it.worker("m", 1, b"boom", status=2)
        apps = app("m", confidence=CONFORMAL, default=b"-1")
        await it.frontend.apply(Topology(apps=apps, versions=(one,), current={"m": 1}))
        await it.heard.next()
        answer = await it.tell(b"7")
        assert (answer.reason, answer.confidence) == ("model_error", None)
        assert answer.cover is not None
        assert (answer.cover.ranked, answer.cover.level) == ((), None)
        assert it.frontend.stats()["apps"]["a"]["conformal"]["judged"] == 0


async def test_a_policy_that_raises_is_calibrated_all_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What stands in for it answers, and feedback tells how sure it may be."""
    async with harbour(tmp_path_factory) as it:
        (it.folder / "own.py").write_text(
            "from skysail import Policy\n"
            "class Raising(Policy):\n"
            "    name = 'raising'\n"
            "    def weigh(self, state): raise ValueError('no arm')\n"
        )
        await both(it, policy="own.py:Raising", policy_params={}, import_root=str(it.folder), confidence=CONFORMAL)
        for _ in range(20):
            answer = await it.tell(b"7")
        assert (answer.output, answer.confidence) == (Output(b"7"), pytest.approx(0.98, abs=0.02))
        assert it.frontend.stats()["apps"]["a"]["policy_failures"] >= 40


async def test_each_version_is_judged_for_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By what it said, within the tolerance; beside the application's answer."""
    async with harbour(tmp_path_factory) as it:
        await both(
            it, policy="adahedge", policy_params={}, loss="absolute", loss_params={"range": [0, 10], "tolerance": 0.5}
        )
        for label in (b"7", b"7.4", b"9", b"8"):
            await it.tell(label)
        told = it.frontend.stats()["apps"]["a"]
        assert told["versions"] == {"m@1": {"judged": 4, "right": 2}, "n@1": {"judged": 4, "right": 1}}
        assert told["effective"]["judged"] == 4


def test_a_confidence_that_cannot_be_is_refused() -> None:
    """A loss of which nothing is known, or a memory too short for the target, is a config error."""
    for wrong in ({"target": 0.99, "forget": 0.9}, {"rate": -1.0}):
        how = ConfidenceConfig(method="conformal", **wrong)
        with pytest.raises(ConfigError, match="confidence: "):
            check_policy(AppConfig(name="a", models=("m",), confidence=how))
    check_policy(AppConfig(name="a", models=("m",), loss="squared", confidence=CONFORMAL))
