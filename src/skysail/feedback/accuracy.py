"""Effective accuracy: who was right, and in time. An answer that is late is no answer."""

from __future__ import annotations

from typing import Any

import msgspec

from skysail.selection.base import Loss, Losses
from skysail.types import Decision, Observation

__all__ = ["answer_right", "models_right", "right"]

_TOLERANCE_MS = 1.0
"""What "in time" may miss the objective by."""

_decode = msgspec.json.decode


def right(loss: Loss, output: Any, label: Any) -> bool:
    """Whether an output is right: its loss is 0, or it is as near to the label as the loss's own `right` has it.

    A loss has that method where 0 is asking too much: numbers are right within the tolerance, probabilities where the
    label is the likeliest. An output that cannot be judged is wrong.
    """
    near = getattr(loss, "right", None)
    try:
        return loss.loss(output, label) == 0.0 or (near is not None and bool(near(output, label)))
    except Exception:  # noqa: BLE001 - the loss may be a user's, and the output of a kind it does not know
        return False


def answer_right(decision: Decision, observation: Observation, loss: Loss, slo: float) -> bool | None:
    """Whether the answer given was right and in time; `None` where there was none to judge. `slo` is in seconds."""
    if decision.answer is None:
        return None
    if decision.latency > slo * 1e3 + _TOLERANCE_MS:
        return False
    if observation.label is None:
        return observation.reward == 1.0
    return right(loss, _decode(decision.answer), _decode(observation.label))


def models_right(
    decision: Decision, observation: Observation, losses: Losses, loss: Loss, slo: float
) -> dict[str, bool]:
    """For each version (`name@version`) that the policy selected: whether it was right and in time.

    One that gave no output, or gave it late, was not, whoever was at fault. Left out is what a reward says nothing of.
    An input that was evaluated for its feedback alone had no time to keep, and says nothing.
    """
    if decision.answer is None:
        return {}
    latest = slo * 1e3 + _TOLERANCE_MS
    label = None if observation.label is None else _decode(observation.label)
    found: dict[str, bool] = {}
    for place, name in enumerate(decision.models):
        lost = losses[name]
        if decision.propensities[place] == 0.0 or (lost is None and observation.label is None):
            continue
        output, latency = decision.outputs[place], decision.latencies[place]
        if output is None or lost is None or (latency is not None and latency > latest):
            was = False
        elif lost in (0.0, 1.0) or observation.label is None:
            was = lost == 0.0
        else:
            was = right(loss, _decode(output), label)
        found[decision.asked[place]] = was
    return found
