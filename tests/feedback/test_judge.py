"""What an observation says of each model that was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from skysail.applications import Application
from skysail.calls import Call
from skysail.config.schema import LedgerConfig
from skysail.deadlines import Deadlines
from skysail.engine import Engine, Feedback, Prediction, Verdict
from skysail.errors import InvalidInput, UnknownPrediction
from skysail.feedback.judge import check_delta, check_label, losses
from skysail.feedback.ledger import Ledger
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.ids import IdSource
from skysail.selection.adahedge import AdaHedge
from skysail.selection.base import Policy
from skysail.selection.contexts import blend
from skysail.selection.exp3 import Exp3
from skysail.selection.losses import Absolute, ZeroOne
from skysail.selection.single import Single
from skysail.selection.thompson import Thompson
from skysail.stats.application import ApplicationCounters
from skysail.stores.memory import MemoryStore
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Decision, Observation, Output, State

MakeDecision = Callable[..., Decision]


def label(text: bytes) -> Observation:
    """Feedback that gives the true label."""
    return Observation("x", text, None, 0.0)


def reward(value: float) -> Observation:
    """Feedback that gives a reward."""
    return Observation("x", None, value, 0.0)


def asked(make: MakeDecision, *said: bytes | str, **changes: object) -> Decision:
    """A decision in which each model said something (bytes), or failed so (text)."""
    return make(
        asked=[f"m{i}@1" for i in range(len(said))],
        propensities=changes.pop("propensities", (1.0,) * len(said)),
        outputs=[what if isinstance(what, bytes) else None for what in said],
        failures=[None if isinstance(what, bytes) else what for what in said],
        latencies=[1.0] * len(said),
        **changes,
    )


def test_outputs_are_judged_by_the_label(make_decision: MakeDecision) -> None:
    """Each model is judged by what it said itself, and named without its version."""
    decision = asked(make_decision, b"7", b"8", b"7.0", b'"7"')
    assert losses(decision, label(b"7"), ZeroOne()) == {"m0": 0.0, "m1": 1.0, "m2": 0.0, "m3": 1.0}


@pytest.mark.parametrize(
    ("failure", "loss"),
    [
        ("model_error: ValueError: no", 1.0),
        ("lost", 1.0),
        ("missing", None),
        ("overload: 3 s of work ahead", None),
        ("deadline: too late", None),
        ("unavailable: no replica", None),
    ],
)
def test_failures_are_judged_by_whose_fault_they_are(
    make_decision: MakeDecision, failure: str, loss: float | None
) -> None:
    """The model's own fault is loss 1; nobody's fault is not judged. A reward on another's answer changes nothing."""
    decision = asked(make_decision, b"7", failure, answer=b"7")
    assert losses(decision, label(b"7"), ZeroOne()) == {"m0": 0.0, "m1": loss}


def test_a_reward_teaches_those_who_said_the_answer(make_decision: MakeDecision) -> None:
    """Models whose output is the answer's share its reward; nothing is known of the others."""
    decision = asked(make_decision, b"7", b"8", b"7.0", "missing", answer=b"7")
    assert losses(decision, reward(0.75), ZeroOne()) == {"m0": 0.25, "m1": None, "m2": 0.25, "m3": None}


def test_a_default_answer_teaches_nobody_by_reward(make_decision: MakeDecision) -> None:
    """A reward for the default says nothing of the models; a label still does."""
    decision = asked(make_decision, b"7", "lost", answer=b"7", default=True, reason="low_confidence")
    assert losses(decision, reward(1.0), ZeroOne()) == {"m0": None, "m1": None}
    assert losses(decision, label(b"7"), ZeroOne()) == {"m0": 0.0, "m1": 1.0}


def test_no_answer_teaches_nobody_by_reward(make_decision: MakeDecision) -> None:
    """Where nobody was answered, a reward has nothing to be a reward of."""
    assert losses(asked(make_decision, b"7", answer=None), reward(1.0), ZeroOne()) == {"m0": None}


def test_a_fallback_is_not_judged(make_decision: MakeDecision) -> None:
    """The pick that failed is judged; the model asked in its stead was not the policy's choice."""
    decision = asked(make_decision, "model_error: no", b"7", propensities=(0.6, 0.0), fallback=True, answer=b"7")
    assert losses(decision, label(b"7"), ZeroOne()) == {"m0": 1.0, "m1": None}
    assert losses(decision, reward(1.0), ZeroOne()) == {"m0": 1.0, "m1": None}


def test_numbers_are_judged_by_distance(make_decision: MakeDecision) -> None:
    """The application's loss judges, and says what counts as the same answer."""
    loss = Absolute(range=(0.0, 10.0), tolerance=0.5)
    decision = asked(make_decision, b"4", b"9", b"4.4", answer=b"4")
    assert losses(decision, label(b"5"), loss) == pytest.approx({"m0": 0.1, "m1": 0.4, "m2": 0.06})
    assert losses(decision, reward(0.5), loss) == {"m0": 0.5, "m1": None, "m2": 0.5}


