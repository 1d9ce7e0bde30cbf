"""Models asked for the sake of feedback alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from skysail.applications import Application
from skysail.calls import Call
from skysail.deadlines import Deadlines
from skysail.errors import InvalidInput, Overload, SkysailError, Unavailable
from skysail.evaluation import Evaluator, failure_text
from skysail.feedback.inputs import digest
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.ids import IdSource
from skysail.selection.contexts import blend
from skysail.selection.exp3 import Exp3
from skysail.stats.application import ApplicationCounters
from skysail.stores.memory import MemoryStore
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Decision, Failure, Output, State


class Model:
    """A model that answers when told."""

    ready = True

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.cached = self.direct = self
        self.calls: list[Call] = []
        self.at_once: Output | None = None

    def ask(self, call: Call) -> None:
        if self.at_once is None:
            self.calls.append(call)
        else:
            call.settle(self.at_once, call.arrived)

    def forget(self, call: Call) -> None:
        call.over = True

    def hurry(self, call: Call, deadline: float) -> None: ...


class Bench:
    """An evaluator, and an application of hand-driven models for it."""

    def __init__(self, *models: str) -> None:
        self.clock = ManualClock()
        self.models: dict[str, Any] = {name: Model(f"{name}@1") for name in models}
        self.counters = ApplicationCounters()
        self.told: list[Decision | SkysailError] = []

    def open(self) -> Evaluator:
        """Make both, on the loop that runs."""
        loop, policy = asyncio.get_running_loop(), Exp3()
        reads = Reads(loop, self.clock)
        self.app = Application(
            name="app",
            models=tuple(self.models),
            policy=policy,
            fallback=policy,
            slo=0.02,
            default=None,
            min_confidence=0.0,
            cache=True,
            deadlines=Deadlines(loop, self.clock),
            states=States("app", policy, MemoryStore(), blend, reads=reads, counters=self.counters),
            counters=self.counters,
            served=self.models,
        )
        return Evaluator(self.clock, IdSource(0, 1))

    def run(self, scenario: Callable[[Evaluator], None]) -> None:
        async def main() -> None:
            scenario(self.open())

        run(main(), clock=self.clock)

    def ask(self, evaluator: Evaluator, *rows: int, context: str | None = None) -> None:
        for row in rows:
            evaluator.evaluate(self.app, b"%d" % row, context, self.told.append)

    def say(self, model: str = "a") -> None:
        """The model answers all it was asked so far."""
        calls, self.models[model].calls = self.models[model].calls, []
        for call in calls:
            call.settle(Output(b"1"), self.clock.monotonic())


def evaluate(outcomes: dict[str, Output | Failure | None]) -> Decision | SkysailError:
    """What becomes of an evaluation in which the models say this; those that say nothing are never heard of."""
    bench = Bench(*outcomes)

    async def main() -> Decision | SkysailError:
        done: asyncio.Future[Decision | SkysailError] = asyncio.get_running_loop().create_future()
        bench.open().evaluate(bench.app, b"[1]", "alice", done.set_result)
        for name, outcome in outcomes.items():
            if outcome is not None:
                bench.models[name].calls[0].settle(outcome, bench.clock.monotonic())
        return await done

    return run(main(), clock=bench.clock)


def test_all_models_are_asked_with_propensity_one() -> None:
    """Nothing was chosen, so feedback on it is full information even for a bandit."""
    decision = evaluate({"a": Output(b"1"), "b": Failure("model_error", "boom")})
    assert isinstance(decision, Decision)
    assert decision.propensities == (1.0, 1.0)
    assert decision.outputs == [b"1", None]
    assert decision.failures == [None, "model_error: boom"]
    assert (decision.context, decision.answer) == ("alice", None)
    delta = Exp3().update(decision, {"a": 0.0, "b": 1.0})
    assert isinstance(delta, State)
    assert delta.sums["b"][:2] == (1.0, 1.0)


def test_a_model_that_does_not_answer_is_waited_for_ten_seconds() -> None:
    """Then it is missing, and the others are judged."""
    decision = evaluate({"a": Output(b"1"), "b": None})
    assert isinstance(decision, Decision)
    assert decision.failures == [None, "missing"]
    assert 9_990 <= decision.latency <= 10_000


def test_an_invalid_input_is_no_decision() -> None:
    """Feedback on a row that the models refuse is refused for the same reason."""
    verdict = evaluate({"a": Output(b"1"), "b": Failure("invalid_input", "three values")})
    assert isinstance(verdict, InvalidInput)
    assert verdict.message == "three values"


def test_without_models_there_is_nothing_to_learn_from() -> None:
    """The client may try again later."""
    assert isinstance(evaluate({}), Unavailable)


def test_only_a_few_inputs_are_evaluated_at_once() -> None:
    """The others stand in line, and begin as those before them end."""
    bench = Bench("a")

    def scenario(evaluator: Evaluator) -> None:
        bench.ask(evaluator, *range(20))
        for begun in (8, 8, 4, 0):
            assert len(bench.models["a"].calls) == begun
            bench.say()
        digests = [decision.digest for decision in bench.told if isinstance(decision, Decision)]
        assert digests == [digest(b"%d" % n, binary=False) for n in range(20)]
        assert bench.counters.evaluations == 20

    bench.run(scenario)


def test_beyond_the_line_feedback_is_refused_and_counted() -> None:
    """A thousand inputs wait, not more; once there is room others are taken."""
    bench = Bench("a")

    def scenario(evaluator: Evaluator) -> None:
        bench.ask(evaluator, *range(1_030))
        assert [type(verdict) for verdict in bench.told] == [Overload] * 6
        assert bench.counters.evaluations_refused == 6
        assert "1024 inputs" in str(bench.told[0])
        bench.say()
        bench.ask(evaluator, 2_000)
        assert bench.counters.evaluations_refused == 6

    bench.run(scenario)


def test_what_the_cache_knows_is_no_recursion() -> None:
    """Models that answer at once end a whole line of inputs in one loop."""
    bench = Bench("a", "b")

    def scenario(evaluator: Evaluator) -> None:
        for model in bench.models.values():
            model.at_once = Output(b"1")
        bench.models["b"].at_once = None
        bench.ask(evaluator, *range(1_024))
        bench.models["b"].at_once = Output(b"1")
        bench.say("b")
        assert len(bench.told) == 1_024

    bench.run(scenario)


def test_an_input_under_way_is_not_evaluated_again() -> None:
    """Feedback that is sent twice before it could be judged is about one decision; another context is another."""
    bench = Bench("a")

    def scenario(evaluator: Evaluator) -> None:
        bench.ask(evaluator, 1, 1)
        bench.ask(evaluator, 1, context="alice")
        assert len(bench.models["a"].calls) == 2
        bench.say()
        first, again, other = bench.told
        assert first is again
        assert isinstance(first, Decision)
        assert isinstance(other, Decision)
        assert first.id != other.id

    bench.run(scenario)


def test_one_receiver_that_raises_stops_no_other_input() -> None:
    """The line goes on."""
    bench = Bench("a")

    def fails(outcome: Decision | SkysailError) -> None:
        raise ZeroDivisionError

    def scenario(evaluator: Evaluator) -> None:
        evaluator.evaluate(bench.app, b"0", None, fails)
        bench.ask(evaluator, *range(1, 10))
        calls = bench.models["a"].calls
        with pytest.raises(ZeroDivisionError):
            calls.pop(0).settle(Output(b"1"), 0.0)
        assert len(calls) == 8
        bench.say()
        bench.say()
        assert len(bench.told) == 9

    bench.run(scenario)


def test_failures_are_written_as_code_and_message() -> None:
    """As decisions keep them."""
    assert failure_text(None) == "missing"
    assert failure_text(Output(b"1")) is None
    assert failure_text(Failure("overload", "full")) == "overload: full"
