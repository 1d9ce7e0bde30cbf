"""Queries whose models are slow: means that stand in, hedges, and models that are left out of the selection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from math import inf
from random import Random
from typing import Any

import pytest

from skysail.applications import Application
from skysail.batching.batcher import Batcher
from skysail.batching.sizing import Aimd
from skysail.batching.station import Batch, Station
from skysail.calls import Call, Twin
from skysail.config.schema import LedgerConfig
from skysail.deadlines import Deadlines
from skysail.engine import Engine, Feedback, Prediction, Verdict
from skysail.feedback.ledger import Ledger
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.ids import IdSource
from skysail.selection.base import Policy
from skysail.selection.contexts import blend
from skysail.selection.losses import Absolute
from skysail.selection.scores import Log
from skysail.selection.single import Single
from skysail.selection.static import Static
from skysail.selection.vote import Vote
from skysail.stats.application import ApplicationCounters
from skysail.stats.means import Means
from skysail.stores.memory import MemoryStore
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Decision, Failure, Outcome, Output


class Model:
    """A model that keeps its calls until it is told what to say, and is as slow as the test says it is."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.ready = True
        self.cached = self.direct = self
        self.calls: list[Call] = []
        self.forgotten: list[Call] = []
        self.p95 = inf
        self.expected = 0.0
        self.spare = False
        self.twin: Twin | None = None

    def wait(self, now: float) -> float:
        return self.expected

    def ask(self, call: Call) -> None:
        self.calls.append(call)

    def forget(self, call: Call) -> None:
        self.forgotten.append(call)

    def hurry(self, call: Call, deadline: float) -> None: ...

    def full(self, now: float, deadline: float) -> bool:
        return False

    def knows(self, row: bytes, binary: bool) -> bool:
        return False

    def hedge(self, call: Call) -> Twin | None:
        if self.spare and call in self.calls:
            self.twin = Twin()
        return self.twin


