"""`thompson`: the default bandit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skysail.selection.base import Policy
from skysail.types import Distribution, State

__all__ = ["Thompson", "chance_of_best"]

_Array = NDArray[np.float64]

_REACH = 12.0
"""How many standard deviations of its logit a Beta variate is followed; the tail beyond holds at most e^-12."""

_NODES = 512
"""Nodes of the quadrature, shared by the models that may be best."""

_LEAST = 1e-12
"""The least probability a model is drawn with: far below the quadrature's error, and something to divide by."""


@dataclass(frozen=True, kw_only=True)
class Thompson(Policy):
    """One model is drawn with the probability that it is the best: for one model per query, with labels or rewards.

    A model's accuracy is Beta(1 + wins, 1 + losses) with wins = judged − losses, both forgotten (Thompson 1933;
    Chapelle & Li 2011). Rather than sample the accuracies, the probability of each model to have the greatest is
    integrated once for each version of the state, and the model drawn from that: the same choice, with its exact
    propensity known.
    """

    name: ClassVar[str] = "thompson"
    asks_one: ClassVar[bool] = True

    forget: float = 0.999

    def weigh(self, state: State) -> Distribution:
        """The probability of each model to be the most accurate."""
        rows = np.array([row[:2] for row in state.sums.values()])
        lost = np.clip(rows[:, 1], 0.0, rows[:, 0])
        chances = np.maximum(chance_of_best(1.0 + rows[:, 0] - lost, 1.0 + lost), _LEAST)
        return Distribution(state.models, tuple((chances / chances.sum()).tolist()))


def chance_of_best(a: _Array, b: _Array) -> _Array:
    """The probability of each of several Beta(a, b) variates (a, b ≥ 1) to be the greatest: ∫ f_i Π_{j≠i} F_j.

    Integrated over t = ln(x / (1 − x)), where the densities x^a (1 − x)^b are smooth and fall exponentially at both
    ends, by the trapezoidal rule on nodes that lie where those that can be the greatest have their mass. The error is
    below 0.001.

    >>> chance_of_best(np.array([2.0, 1.0]), np.array([1.0, 1.0])).round(3).tolist()
    [0.667, 0.333]
    """
    middle = np.log(a / b)
    reach = _REACH * np.sqrt(1.0 / a + 1.0 / b)
    able = middle + reach >= np.max(middle - reach)
    spread = np.sinh(np.linspace(-3.0, 3.0, max(12, _NODES // int(able.sum())))) / np.sinh(3.0)
    t = np.sort((middle[able, None] + reach[able, None] * spread).ravel())
    log_density = -a[able, None] * np.logaddexp(0.0, -t) - b[able, None] * np.logaddexp(0.0, t)
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    mass = (density[:, 1:] + density[:, :-1]) * np.diff(t)
    below = np.zeros_like(density)
    np.cumsum(mass, axis=1, out=below[:, 1:])
    total = below[:, -1:].copy()
    log_below = np.log(np.maximum(below / total, 1e-300))
    others = np.exp(log_below.sum(axis=0) - log_below)
    chances = np.zeros_like(a)
    chances[able] = (mass / total * (others[:, 1:] + others[:, :-1])).sum(axis=1)
    result: _Array = chances / chances.sum()
    return result
