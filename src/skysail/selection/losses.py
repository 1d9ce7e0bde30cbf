"""Losses: how wrong an output is, in [0, 1], and how several outputs are combined so as to be wrong least.

| name | outputs | loss | combined by |
|---|---|---|---|
| `zero_one` | any JSON | 0 if equal to the label, else 1 | weighted plurality; on a tie the earliest listed |
| `absolute` | numbers | distance over the width of `range`, at most 1 | weighted mean |
| `squared` | numbers | that, squared | weighted mean |
| `log` | class probabilities | −ln p(label) over −ln `floor`, at most 1 | weighted mean, class by class |

Outputs are given as decoded JSON where they are judged, and as `Output` where they are combined, because combining
identical outputs needs no decoding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from skysail.errors import ConfigError, InvalidInput
from skysail.selection.params import number
from skysail.types import Output, same_json

__all__ = ["Absolute", "Log", "Squared", "ZeroOne"]


@dataclass(frozen=True, kw_only=True)
class ZeroOne:
    """Right or wrong, by equality as JSON values. For classes, and whatever else is right or wrong."""

    name: ClassVar[str] = "zero_one"

    def check_label(self, label: Any) -> None:
        """Any JSON value is a label."""

    def loss(self, output: Any, label: Any) -> float:
        """0 where the two are equal as JSON, else 1."""
        return 0.0 if same_json(output, label) else 1.0

    def agree(self, a: Any, b: Any) -> bool:
        """Whether the two are equal as JSON."""
        return same_json(a, b)

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The output with the most weight behind it; on a tie the one that is listed earliest.

        >>> ZeroOne().combine([(0.3, Output(b"1")), (0.4, Output(b"2")), (0.3, Output(b"1.0"))])
        Output(b'1')
        """
        if _all_same(weighted):
            return weighted[0][1]
        groups: list[tuple[Output, float]] = []
        for weight, output in weighted:
            for place, (leader, total) in enumerate(groups):
                if leader == output:
                    groups[place] = (leader, total + weight)
                    break
            else:
                groups.append((output, weight))
        return max(groups, key=lambda group: group[1])[0]


@dataclass(frozen=True, kw_only=True)
class Absolute:
    """The distance between two numbers: for regression where a miss twice as far is twice as bad."""

    name: ClassVar[str] = "absolute"

    range: tuple[float, float] = (0.0, 1.0)
    """Where labels lie: a miss as wide as the range, or wider, has loss 1."""

    tolerance: float | None = None
    """How far apart two numbers may be and still agree; a tenth of the range's width by default."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        owner = f"loss '{self.name}'"
        bounds: Any = self.range
        if not isinstance(bounds, list | tuple) or len(bounds) != 2:
            raise ConfigError(f"{owner}: range = {self.range!r} must be two numbers, the least and the greatest label")
        low, high = (number(owner, "range", bound) for bound in bounds)
        if not 0.0 < high - low < math.inf:
            raise ConfigError(f"{owner}: range = {self.range!r} must have its least number first")
        if self.tolerance is not None:
            number(owner, "tolerance", self.tolerance, least=0.0)

    def check_label(self, label: Any) -> None:
        """Refuse a label that is not a number."""
        _judgeable(self.name, "numbers", label, _finite)

    def loss(self, output: Any, label: Any) -> float:
        """The distance as a share of the range's width, at most 1."""
        return min(1.0, abs(_finite(output) - _finite(label)) / (self.range[1] - self.range[0]))

    def agree(self, a: Any, b: Any) -> bool:
        """Whether two numbers are no further apart than the tolerance."""
        tolerance = 0.1 * (self.range[1] - self.range[0]) if self.tolerance is None else self.tolerance
        return abs(_finite(a) - _finite(b)) <= tolerance

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The weighted mean.

        >>> Absolute().combine([(0.75, Output(b"1")), (0.25, Output(b"3"))])
        Output(b'1.5')
        """
        if _all_same(weighted):
            _finite(weighted[0][1].value)
            return weighted[0][1]
        shares = _shares(weighted)
        mean = sum([share * _finite(output.value) for share, (_, output) in zip(shares, weighted, strict=True)])
        return Output(msgspec.json.encode(mean))


@dataclass(frozen=True, kw_only=True)
class Squared(Absolute):
    """The squared distance: for regression where one large miss is worse than many small ones."""

    name: ClassVar[str] = "squared"

    def loss(self, output: Any, label: Any) -> float:
        """The distance as a share of the range's width, squared, at most 1."""
        return super().loss(output, label) ** 2