class Wire:
    """A replica that answers every row after the time its batch takes."""

    def __init__(self, batcher: Batcher, seconds: Callable[[int], float]) -> None:
        self.batcher = batcher
        self.seconds = seconds
        self.station = Station(self, Aimd(64))
        self.station.ready = True
        self.free_at = 0.0
        batcher.stations.append(self.station)

    def send(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        took = self.seconds(len(batch.calls))
        self.free_at = max(self.free_at, loop.time()) + took
        loop.call_at(self.free_at, self._answer, batch, took)

    def _answer(self, batch: Batch, took: float) -> None:
        self.batcher.answered(self.station, batch, [Output(b"1")] * len(batch.calls), took, took)


class Real(Model):
    """A model over a real queue and one replica."""

    def __init__(self, ref: str, clock: ManualClock, slo: float, seconds: Callable[[int], float]) -> None:
        super().__init__(ref)
        self.batcher = Batcher(clock, asyncio.get_running_loop().call_soon, slo)
        self.wire = Wire(self.batcher, seconds)
        self.ask = self.batcher.ask  # type: ignore[method-assign]
        self.wait = self.batcher.wait  # type: ignore[method-assign]
        self.full = self.batcher.full  # type: ignore[method-assign]
        self.turn_away = self.batcher.turn_away


class World:
    """An engine with one application `a` of the models x, y and z."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        self.policy = policy
        self.options = options
        self.clock = ManualClock()
        self.models: dict[str, Any] = {name: Model(f"{name}@1") for name in ("x", "y", "z")}
        self.told: list[Prediction] = []

    async def open(self) -> None:
        loop, store = asyncio.get_running_loop(), MemoryStore()
        store.open()
        self.ledger = Ledger(store, self.clock, LedgerConfig())
        await self.ledger.start()
        self.engine = Engine(clock=self.clock, rng=Random(1), ids=IdSource(0, self.ledger.boot), ledger=self.ledger)
        self.counters = ApplicationCounters()
        reads = Reads(loop, self.clock)
        settings: dict[str, Any] = {
            "name": "a",
            "models": tuple(self.models),
            "policy": self.policy,
            "fallback": Single(),
            "slo": 0.02,
            "default": None,
            "min_confidence": 0.0,
            "cache": True,
            "deadlines": Deadlines(loop, self.clock),
            "states": States("a", self.policy, store, blend, reads=reads, counters=self.counters),
            "counters": self.counters,
            "served": self.models,
        }
        if self.options.pop("hedge", False):
            settings["hedges"] = Deadlines(loop, self.clock)
        self.app = self.engine.apps["a"] = Application(**{**settings, **self.options})

    def predict(self, row: bytes = b"1", **options: Any) -> Any:
        return self.engine.predict(self.app, row, self.told.append, **options)

    def say(self, model: str, outcome: str | Failure) -> None:
        """Answer a model's oldest call."""
        said: Outcome = outcome if isinstance(outcome, Failure) else Output(outcome.encode())
        self.models[model].calls.pop(0).settle(said, self.clock.monotonic())

    def decision(self, place: int = -1) -> Decision:
        found = self.ledger.find(self.told[place].id)
        assert found is not None
        return found

    async def observe(self, label: bytes) -> Verdict:
        """Give feedback on the last answer, and wait until it is durable."""
        done = asyncio.get_running_loop().create_future()
        self.engine.observe(self.app, Feedback(id=self.told[-1].id, label=label), done.set_result)
        verdict: Verdict = await done
        return verdict


def play(scenario: Callable[[World], Awaitable[None]], policy: Policy, **options: Any) -> None:
    """Run a scenario in a world whose time jumps."""
    world = World(policy, **options)

    async def main() -> None:
        await world.open()
        try:
            await scenario(world)
        finally:
            await world.ledger.aclose()

    run(main(), clock=world.clock)


# -- missing = "mean"

NUMBERS = Vote(loss=Absolute(range=(0.0, 10.0), tolerance=0.5))


async def warm(world: World) -> None:
    """One answer of all three: x says 2, y says 4, z says 9."""
    world.predict()
    for model, text in zip("xyz", "249", strict=True):
        world.say(model, text)


def test_a_mean_stands_in_and_agrees_with_nobody() -> None:
    """What z says on average is merged with the others' outputs; z is missing all the same, and lowers confidence and
    agreement; the record has what stood in.
    """

    async def scenario(world: World) -> None:
        await warm(world)
        world.predict()
        world.say("x", "9")
        world.say("y", "9")
        await asyncio.sleep(0.03)
        answer = world.told[-1]
        assert answer.output == Output(b"9.0")
        assert (answer.missing, answer.models) == (["z@1"], ["x@1", "y@1", "z@1"])
        assert (answer.confidence, answer.agreement) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
        notes = world.decision().notes
        assert notes is not None
        assert notes.means == {"z": b"9.0"}
        assert (world.decision().outputs, world.counters.stood_in) == ([b"9", b"9", None], 1)

    play(scenario, NUMBERS, means=Means())


def test_the_mean_moves_the_answer() -> None:
    """Dropped, the missing model leaves (2 + 5) / 2; with its mean of 9 it is (2 + 5 + 9) / 3; probabilities likewise,
    class by class.
    """

    async def scenario(world: World) -> None:
        await warm(world)
        world.predict()
        world.say("x", "2")
        world.say("y", "5")
        await asyncio.sleep(0.03)
        world.answers = world.told[-1].output.value  # type: ignore[attr-defined, union-attr]
        assert world.told[-1].missing == ["z@1"]
        assert world.answers == pytest.approx(3.5 if world.app.means is None else 16 / 3)  # type: ignore[attr-defined]

    play(scenario, NUMBERS)
    play(scenario, NUMBERS, means=Means())

    async def chances(world: World) -> None:
        world.predict()
        for model in "xyz":
            world.say(model, "[1.0, 0.0]" if model == "z" else "[0.4, 0.6]")
        world.predict()
        world.say("x", "[0.1, 0.9]")
        world.say("y", "[0.4, 0.6]")
        await asyncio.sleep(0.03)
        output = world.told[-1].output
        assert output is not None
        assert output.value == pytest.approx([0.5, 0.5])

    play(chances, Vote(loss=Log()), means=Means())


def test_means_alone_are_no_answer() -> None:
    """With no output at all it is the default or the error, as ever; and a model that never said anything has none."""

    async def scenario(world: World) -> None:
        world.predict()
        world.say("x", "2")
        await asyncio.sleep(0.03)
        assert world.told[-1].output == Output(b"2")
        assert world.decision().notes is None
        world.predict()
        await asyncio.sleep(0.03)
        assert world.told[-1].failure is not None
        assert world.told[-1].failure.code == "deadline"

    play(scenario, NUMBERS, means=Means())


def test_a_mean_does_not_push_out_an_output() -> None:
    """What cannot be merged with the others is dropped; an output that is here comes before any mean, and a mean is
    not the answer where the only output is none that can be judged.
    """

    async def scenario(world: World) -> None:
        world.predict()
        for model, text in zip("xyz", ("[0.1, 0.9]", "[0.1, 0.9]", '{"a": 0.2, "b": 0.8}'), strict=True):
            world.say(model, text)
        for said, output in (('{"a": 1.0, "b": 0.0}', {"a": 1.0, "b": 0.0}), ('"cat"', None)):
            world.predict()
            world.say("z", said)
            await asyncio.sleep(0.03)
            found = world.told[-1].output
            assert (found and found.value) == output

    play(scenario, Vote(loss=Log()), means=Means())


def test_a_late_output_counts_for_the_mean_and_completes_the_record() -> None:
    """What z said too late is judged by feedback, and stands in for it from then on."""

    async def scenario(world: World) -> None:
        for _ in range(2):
            world.predict()
            world.say("x", "2")
            world.say("y", "4")
            await asyncio.sleep(0.03)
            world.say("z", "9")
        assert world.decision().outputs == [b"2", b"4", b"9"]
        notes = world.decision().notes
        assert notes is not None
        assert notes.means == {"z": b"9.0"}
        assert await world.observe(b"9") is True
        sums = world.app.states.view(None, ("x", "y", "z")).sums
        assert {model: row[1] for model, row in sums.items()} == pytest.approx({"x": 0.7, "y": 0.5, "z": 0.0})

    play(scenario, NUMBERS, means=Means())


# -- hedges


def test_after_the_p95_a_second_replica_is_asked() -> None:
    """Not a millisecond earlier; the model keeps its propensity, and the record says that it was hedged."""

    async def scenario(world: World) -> None:
        x = world.models["x"]
        x.p95, x.spare = 0.005, True
        world.predict()
        await asyncio.sleep(0.0048)
        assert x.twin is None
        await asyncio.sleep(0.002)
        assert x.twin is not None
        x.twin.won = True
        world.say("x", "7")
        assert world.told[-1].models == ["x@1"]
        decision = world.decision()
        assert (decision.asked, decision.propensities, decision.fallback) == (["x@1"], (1.0,), False)
        assert decision.notes is not None
        assert decision.notes.hedge == "replica"
        assert (world.counters.hedges, world.counters.hedges_won) == (1, 1)

    play(scenario, Single(model="x"), hedge=True)


def test_without_a_spare_replica_the_next_model_races() -> None:
    """Its output is the answer when it is first. The pick may finish: it completes the record, and is judged by its
    propensity; the hedge has none, and is not.
    """

    async def scenario(world: World) -> None:
        world.models["x"].p95 = 0.005
        world.predict()
        await asyncio.sleep(0.007)
        world.say("z", "8")
        answer = world.told[-1]
        assert (answer.output, answer.models, answer.missing) == (Output(b"8"), ["x@1", "z@1"], ["x@1"])
        assert world.models["x"].forgotten == []
        world.say("x", "7")
        decision = world.decision()
        assert (decision.outputs, decision.propensities) == ([b"7", b"8"], (0.9, 0.0))
        assert decision.notes is not None
        assert decision.notes.hedge == "model"
        assert await world.observe(b"8") is True
        assert world.counters.hedges_won == 1
        sums = world.app.states.view(None, ("x", "y", "z")).sums
        assert {model: row[:2] for model, row in sums.items()} == {"x": (1.0, 1.0), "y": (0.0, 0.0), "z": (0.0, 0.0)}

    play(scenario, Static(weights={"x": 0.9, "y": 0.04, "z": 0.06}), hedge=True)


def test_a_hedge_that_lost_is_forgotten() -> None:
    """The pick answers after all: the other is told to forget it, is not missing time after time, and did not win."""

    async def scenario(world: World) -> None:
        world.models["x"].p95 = 0.005
        for _ in range(80):
            world.predict()
            await asyncio.sleep(0.007)
            world.say("x", "7")
        assert (world.told[-1].output, world.told[-1].missing) == (Output(b"7"), ["y@1"])
        assert len(world.models["y"].forgotten) == 80
        assert world.decision().failures == [None, "overtaken"]
        assert (world.counters.hedges, world.counters.hedges_won) == (80, 0)

    play(scenario, Single(model="x"), hedge=True)


def test_a_hedge_that_fails_leaves_the_pick_its_time() -> None:
    """And the other way round: the race goes on while one of the two may still answer."""

    async def scenario(world: World) -> None:
        world.models["x"].p95 = 0.005
        for first, second in (("y", "x"), ("x", "y")):
            world.predict()
            await asyncio.sleep(0.007)
            told = len(world.told)
            world.say(first, Failure("model_error", "boom"))
            assert len(world.told) == told
            world.say(second, "7")
            assert world.told[-1].output == Output(b"7")
        assert world.counters.hedges_won == 1

    play(scenario, Single(model="x"), hedge=True)


def test_nothing_is_hedged_that_need_not_be() -> None:
    """Not a query answered in time, not one whose deadline comes first, not an ensemble's, not with nobody else there,
    and not where it is off.
    """

    async def ask(world: World) -> None:
        for model in world.models.values():
            model.p95 = 0.005
        world.predict(limit=0.006)
        world.predict()
        for model in world.models.values():
            for call in list(model.calls):
                call.settle(Output(b"1"), world.clock.monotonic() + 0.001)
            model.calls.clear()
        for name in ("y", "z"):
            world.models[name].ready = name in world.options
        world.app.refresh()
        world.predict()
        await asyncio.sleep(0.05)
        assert world.counters.hedges == 0
        assert not world.models["y"].calls

    play(ask, Single(model="x"), hedge=True)
    play(ask, Vote(), hedge=True)
    play(ask, Single(model="x"))


def test_a_pick_that_hangs_loses_its_weight_though_hedges_answer() -> None:
    """Overtaken time after time it is missing like any straggler, and at last judged as wrong."""

    async def scenario(world: World) -> None:
        world.models["x"].p95 = 0.005
        for _ in range(60):
            world.predict()
            await asyncio.sleep(0.007)
            world.say("y", "7")
            assert await world.observe(b"7") is True
        judged, loss = world.app.states.view(None, ("x", "y", "z")).sums["x"][:2]
        assert 0 < judged == loss < 20

    play(scenario, Single(model="x"), hedge=True)


# -- refusals are stragglers too


@pytest.mark.parametrize("code", ["overload", "deadline"])
def test_a_model_refused_most_of_the_time_is_lost(code: str) -> None:
    """A call that was not even begun, because it could not make it, is as much missing as one that came too late."""

    async def scenario(world: World) -> None:
        for _ in range(60):
            world.predict()
            world.say("x", "7")
            world.say("y", "7")
            world.say("z", Failure(code, "no time"))
            assert await world.observe(b"7") is True
        assert world.decision().failures == [None, None, f"lost: {code}: no time"]
        judged, loss = world.app.states.view(None, ("x", "y", "z")).sums["z"][:2]
        assert 0 < judged == loss < 20

    play(scenario, Vote())


# -- prefer_in_time


def test_models_that_would_be_late_are_left_out() -> None:
    """The propensities are those of the draw among the others; the record says who was left out, and why."""

    async def scenario(world: World) -> None:
        world.models["x"].expected = 0.05
        world.predict()
        decision_of = {"y": 1 / 4, "z": 3 / 4}
        [asked] = [name for name, model in world.models.items() if model.calls]
        world.say(asked, "7")
        decision = world.decision()
        assert decision.distribution.models == ("y", "z")
        assert decision.propensities == pytest.approx((decision_of[asked],))
        assert decision.notes is not None
        assert decision.notes.late == {"x": pytest.approx(50.0)}
        assert world.counters.left_out == {"x": 1}

    play(scenario, Static(weights={"x": 0.6, "y": 0.1, "z": 0.3}), prefer_in_time=True)


def test_of_an_ensemble_those_are_asked_that_can_make_it() -> None:
    """And all of them where none can, or all can; a client's shorter limit counts."""

    async def scenario(world: World) -> None:
        for name, seconds in (("x", 0.05), ("y", 0.01), ("z", 0.001)):
            world.models[name].expected = seconds
        for limit, asked in ((None, "yz"), (0.005, "z"), (0.0005, "xyz"), (1.0, "yz")):
            world.predict(limit=limit)
            assert "".join(name for name, model in world.models.items() if model.calls) == asked
            for model in asked:
                world.say(model, "7")
            assert world.told[-1].models == [f"{model}@1" for model in asked]
        world.models["x"].expected = 0.0
        world.predict()
        assert all(model.calls for model in world.models.values())

    play(scenario, Vote(), prefer_in_time=True)


def test_the_ladder_asks_the_late_one_last() -> None:
    """When the model drawn fails, one that can make it is asked before one that was left out."""

    async def scenario(world: World) -> None:
        world.models["x"].expected = 0.05
        world.predict()
        for name in "yzx":
            world.say(name, Failure("model_error", "boom"))
        assert world.told[-1].models == ["x@1", "y@1", "z@1"]
        assert world.told[-1].failure is not None

    play(scenario, Single(model="y"), prefer_in_time=True)


class Spike:
    """Load on an application of a big model and a small one: so many queries a second, and who answered them."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.models.clear()
        world.models["big"] = Real("big@1", world.clock, 0.02, lambda rows: 0.003 + 0.002 * rows)
        world.models["small"] = Real("small@1", world.clock, 0.02, lambda rows: 0.0003 + 0.00002 * rows)
        world.app.models = ("big", "small")
        world.app.refresh()
        self.rows = 0

    async def load(self, rate: int, seconds: float) -> Counter[str]:
        """Answers by who gave them; `missed` for those without."""
        told = len(self.world.told)
        for _ in range(int(rate * seconds)):
            self.rows += 1
            self.world.predict(b"%d" % self.rows)
            await asyncio.sleep(1 / rate)
        await asyncio.sleep(0.05)
        answers = self.world.told[told:]
        used = [[ref for ref in it.models if ref not in it.missing] if it.failure is None else [] for it in answers]
        return Counter(refs[0].rpartition("@")[0] if refs else "missed" for refs in used)


def test_in_a_spike_the_cheaper_model_answers_and_then_the_better_one_again() -> None:
    """Under three times what the big model can do, it answers what it can in time, without idling, and the small one
    all else; a moment after the spike all is the big one's again. Nothing is missed, and nobody is asked as a fallback.
    """

    async def scenario(world: World) -> None:
        spike = Spike(world)
        assert await spike.load(50, 1.0) == {"big": 50}
        during = await spike.load(1200, 1.0)
        assert during["missed"] <= 6
        assert 200 < during["big"] < 420
        fallbacks = sum(world.decision(place).fallback for place in range(-1000, 0))
        assert fallbacks <= 10
        after = await spike.load(50, 1.0)
        assert after["big"] >= 49
        assert after["missed"] == 0

    play(scenario, Single(), prefer_in_time=True)


def test_the_switch_is_no_pendulum() -> None:
    """Through the spike both models answer all the time: in each tenth of a second, the big one its share."""

    async def scenario(world: World) -> None:
        spike = Spike(world)
        await spike.load(50, 0.5)
        shares = [(await spike.load(1200, 0.1))["big"] / 120 for _ in range(10)]
        assert min(shares) > 0.1
        assert max(shares) < 0.6

    play(scenario, Single(), prefer_in_time=True)


def test_a_model_that_turned_slow_is_tried_again() -> None:
    """While even its best of late would be too late it is left out; when that is ten seconds old it is tried, and
    being quick again, it is back.
    """

    async def scenario(world: World) -> None:
        spike = Spike(world)
        big = world.models["big"].wire
        assert await spike.load(50, 1.0) == {"big": 50}
        quick, big.seconds = big.seconds, lambda rows: 0.1
        await spike.load(50, 11.0)
        slow = await spike.load(50, 1.0)
        assert slow["small"] >= 45
        big.seconds = quick
        await spike.load(50, 11.0)
        assert await spike.load(50, 1.0) == {"big": 50}

    play(scenario, Single(), prefer_in_time=True)
