"""What each model version says on average: Clipper's stand-in for an output that is not there in time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from skysail.types import Estimate, Output

__all__ = ["Means"]

_WINDOW = 1000
"""Outputs after which the mean forgets: from there on a new one has a weight of 1/1000."""


class _Mean:
    """The mean of one version's outputs, by place (`None` for a bare number) or by label."""

    __slots__ = ("count", "estimate", "places", "values")

    def __init__(self, places: Collection[str | int] | None, values: list[float]) -> None:
        self.count = 1
        self.places = places
        self.values = values
        self.estimate: Estimate | None = None

    def add(self, values: list[float]) -> None:
        """One more output of the same shape."""
        self.count = min(self.count + 1, _WINDOW)
        share = 1.0 / self.count
        self.values = [mean + share * (value - mean) for mean, value in zip(self.values, values, strict=True)]
        self.estimate = None


class Means:
    """The running mean of the outputs of each model version of an application: numbers, lists of numbers (such as
    class probabilities), and objects of numbers by label.

    In memory only: a version's mean starts anew with its frontend. Outputs of another kind, such as classes, have no
    mean; where the shape changes, the mean starts anew.
    """

    def __init__(self) -> None:
        self._of: dict[str, _Mean] = {}

    def add(self, ref: str, output: Output) -> None:
        """Take in one output of a version."""
        shape = _numbers(output.value)
        if shape is None:
            return
        places, values = shape
        mean = self._of.get(ref)
        if mean is None or mean.places != places:
            self._of[ref] = _Mean(places, values)
        else:
            mean.add(values)

    def get(self, ref: str) -> Estimate | None:
        """What the version says on average; `None` before its first output that has a mean."""
        mean = self._of.get(ref)
        if mean is None:
            return None
        if mean.estimate is None:
            mean.estimate = Estimate(msgspec.json.encode(_written(mean)))
        return mean.estimate

    def keep(self, refs: Collection[str]) -> None:
        """Forget all versions but these."""
        self._of = {ref: mean for ref, mean in self._of.items() if ref in refs}


def _numbers(value: Any) -> tuple[Collection[str | int] | None, list[float]] | None:
    """An output as its places (or labels, in one order for all) and the numbers there; `None` for one without mean."""
    if isinstance(value, dict):
        labels = sorted(value)
        places: Collection[str | int] | None = tuple(labels)
        values = [value[label] for label in labels]
    elif isinstance(value, list):
        places, values = range(len(value)), value
    else:
        places, values = None, [value]
    for number in values:
        if number.__class__ is not float and number.__class__ is not int:
            return None
    return (places, [float(number) for number in values]) if values else None


def _written(mean: _Mean) -> Any:
    """A mean in the shape of the outputs it was taken over."""
    if mean.places is None:
        return mean.values[0]
    if isinstance(mean.places, range):
        return mean.values
    return dict(zip(mean.places, mean.values, strict=True))
