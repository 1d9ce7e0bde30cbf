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

_ONE_BY_ONE = 64
"""Models that are all integrated one by one; of more, most are taken together."""

_KINDS = 32
"""Kinds that these are taken together in, and how many of them are integrated one by one all the same."""

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
        chances = np.maximum(_chances(1.0 + rows[:, 0] - lost, 1.0 + lost), _LEAST)
        return Distribution(state.models, tuple((chances / chances.sum()).tolist()))


def _chances(a: _Array, b: _Array) -> _Array:
    """The probability of each model to be the best.

    Of many models, the most promising are integrated one by one, and of the others those with nearly equal records
    taken together: a kind has the mean record of its models.
    """
    if len(a) <= _ONE_BY_ONE:
        return chance_of_best(a, b)
    able = np.flatnonzero(_may_be_best(a, b))
    kind = _kinds(a[able], b[able])
    _, kind, times = np.unique(kind, return_inverse=True, return_counts=True)
    each = chance_of_best(np.bincount(kind, a[able]) / times, np.bincount(kind, b[able]) / times, times.astype(float))
    chances = np.zeros_like(a)
    chances[able] = each[kind]
    return chances


def _kinds(a: _Array, b: _Array) -> NDArray[np.int64]:
    """The kind of each variate: a number of its own for each of the most promising, those of greatest logit + 2.5 σ.

    Of the others, the width, and the place among those as wide, rounded to as fine a part of it as leaves few kinds.
    """
    width, middle = np.sqrt(1.0 / a + 1.0 / b), np.log(a / b)
    fineness = 4.0
    while True:
        widths = np.round(fineness * np.log2(width))
        places = np.round(fineness * middle / np.exp2(widths / fineness))
        kinds, kind = np.unique(np.stack([widths, places]), axis=1, return_inverse=True)
        if kinds.shape[1] <= _KINDS:
            break
        fineness *= 0.75
    kind = kind.ravel()
    hope = middle + 2.5 * width
    if len(hope) > _KINDS:
        promising = np.flatnonzero(hope > np.partition(hope, -_KINDS)[-_KINDS])
        kind[promising] = kinds.shape[1] + np.arange(len(promising))
    return kind


def chance_of_best(a: _Array, b: _Array, times: _Array | None = None) -> _Array:
    """The probability of each of several Beta(a, b) variates (a, b ≥ 1) to be the greatest: ∫ f_i Π_{j≠i} F_j.

    Each may stand for several that are alike, as many as `times` says; the probability is then that of one of them.

    Integrated over t = ln(x / (1 − x)), where the densities x^a (1 − x)^b are smooth and fall exponentially at both
    ends, by the trapezoidal rule on nodes that lie where those that can be the greatest have their mass. The error is
    below 0.001.

    >>> chance_of_best(np.array([2.0, 1.0]), np.array([1.0, 1.0])).round(3).tolist()
    [0.667, 0.333]
    """
    able = _may_be_best(a, b)
    many = np.ones_like(a) if times is None else times
    middle, reach = np.log(a / b)[able, None], _REACH * np.sqrt(1.0 / a + 1.0 / b)[able, None]
    spread = np.sinh(np.linspace(-3.0, 3.0, max(12, _NODES // int(able.sum())))) / np.sinh(3.0)
    t = np.sort((middle + reach * spread).ravel())
    log_density = -a[able, None] * np.logaddexp(0.0, -t) - b[able, None] * np.logaddexp(0.0, t)
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    mass = (density[:, 1:] + density[:, :-1]) * np.diff(t)
    below = np.zeros_like(density)
    np.cumsum(mass, axis=1, out=below[:, 1:])
    total = below[:, -1:].copy()
    log_below = np.log(np.maximum(below / total, 1e-300))
    others = np.exp((many[able, None] * log_below).sum(axis=0) - log_below)
    chances = np.zeros_like(a)
    chances[able] = (mass / total * (others[:, 1:] + others[:, :-1])).sum(axis=1)
    result: _Array = chances / (many * chances).sum()
    return result


def _may_be_best(a: _Array, b: _Array) -> NDArray[np.bool_]:
    """Which variates reach as high as the lowest that the highest comes down to."""
    middle, reach = np.log(a / b), _REACH * np.sqrt(1.0 / a + 1.0 / b)
    found: NDArray[np.bool_] = middle + reach >= np.max(middle - reach)
    return found
