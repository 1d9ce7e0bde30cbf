"""Who was right, and in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skysail.feedback.accuracy import answer_right, models_right, right
from skysail.feedback.judge import losses
from skysail.selection.base import Loss
from skysail.selection.losses import Absolute, Squared, ZeroOne
from skysail.selection.scores import Log, TopK
from skysail.types import Decision, Observation

MakeDecision = Callable[..., Decision]
SLO = 0.02


def label(text: bytes) -> Observation:
    """Feedback that gives the true label."""
    return Observation("x", text, None, 0.0)


def reward(value: float) -> Observation:
    """Feedback that gives a reward."""
    return Observation("x", None, value, 0.0)


class Own:
    """A loss of a user's that knows numbers only."""

    name = "own"

    def loss(self, output: Any, label: Any) -> float:
        return float(abs(output - label))


@pytest.mark.parametrize(
    ("loss", "output", "label", "was"),
    [
        (ZeroOne(), 7, 7.0, True),
        (ZeroOne(), 7, "7", False),
        (Absolute(range=(0, 100), tolerance=2), 50, 52, True),
        (Squared(range=(0, 100), tolerance=2), 50, 52.5, False),
        (Absolute(range=(0, 100)), "fifty", 50, False),
        (Log(), [0.2, 0.7, 0.1], 1, True),
        (Log(), {"cat": 0.6, "dog": 0.4}, "dog", False),
        (Log(labels=["cat", "dog"]), [0.6, 0.4], "cat", True),
        (TopK(k=2), [0.5, 0.4, 0.1], 1, True),
        (TopK(k=2), [0.5, 0.4, 0.1], 2, False),
        (Own(), 1.0, 1.0, True),
        (Own(), 1.0, 1.5, False),
        (Own(), "one", 1.0, False),
    ],
)
def test_right_is_as_near_as_the_loss_has_it(loss: Loss, output: Any, label: Any, was: bool) -> None:
    """Loss 0; for numbers, within the tolerance; for probabilities, the likeliest. What cannot be judged is wrong."""
    assert right(loss, output, label) is was


@pytest.mark.parametrize(
    ("changes", "observation", "was"),
    [
        ({}, label(b"7"), True),
        ({}, label(b"8"), False),
        ({"latency": 21.0}, label(b"7"), True),
        ({"latency": 21.5}, label(b"7"), False),
        ({"answer": b"-1", "default": True, "reason": "deadline"}, label(b"-1"), True),
        ({}, reward(1.0), True),
        ({}, reward(0.5), False),
        ({"answer": None}, label(b"7"), None),
    ],
)
def test_an_answer_is_right_and_in_time(
    make_decision: MakeDecision, changes: dict[str, Any], observation: Observation, was: bool | None
) -> None:
    """Defaults count as answers; a millisecond late is in time; an input that was only evaluated was no answer."""
    assert answer_right(make_decision(**changes), observation, ZeroOne(), SLO) is was


def judged(decision: Decision, observation: Observation, loss: Loss | None = None) -> dict[str, bool]:
    """The models that were right and in time, by the losses that a policy would be told."""
    loss = loss or ZeroOne()
    return models_right(decision, observation, losses(decision, observation, loss), loss, SLO)


def test_each_model_is_judged_by_its_own_output_and_time(make_decision: MakeDecision) -> None:
    """Right in time; wrong; right but too late; never there; failed; refused; and a fallback, which nobody chose."""
    names = ["right", "wrong", "late", "missing", "failed", "refused", "fallback"]
    decision = make_decision(
        asked=[f"{name}@1" for name in names],
        propensities=(1.0,) * 6 + (0.0,),
        outputs=[b"7", b"8", b"7", None, None, None, b"7"],
        failures=[None, None, None, "missing", "model_error: boom", "overload: full", None],
        latencies=[20.9, 5.0, 30.0, None, 1.0, 0.0, 5.0],
    )
    assert judged(decision, label(b"7")) == {f"{name}@1": name == "right" for name in names[:6]}


def test_a_reward_judges_those_who_said_as_much(make_decision: MakeDecision) -> None:
    """Of the others it says nothing."""
    decision = make_decision(outputs=[b"7", b"8"], failures=[None, None], latencies=[1.0, 1.0])
    assert judged(decision, reward(1.0)) == {"a@1": True}
    assert judged(decision, reward(0.5)) == {"a@1": False}
    assert judged(decision, reward(0.0)) == {"a@1": False}


def test_numbers_are_right_within_the_tolerance(make_decision: MakeDecision) -> None:
    """Though they lost a little."""
    decision = make_decision(outputs=[b"50", b"60"], failures=[None, None], latencies=[1.0, 1.0], answer=b"55")
    assert judged(decision, label(b"51"), Absolute(range=(0, 100), tolerance=2)) == {"a@1": True, "b@2": False}


def test_an_evaluation_has_no_time_to_keep(make_decision: MakeDecision) -> None:
    """Nobody waited for what was asked because of its feedback."""
    assert judged(make_decision(answer=None), label(b"7")) == {}
