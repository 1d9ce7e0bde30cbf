"""Models asked for the sake of feedback alone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from skysail.calls import Call
from skysail.errors import InvalidInput, SkysailError, Unavailable
from skysail.evaluation import Evaluator, failure_text
from skysail.ids import IdSource
from skysail.selection.exp3 import Exp3
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Decision, Failure, Output, State


class Model:
    """A model that answers when told."""

    ready = True

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.cached = self
        self.calls: list[Call] = []

    def ask(self, call: Call) -> None:
        self.calls.append(call)

    def forget(self, call: Call) -> None:
        call.over = True

    def hurry(self, call: Call, deadline: float) -> None: ...


def evaluate(outcomes: dict[str, Output | Failure | None]) -> Decision | SkysailError:
    """What becomes of an evaluation in which the models say this; those that say nothing are never heard of."""
    clock = ManualClock()
    models = {name: Model(f"{name}@1") for name in outcomes}

    async def main() -> Decision | SkysailError:
        policy = Exp3()
        app: Any = SimpleNamespace(
            name="app",
            policy=policy,
            candidates=tuple(models),
            cache=True,
            served=models,
            predictor=models.__getitem__,
            states=SimpleNamespace(view=lambda context, names: policy.initial(names)),
        )
        done: asyncio.Future[Decision | SkysailError] = asyncio.get_running_loop().create_future()
        Evaluator(clock, IdSource(0, 1)).evaluate(app, b"[1]", "alice", done.set_result)
        for name, outcome in outcomes.items():
            if outcome is not None:
                models[name].calls[0].settle(outcome, clock.monotonic())
        return await done

    return run(main(), clock=clock)


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


def test_failures_are_written_as_code_and_message() -> None:
    """As decisions keep them."""
    assert failure_text(None) == "missing"
    assert failure_text(Output(b"1")) is None
    assert failure_text(Failure("overload", "full")) == "overload: full"