@pytest.mark.parametrize(("found", "loss"), [(float("nan"), 1.0), (7.0, 1.0), (-1.0, 0.0), (0.25, 0.25)])
def test_a_users_loss_is_kept_within_bounds(make_decision: MakeDecision, found: float, loss: float) -> None:
    """Whatever a loss returns, what the policy learns from is in [0, 1]."""

    class Odd(ZeroOne):
        def loss(self, output: Any, label: Any) -> float:
            return found

    assert losses(asked(make_decision, b"7"), label(b"7"), Odd()) == {"m0": loss}


def test_an_output_that_cannot_be_judged_is_wrong(make_decision: MakeDecision) -> None:
    """A model that answers with another kind of value than the loss compares is as wrong as can be."""
    loss = Absolute(range=(0.0, 10.0))
    assert losses(asked(make_decision, b'"four"', b"5"), label(b"5"), loss) == {"m0": 1.0, "m1": 0.0}


# What feedback teaches that is late, lost, out of order or sent twice: the whole way, over models that answer at once

ACCURACIES = {"x": 0.5, "y": 0.7, "z": 0.9}
MODELS = tuple(ACCURACIES)


class Model:
    """A model that says what it was sent, or, in some share of all rows, something else."""

    def __init__(self, name: str, version: int = 1) -> None:
        self.name = name
        self.ref = f"{name}@{version}"
        self.ready = True
        self.cached: Any = self
        self.direct: Any = self
        self.calls = 0

    def ask(self, call: Call) -> None:
        self.calls += 1
        right = Random(self.name + call.row.decode()).random() < ACCURACIES[self.name]
        call.settle(Output(call.row if right else b'"wrong"'), call.arrived)

    def full(self, now: float, deadline: float) -> bool:
        return False


class World:
    """An engine with one application of three models."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.models: dict[str, Any] = {name: Model(name) for name in MODELS}
        self.rows = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.ledger = Ledger(self.store, self.clock, LedgerConfig())
        await self.ledger.start()
        self.engine = Engine(clock=self.clock, rng=Random(1), ids=IdSource(0, self.ledger.boot), ledger=self.ledger)
        counters = ApplicationCounters()
        self.app = self.engine.apps["a"] = Application(
            name="a",
            models=MODELS,
            policy=self.policy,
            fallback=Single(model="x"),
            slo=0.02,
            default=None,
            min_confidence=0.0,
            cache=True,
            deadlines=Deadlines(loop, self.clock),
            states=States("a", self.policy, self.store, blend, reads=Reads(loop, self.clock), counters=counters),
            counters=counters,
            served=self.models,
        )

    def answer(self, count: int, context: str | None = None) -> list[tuple[str, bytes]]:
        """So many answers, with what is right."""
        told: list[Prediction] = []
        first, self.rows = self.rows, self.rows + count
        rows = [b"%d" % row for row in range(first, self.rows)]
        for row in rows:
            self.engine.predict(self.app, row, told.append, context=context)
        return [(answer.id, row) for answer, row in zip(told, rows, strict=True)]

    async def observe(self, **feedback: Any) -> Verdict:
        """Give feedback, and wait until it is durable."""
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.engine.observe(self.app, Feedback(**feedback), done.set_result)
        return await done

    def learned(self, context: str | None = None) -> dict[str, tuple[float, ...]]:
        """What was learned of each model."""
        return dict(self.app.states.view(context, MODELS).sums)


def play(policy: Policy, scenario: Callable[[World], Awaitable[Any]]) -> Any:
    """What a scenario gives, in a world whose time jumps."""
    world = World(policy)

    async def main() -> Any:
        await world.open()
        try:
            return await scenario(world)
        finally:
            await world.ledger.aclose()

    return run(main(), clock=world.clock)


@pytest.mark.parametrize("policy", [AdaHedge(), Exp3(), Thompson()])
def test_feedback_days_late_counts_the_same(policy: Policy) -> None:
    """What is learned depends on the decision alone: on the weights and propensities of then, not on today's."""

    async def at_once(world: World) -> Any:
        for id, label in world.answer(30):
            assert await world.observe(id=id, label=label) is True
        return world.learned()

    async def late(world: World) -> Any:
        given = world.answer(30)
        await asyncio.sleep(6 * 86_400.0)
        world.answer(5)
        for id, label in given:
            assert await world.observe(id=id, label=label) is True
        return world.learned()

    assert play(policy, late) == play(policy, at_once)


