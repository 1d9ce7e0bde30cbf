"""What an observation says of each model that was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from skysail.selection.base import Loss, Losses
from skysail.types import Decision, Observation

__all__ = ["losses"]

_decode = msgspec.json.decode


def losses(decision: Decision, observation: Observation, loss: Loss) -> Losses:
    """The loss of each model asked, in [0, 1] and by its name; `None` for one that is not to be judged.

    An output is judged by the application's loss against a label; by a reward r, with 1 − r, if it says the same as
    the answer. An output that cannot be judged has loss 1, and so has an error, and a straggler that was one too often
    (`lost`). Not judged are other stragglers, refusals, and a fallback (to which the policy gave no propensity). Where
    the answer was a default, a reward judges nobody.
    """
    judge: Callable[[Any], float | None]
    if observation.label is not None:
        judge = partial(_by_label, _decode(observation.label), loss)
    elif decision.default or decision.answer is None or observation.reward is None:
        return dict.fromkeys(decision.models)
    else:
        judge = partial(_by_reward, _decode(decision.answer), loss, observation.reward)
    return {name: _judged(decision, place, judge) for place, name in enumerate(decision.models)}


def _judged(decision: Decision, place: int, judge: Callable[[Any], float | None]) -> float | None:
    """The loss of the model at one place of the decision."""
    if decision.propensities[place] == 0.0:
        return None
    output = decision.outputs[place]
    if output is None:
        failure = decision.failures[place] or ""
        return 1.0 if failure == "lost" or failure.startswith("model_error") else None
    try:
        found = judge(_decode(output))
    except Exception:  # noqa: BLE001  # the loss may be a user's, and the output of a kind it does not know
        return 1.0
    if found is None or 0.0 <= found <= 1.0:
        return found
    return 1.0 if math.isnan(found) else min(1.0, max(0.0, found))


def _by_label(label: Any, loss: Loss, output: Any) -> float:
    return float(loss.loss(output, label))


def _by_reward(answer: Any, loss: Loss, reward: float, output: Any) -> float | None:
    return 1.0 - reward if loss.agree(output, answer) else None
