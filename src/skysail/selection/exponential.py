"""Exponential weights, shared by all policies that trust a model the less the more it has lost.

Losses are kept as *excess*: what a model lost beyond what the mixture of all candidates lost on the same query. Among
models that are always there this changes nothing (weights depend on differences of losses alone), and one that was
absent for a while comes back where it was, not ahead of all that were there to lose.
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping

from skysail.types import Distribution, State

__all__ = ["Alike", "excess", "softmin"]

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
    """What each model lost beyond the mixture's loss, as a column; the mixture's is the mean of `losses` by weight.

    A candidate that `losses` leaves out is taken to have lost what the mixture did: it has no excess, and no column.
    """
    weight = dict(zip(trust.models, trust.weights, strict=True))
    known = sum([weight.get(model, 0.0) for model in losses])
    if known <= 0.0:
        return {}
    mixture = sum([weight.get(model, 0.0) * loss for model, loss in losses.items()]) / known
    return {model: (loss - mixture,) for model, loss in losses.items() if model in weight}


class Alike(Mapping[str, tuple[float, ...]]):
    """The same row for each of many models, but for a few of them that have their own.

    It costs nothing to make, however many they are; what it is added to is gone through row by row all the same, and
    not on the event loop.
    """

    __slots__ = ("_models", "_own", "_row")

    def __init__(self, models: tuple[str, ...], row: tuple[float, ...], own: Mapping[str, tuple[float, ...]]) -> None:
        self._models = models
        self._row = row
        self._own = own

    def _rows(self) -> dict[str, tuple[float, ...]]:
        return {**dict.fromkeys(self._models, self._row), **self._own}

    def __getitem__(self, model: str) -> tuple[float, ...]:
        return self._rows()[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())

    def items(self) -> ItemsView[str, tuple[float, ...]]:
        """All rows, made at once."""
        return self._rows().items()
