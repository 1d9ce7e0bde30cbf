"""What losses share: how outputs and labels are read, and what they have in common where they are classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from skysail.errors import ConfigError, InvalidInput
from skysail.types import Output

__all__ = ["Labelled", "all_same", "check_judgeable", "finite", "key", "scaled", "short"]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A loss of classes: their labels, where they are declared."""

    name: ClassVar[str]

    labels: Sequence[Any] | None = None
    """The classes, in the order of the models' probabilities; any, if not declared."""

    def __post_init__(self) -> None:
        """Check the labels."""
        given: Any = self.labels
        if given is not None and (not isinstance(given, list | tuple) or not given or len(self.places) < len(given)):
            raise ConfigError(f"loss '{self.name}': labels = {short(given)} must be a list of the classes, each once")

    @cached_property
    def places(self) -> dict[Hashable, int]:
        """Where each label stands, by its `key`."""
        return {key(label): place for place, label in enumerate(self.labels or ())}

    def check_label(self, label: Any) -> None:
        """Refuse a label that is none of those declared."""
        if self.labels is not None and key(label) not in self.places:
            raise InvalidInput(
                f"label {short(label)} is none of the labels that the models declare: {short(list(self.labels))}"
            )


def all_same(weighted: Sequence[tuple[float, Output]]) -> bool:
    """Whether all outputs have the same text."""
    raw = weighted[0][1].raw
    return all(output.raw == raw for _, output in weighted)


def scaled(weighted: Sequence[tuple[float, Output]]) -> list[float]:
    """The weights so scaled that they sum to one; equal ones where there is no weight at all."""
    total = sum([weight for weight, _ in weighted])
    if total <= 0.0:
        return [1.0 / len(weighted)] * len(weighted)
    return [weight / total for weight, _ in weighted]


def finite(value: Any) -> float:
    """A JSON number as a float; `ValueError` for anything else."""
    if value.__class__ is float or value.__class__ is int:
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if math.isfinite(result):
            return result
    raise ValueError(f"{short(value)} is not a finite number")


def key(value: Any) -> Hashable:
    """A JSON value to look up by: equal for two that are equal as JSON, and for no others."""
    if isinstance(value, list):
        return ("list", *map(key, value))
    if isinstance(value, dict):
        return ("object", frozenset([(name, key(held)) for name, held in value.items()]))
    return ("boolean", value) if isinstance(value, bool) else value


def check_judgeable(loss: str, what: str, label: Any, read: Callable[[Any], Any]) -> None:
    """Refuse a label that cannot be read as what a loss compares."""
    try:
        read(label)
    except ValueError as error:
        raise InvalidInput(f"label {short(label)} cannot be judged: the loss '{loss}' compares {what}") from error


def short(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