def test_feedback_later_than_the_ledger_keeps_is_refused() -> None:
    """A week by default; then the decision is unknown, and nothing is learned."""

    async def scenario(world: World) -> None:
        [(id, label)] = world.answer(1)
        await asyncio.sleep(7 * 86_400.0 + 1.0)
        assert isinstance(await world.observe(id=id, label=label), UnknownPrediction)
        assert world.store.scan("") == []

    play(AdaHedge(), scenario)


def test_feedback_after_a_redeployment_judges_what_was_said_then() -> None:
    """The outputs are those of the decision: no model is asked again, whatever its version is by now."""

    async def scenario(world: World) -> None:
        given = world.answer(10)
        before = sum(model.calls for model in world.models.values())
        for name in MODELS:
            world.models[name] = Model(name, 2)
        for id, label in given:
            assert await world.observe(id=id, label=label) is True
        assert before == 30
        assert sum(model.calls for model in world.models.values()) == 0
        assert world.app.states.view(None, MODELS).count == 10.0

    play(AdaHedge(forget=1.0), scenario)


def test_a_model_not_asked_is_not_judged() -> None:
    """A policy that asks one model learns of that one, by the propensity with which it was drawn then, long after its
    weights have become others. The label would let the others be judged too, but they are not evaluated.
    """

    async def scenario(world: World) -> None:
        [(id, _)] = world.answer(1)
        for other, _ in world.answer(9):
            await world.observe(id=other, label=b"null")
        before, calls = world.learned(), sum(model.calls for model in world.models.values())
        assert await world.observe(id=id, label=b"null") is True
        after, decision = world.learned(), world.ledger.find(id)
        assert decision is not None
        assert decision.propensities == (1 / 3,)
        change = {m: [b - a for a, b in zip(before[m], after[m], strict=True)] for m in MODELS}
        [asked] = decision.models
        assert change.pop(asked) == pytest.approx([1.0, 1.0, 3.0 - 1.0])  # of L/p, what is above the mixture's loss
        assert list(change.values()) == [pytest.approx([0.0, 0.0, -1.0])] * 2
        assert sum(model.calls for model in world.models.values()) == calls == 10

    play(Exp3(forget=1.0), scenario)


@pytest.mark.parametrize("policy", [AdaHedge(forget=1.0), Exp3(forget=1.0), Thompson(forget=1.0)])
def test_order_and_repetition_do_not_matter(policy: Policy) -> None:
    """Where nothing is forgotten, feedback out of order and sent twice teaches what it teaches in order and once."""

    def scenario(seed: int) -> Callable[[World], Awaitable[Any]]:
        async def observed(world: World) -> Any:
            given = [*world.answer(30, "alice"), *world.answer(30)]
            if seed:
                given += given[:20]
                Random(seed).shuffle(given)
            for id, label in given:
                await world.observe(id=id, label=label)
            assert world.app.counters.observations == 60
            assert world.app.counters.duplicates == (20 if seed else 0)
            return world.learned(), world.learned("alice")

        return observed

    once = play(policy, scenario(0))
    for seed in (1, 2):
        for state, first in zip(play(policy, scenario(seed)), once, strict=True):
            for model in MODELS:
                assert state[model] == pytest.approx(first[model], rel=1e-12, abs=1e-12)


def test_duplicates_change_nothing_to_the_last_bit() -> None:
    """Each observation sent again at once, with another label: the state is as if it had not been."""

    def scenario(*labels: bytes | None) -> Callable[[World], Awaitable[Any]]:
        async def observed(world: World) -> Any:
            for id, right in world.answer(40, "alice"):
                for place, label in enumerate(labels):
                    assert await world.observe(id=id, label=label or right) is (place == 0)
            return {key: world.store.get(key) for key in world.store.scan("")}

        return observed

    assert play(AdaHedge(), scenario(None, b'"other"', None)) == play(AdaHedge(), scenario(None))


def test_lost_feedback_is_only_less_of_it() -> None:
    """With three in ten lost, every model's average loss is estimated as before, from seven tenths of the feedback."""

    async def scenario(world: World) -> None:
        rng = Random(5)
        for id, label in world.answer(600):
            if rng.random() >= 0.3:
                assert await world.observe(id=id, label=label) is True
        found = {model: row[1] / row[0] for model, row in world.learned().items()}
        assert found == pytest.approx({model: 1.0 - right for model, right in ACCURACIES.items()}, abs=0.06)
        assert 380 < world.app.states.view(None, MODELS).count < 460

    play(AdaHedge(forget=1.0), scenario)


