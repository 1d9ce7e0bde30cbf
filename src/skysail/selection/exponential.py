"""Exponential weights, shared by all policies that trust a model the less the more it has lost.

Losses are kept as *excess*: what a model lost beyond what the mixture of all candidates lost on the same query. Among
models that are always there this changes nothing (weights depend on differences of losses alone), and one that was
absent for a while comes back where it was, not ahead of all that were there to lose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from skysail.types import Distribution, State

__all__ = ["excess", "softmin"]

_LEAST = -40.0
"""Log of the least relative weight, e^-40: small enough never to be drawn, large enough to divide by."""


def softmin(state: State, eta: float) -> Distribution:
    """w_i ∝ exp(−η (L_i − min L)), where L is the first of the policy's own columns.

    >>> softmin(State(1.0, {"a": (0, 0, 7.0), "b": (0, 0, 7.0)}), 0.5).weights
    (0.5, 0.5)
    """
    losses = [row[2] for row in state.sums.values()]
    least = min(losses)
    raw = [math.exp(max(_LEAST, eta * (least - loss))) for loss in losses]
    total = sum(raw)
    return Distribution(tuple(state.sums), tuple([weight / total for weight in raw]), eta)


def excess(trust: Distribution, losses: Mapping[str, float]) -> dict[str, tuple[float]]:
    """Each candidate's loss less the mixture's, as a column; the mixture's is the mean of `losses` by weight.

    A candidate that `losses` leaves out is taken to have lost what the mixture did, so its excess is 0.
    """
    weight = dict(zip(trust.models, trust.weights, strict=True))
    known = sum([weight.get(model, 0.0) for model in losses])
    if known <= 0.0:
        return {}
    mixture = sum([weight.get(model, 0.0) * loss for model, loss in losses.items()]) / known
    return {model: (losses[model] - mixture if model in losses else 0.0,) for model in trust.models}
