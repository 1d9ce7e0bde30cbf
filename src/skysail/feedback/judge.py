"""What an observation says of each model that was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from skysail.errors import InvalidInput, SkysailError
from skysail.selection.base import Loss, Losses
from skysail.stats.application import ApplicationCounters
from skysail.types import Decision, Observation, State

__all__ = ["check_delta", "check_label", "losses"]

_decode = msgspec.json.decode


def check_label(loss: Loss, label: bytes, counters: ApplicationCounters) -> None:
    """Refuse a label that the loss refuses, as `InvalidInput`. A loss of the user's own that fails at it has no say."""
    try:
        loss.check_label(_decode(label))
    except SkysailError:
        raise
    except ValueError as error:
        raise InvalidInput(f"the loss {loss.name!r} refuses the label {label.decode()}: {error}") from error
    except Exception as error:  # noqa: BLE001 - a user's loss may raise anything
        counters.policy_failed("check_label", error)


def check_delta(delta: State) -> None:
    """Refuse what would spoil a state for good: NaN and infinities can be added, but are never forgotten."""
    for model, row in delta.sums.items():
        if not all(map(math.isfinite, row)):
            raise ValueError(f"update adds {row} to the row of {model!r}; what it adds must be finite")
    if not all(map(math.isfinite, delta.shared)):
        raise ValueError(f"update adds {delta.shared} to the shared numbers; what it adds must be finite")


def losses(
    decision: Decision, observation: Observation, loss: Loss, counters: ApplicationCounters | None = None
) -> Losses:
    """The loss of each model asked, in [0, 1] and by its name; `None` for one that is not to be judged.

    An output is judged by the application's loss against a label; by a reward r, with 1 − r, if it says the same as
    the answer. An output that cannot be judged has loss 1, and so has an error, and a straggler that was one too often
    (`lost`). Not judged are other stragglers, refusals, and a fallback (to which the policy gave no propensity). Where
    the answer was a default, a reward judges nobody.

    What a loss of the user's own gives outside [0, 1] is clipped, and what it raises is a loss of 1: `counters` are
    told of both. (A `ValueError` is how a loss says that it cannot judge an output, and is no fault of its own.)
    """
    judge: Callable[[Any], float | None]
    if observation.label is not None:
        judge = partial(_by_label, _decode(observation.label), loss)
    elif decision.default or decision.answer is None or observation.reward is None:
        return dict.fromkeys(decision.models)
    else:
        judge = partial(_by_reward, _decode(decision.answer), loss, observation.reward)
    return {name: _judged(decision, place, judge, counters) for place, name in enumerate(decision.models)}


def _judged(
    decision: Decision, place: int, judge: Callable[[Any], float | None], counters: ApplicationCounters | None
) -> float | None:
    """The loss of the model at one place of the decision."""
    if decision.propensities[place] == 0.0:
        return None
    output = decision.outputs[place]
    if output is None:
        failure = decision.failures[place] or ""
        return 1.0 if failure.startswith(("lost", "model_error")) else None
    try:
        found = judge(_decode(output))
    except ValueError:
        return 1.0
    except Exception as error:  # noqa: BLE001 - the loss may be a user's, and raise anything
        if counters is not None:
            counters.policy_failed("loss", error)
        return 1.0
    if found is None or 0.0 <= found <= 1.0:
        return found
    if counters is not None:
        counters.losses_clipped += 1
    return 1.0 if math.isnan(found) else min(1.0, max(0.0, found))


def _by_label(label: Any, loss: Loss, output: Any) -> float:
    return float(loss.loss(output, label))


def _by_reward(answer: Any, loss: Loss, reward: float, output: Any) -> float | None:
    return 1.0 - reward if loss.agree(output, answer) else None