def test_feedback_is_seen_by_the_very_next_query() -> None:
    """Once it is confirmed it is in the state of its context and of all, with no turn of the loop in between."""

    async def scenario(world: World) -> None:
        for context in ("alice", None):
            before = [world.app.states.view(it, MODELS).count for it in ("alice", None)]
            [(id, label)] = world.answer(1, context)
            seen: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()

            def confirmed(verdict: Verdict, seen: asyncio.Future[list[float]] = seen) -> None:
                seen.set_result([world.app.states.view(it, MODELS).count for it in ("alice", None)])

            world.engine.observe(world.app, Feedback(id=id, label=label), confirmed)
            after = await seen
            assert after[1] == before[1] + 1
            assert after[0] > before[0]

    play(AdaHedge(forget=1.0), scenario)


def test_feedback_under_way_while_settings_change_is_seen() -> None:
    """An application replaced between an observation and its commit reads what was committed."""

    async def scenario(world: World) -> None:
        [(id, label)] = world.answer(1)
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        world.engine.observe(world.app, Feedback(id=id, label=label), done.set_result)
        reads = Reads(asyncio.get_running_loop(), world.clock)
        states = States("a", world.policy, world.store, blend, reads=reads, counters=world.app.counters)
        world.engine.apps["a"] = replace(world.app, states=states)
        assert states.view(None, MODELS).count == 0.0
        assert await done is True
        assert states.view(None, MODELS).count == 1.0

    play(AdaHedge(), scenario)


@pytest.mark.parametrize("context", ["a/b", "%2F", "ä ö", "\x00\x1f", "🦜", "..", "a?b=c&d#e", "'; --", "x" * 255])
def test_any_context_is_a_key(context: str) -> None:
    """Odd characters are kept apart from every other context, to the byte."""

    async def scenario(world: World) -> None:
        for name in (context, context + "x"):
            [(id, label)] = world.answer(1, name)
            assert await world.observe(id=id, label=label, context=name) is True
        assert len(world.store.scan("a/adahedge/")) == 3
        assert world.app.states.view(context, MODELS).count == 3.0

    play(AdaHedge(forget=1.0), scenario)


def test_clips_and_failures_of_a_loss_are_counted(make_decision: MakeDecision) -> None:
    """A loss outside [0, 1] is clipped and counted; one that raises is told of with its traceback."""

    class Odd(ZeroOne):
        def loss(self, output: Any, label: Any) -> float:
            return {7: 0.5, 8: 3.0, 9: float("nan"), 1: -1.0}[output]

    counters = ApplicationCounters()
    decision = asked(make_decision, b"7", b"8", b"9", b"1", b"4")
    judged = losses(decision, label(b"7"), Odd(), counters)
    assert judged == {"m0": 0.5, "m1": 1.0, "m2": 1.0, "m3": 0.0, "m4": 1.0}
    assert (counters.losses_clipped, counters.policy_failures) == (3, 1)
    assert "in loss: " in (counters.policy_traceback or "")
    assert "KeyError: 4" in (counters.policy_traceback or "")


def test_an_output_of_another_kind_is_no_failure_of_the_loss(make_decision: MakeDecision) -> None:
    """A ValueError says that an output cannot be judged: it is wrong, and nothing is counted."""
    counters = ApplicationCounters()
    losses(asked(make_decision, b'"four"'), label(b"5"), Absolute(), counters)
    assert (counters.losses_clipped, counters.policy_failures) == (0, 0)


class Picky(ZeroOne):
    """A user's loss that takes words alone, and trips over empty lists."""

    def check_label(self, label: Any) -> None:
        if not isinstance(label, str) and label[0] != 0:
            raise ValueError("words only")


def test_a_loss_of_ones_own_may_refuse_labels() -> None:
    """What it raises as a ValueError is the caller's mistake, anything else its own: then the label goes on."""
    counters = ApplicationCounters()
    check_label(Picky(), b'"word"', counters)
    with pytest.raises(InvalidInput, match=r"the loss 'zero_one' refuses the label \[1\]: words only"):
        check_label(Picky(), b"[1]", counters)
    assert counters.policy_failures == 0
    check_label(Picky(), b"[]", counters)
    assert counters.policy_failures == 1
    assert "in check_label: " in (counters.policy_traceback or "")


def test_a_label_that_is_not_declared_is_refused() -> None:
    """With the labels there are."""
    with pytest.raises(
        InvalidInput, match=r"label 'cow' is none of the labels that the models declare: \['cat', 'dog'\]"
    ):
        check_label(ZeroOne(labels=("cat", "dog")), b'"cow"', ApplicationCounters())


@pytest.mark.parametrize(
    "delta",
    [State(1.0, {"x": (1.0, float("inf"))}), State(1.0, {"x": (1.0, 0.0)}, (float("nan"),))],
    ids=["row", "shared"],
)
def test_only_finite_numbers_are_added(delta: State) -> None:
    """In the rows of models, and in what all share; the message shows them."""
    check_delta(State(1.0, {"x": (1.0, -1e300)}, (0.5,)))
    with pytest.raises(ValueError, match=r"update adds .* what it adds must be finite"):
        check_delta(delta)