@dataclass(frozen=True, kw_only=True)
class Log:
    """How surprised class probabilities are by the label. For models that answer with probabilities, not with a class.

    An output is a list of probabilities (then a label is a class's place in it), or an object of probabilities by label
    (then a label is a key). A class that an output leaves out has probability 0. Two outputs agree when their likeliest
    classes are the same.
    """

    name: ClassVar[str] = "log"

    floor: float = 0.01
    """The probability of the label at which, and below which, the loss is 1."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        number("loss 'log'", "floor", self.floor, above=0.0, most=0.5)

    def check_label(self, label: Any) -> None:
        """Refuse a label that names no class."""
        _judgeable(self.name, "classes (a place in a list of probabilities, or a key of an object)", label, _class)

    def loss(self, output: Any, label: Any) -> float:
        """−ln p(label) / −ln floor, at most 1."""
        chances, place = _chances(output), _class(label)
        if isinstance(output, dict):
            place = str(place)
        elif isinstance(place, str):
            raise ValueError(f"label {label!r} is no place in a list of {len(chances)} probabilities")
        chance = chances.get(place, 0.0)
        return 0.0 if chance >= 1.0 else math.log(max(chance, self.floor)) / math.log(self.floor)

    def agree(self, a: Any, b: Any) -> bool:
        """Whether the likeliest class is the same."""
        return _likeliest(a) == _likeliest(b)

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The weighted mean of the probabilities, class by class.

        >>> Log().combine([(0.5, Output(b"[1, 0]")), (0.5, Output(b"[0.5, 0.5]"))])
        Output(b'[0.75,0.25]')
        """
        if _all_same(weighted):
            _chances(weighted[0][1].value)
            return weighted[0][1]
        if len({isinstance(output.value, dict) for _, output in weighted}) > 1:
            raise ValueError("lists of probabilities and objects of probabilities do not combine")
        total: dict[Any, float] = {}
        for share, (_, output) in zip(_shares(weighted), weighted, strict=True):
            for label, chance in _chances(output.value).items():
                total[label] = total.get(label, 0.0) + share * chance
        named = isinstance(weighted[0][1].value, dict)
        return Output(msgspec.json.encode(total if named else [total[place] for place in sorted(total)]))


def _all_same(weighted: Sequence[tuple[float, Output]]) -> bool:
    raw = weighted[0][1].raw
    return all(output.raw == raw for _, output in weighted)


def _shares(weighted: Sequence[tuple[float, Output]]) -> list[float]:
    """The weights so scaled that they sum to one; equal ones where there is no weight at all."""
    total = sum([weight for weight, _ in weighted])
    if total <= 0.0:
        return [1.0 / len(weighted)] * len(weighted)
    return [weight / total for weight, _ in weighted]


def _finite(value: Any) -> float:
    """A JSON number as a float; `ValueError` for anything else."""
    if value.__class__ is float or value.__class__ is int:
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if math.isfinite(result):
            return result
    raise ValueError(f"{_short(value)} is not a finite number")


def _class(label: Any) -> int | str:
    """A label that names a class: a place, or a key."""
    if isinstance(label, str) or (isinstance(label, int) and not isinstance(label, bool) and label >= 0):
        return label
    raise ValueError(f"{_short(label)} is neither a class's place nor its name")


def _chances(output: Any) -> dict[Any, float]:
    """Probabilities by class; `ValueError` for anything else."""
    items = output if isinstance(output, dict) else dict(enumerate(output)) if isinstance(output, list) else {}
    if not items:
        raise ValueError(f"{_short(output)} is neither a list nor an object of class probabilities")
    chances = {label: _finite(chance) for label, chance in items.items()}
    if min(chances.values()) < 0.0 or max(chances.values()) > 1.000001:
        raise ValueError(f"{_short(output)} has a probability outside [0, 1]")
    return chances


def _likeliest(output: Any) -> int | str:
    """The class of the greatest probability, the first of several."""
    try:
        if isinstance(output, dict):
            return str(max(output, key=output.__getitem__))
        return int(output.index(max(output)))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{_short(output)} is neither a list nor an object of class probabilities") from error


def _judgeable(loss: str, what: str, label: Any, read: Callable[[Any], Any]) -> None:
    try:
        read(label)
    except ValueError as error:
        raise InvalidInput(f"label {_short(label)} cannot be judged: the loss '{loss}' compares {what}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
