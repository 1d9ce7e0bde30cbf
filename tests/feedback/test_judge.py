"""What an observation says of each model that was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skysail.feedback.judge import losses
from skysail.selection.losses import Absolute, ZeroOne
from skysail.types import Decision, Observation

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
