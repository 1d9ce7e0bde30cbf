"""Losses of outputs that have a number for each class: probabilities, scores, and rankings by score."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import mul
from typing import Any, ClassVar

import msgspec

from skysail.errors import ConfigError
from skysail.selection.params import number
from skysail.selection.reading import Labelled, all_same, check_judgeable, key, scaled, short
from skysail.types import Output

__all__ = ["Log", "TopK"]


@dataclass(frozen=True, kw_only=True)
class _Scored(Labelled):
    """A loss of outputs that have a number for each class.

    An output is a list (then a label is one of `labels`, or without them a class's place in the list), or an object of
    numbers by label. Two outputs agree when their best classes are the same.
    """

    def check_label(self, label: Any) -> None:
        """Refuse a label that is none of those declared, or, where none are, that names no class."""
        super().check_label(label)
        if self.labels is None:
            check_judgeable(self.name, "classes (a place in a list, or a key of an object)", label, _class)

    def agree(self, a: Any, b: Any) -> bool:
        """Whether the best class is the same."""
        return _best(a) == _best(b)

    def right(self, output: Any, label: Any) -> bool:
        """Whether the label is the best class: what counts as right, in the accuracy that is reported."""
        return _best(output) == self._place(output, label)

    def _place(self, output: Any, label: Any) -> int | str:
        """Where an output has the number of a label."""
        if isinstance(output, dict):
            return label if isinstance(label, str) else msgspec.json.encode(label).decode()
        place = _class(label) if self.labels is None else self.places.get(key(label), label)
        if not isinstance(place, int):
            raise ValueError(f"label {short(label)} is no place in a list of {len(output)} numbers; declare labels")
        return place

    def _mean(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The weighted mean of the numbers, class by class; a class that an output leaves out has 0 there."""
        shares = scaled(weighted)
        if isinstance(weighted[0][1].value, list):
            rows = [output.value for _, output in weighted]
            return Output(msgspec.json.encode([sum(map(mul, shares, it)) for it in zip_longest(*rows, fillvalue=0.0)]))
        total: dict[str, float] = {}
        for share, (_, output) in zip(shares, weighted, strict=True):
            for label, number_ in output.value.items():
                total[label] = total.get(label, 0.0) + share * number_
        return Output(msgspec.json.encode(total))


@dataclass(frozen=True, kw_only=True)
class Log(_Scored):
    """How surprised class probabilities are by the label. For models that answer with probabilities, not with a class.

    An output is a list of probabilities, or an object of probabilities by label. A class that an output leaves out has
    probability 0. Two outputs agree when their likeliest classes are the same.
    """

    name: ClassVar[str] = "log"

    floor: float = 0.01
    """The probability of the label at which, and below which, the loss is 1."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        number("loss 'log'", "floor", self.floor, above=0.0, most=0.5)

    def loss(self, output: Any, label: Any) -> float:
        """−ln p(label) / −ln floor, at most 1."""
        _numbers(output, 0.0, 1.000001)
        return self._surprise(_at(output, self._place(output, label)) or 0.0)

    def credits(self, output: Any) -> dict[Hashable, float]:
        """1 − loss for each class that is likelier than the floor."""
        _numbers(output, 0.0, 1.000001)
        return {label: 1.0 - self._surprise(chance) for label, chance in _items(output) if chance > self.floor}

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The weighted mean of the probabilities, class by class.

        >>> Log().combine([(0.5, Output(b"[1, 0]")), (0.5, Output(b"[0.5, 0.5]"))])
        Output(b'[0.75,0.25]')
        """
        same = all_same(weighted)
        for _, output in weighted[:1] if same else weighted:
            _numbers(output.value, 0.0, 1.000001)
        if same:
            return weighted[0][1]
        _one_kind(weighted)
        return self._mean(weighted)

    def _surprise(self, chance: float) -> float:
        return 0.0 if chance >= 1.0 else math.log(max(chance, self.floor)) / math.log(self.floor)


@dataclass(frozen=True, kw_only=True)
class TopK(_Scored):
    """Whether the label is among the `k` best. For models that answer with scores of many classes, or with a ranking.

    An output is a list of scores, an object of scores by label, or a list of labels that are strings, the best first.
    Scores are averaged, so they should be on one scale, as probabilities are; of equal ones the first listed is better.
    Rankings are merged by reciprocal rank: 1 for the first, 1/2 for the second, 1/3 for the third.
    """

    name: ClassVar[str] = "top_k"

    k: int = 5
    """How many of the best count as right."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        number("loss 'top_k'", "k", self.k, least=1.0)
        if self.k != int(self.k):
            raise ConfigError(f"loss 'top_k': k = {self.k!r} must be a whole number")

    def loss(self, output: Any, label: Any) -> float:
        """0 where the label is among the `k` best, else 1."""
        if _is_ranking(output):
            return 0.0 if label in output[: int(self.k)] else 1.0
        _numbers(output)
        score = _at(output, place := self._place(output, label))
        if score is None:
            return 1.0
        better, before = 0, True
        for other, value in _items(output):
            before = before and other != place
            better += value > score or (before and value == score)
        return 0.0 if better < self.k else 1.0

    def credits(self, output: Any) -> dict[Hashable, float]:
        """1 for each of the `k` best."""
        return dict.fromkeys(_ranked(output)[: int(self.k)], 1.0)

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The weighted mean of scores, class by class; of rankings, the labels by their mean reciprocal rank.

        >>> TopK().combine([(0.6, Output(b'["a","b"]')), (0.4, Output(b'["b","a"]')), (0.3, Output(b'["b","c"]'))])
        Output(b'["b","a","c"]')
        """
        rankings = [_is_ranking(output.value) for _, output in weighted]
        for (_, output), ranking in zip(weighted, rankings, strict=True):
            if not ranking:
                _numbers(output.value)
        if all_same(weighted):
            return weighted[0][1]
        _one_kind(weighted)
        if not any(rankings):
            return self._mean(weighted)
        if not all(rankings):
            raise ValueError("rankings and lists of scores do not combine")
        points: dict[str, float] = {}
        for weight, output in weighted:
            for place, label in enumerate(output.value, 1):
                points[label] = points.get(label, 0.0) + weight / place
        return Output(msgspec.json.encode(sorted(points, key=lambda label: -points[label])))


def _class(label: Any) -> int | str:
    """A label that names a class: a place, or a key."""
    if isinstance(label, str) or (isinstance(label, int) and not isinstance(label, bool) and label >= 0):
        return label
    raise ValueError(f"{short(label)} is neither a class's place nor its name")


def _numbers(output: Any, least: float = -math.inf, most: float = math.inf) -> None:
    """Refuse what is neither a list nor an object of finite numbers in a range."""
    values = output.values() if isinstance(output, dict) else output if isinstance(output, list) else ()
    if not values:
        raise ValueError(f"{short(output)} is neither a list nor an object of numbers by class")
    for value in values:
        if (value.__class__ is not float and value.__class__ is not int) or not least <= value <= most:
            raise ValueError(f"{short(output)} holds {short(value)}, which is no number from {least:g} to {most:g}")
        if value - value != 0.0:  # infinite: JSON may hold 1e999
            raise ValueError(f"{short(output)} holds a number that is not finite")


def _at(output: Any, place: Any) -> float | None:
    """The number of a class; `None` where the output has none."""
    if isinstance(output, dict):
        return output.get(place)
    return output[place] if place < len(output) else None


def _items(output: Any) -> Any:
    """Places or labels, with their numbers."""
    return output.items() if isinstance(output, dict) else enumerate(output)


def _is_ranking(output: Any) -> bool:
    if not isinstance(output, list) or not output or output[0].__class__ is not str:
        return False
    return all([label.__class__ is str for label in output])  # noqa: C419 - a list is made faster than a generator


def _ranked(output: Any) -> list[int | str]:
    """The classes of an output, the best first."""
    if _is_ranking(output):
        return list(output)
    _numbers(output)
    return [label for label, _ in sorted(_items(output), key=lambda item: -item[1])]


def _best(output: Any) -> int | str:
    """The class of the greatest number, the first of several; or the first of a ranking."""
    try:
        if isinstance(output, dict):
            return str(max(output, key=output.__getitem__))
        return str(output[0]) if _is_ranking(output) else int(output.index(max(output)))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{short(output)} is neither a list nor an object of numbers by class") from error


def _one_kind(weighted: Sequence[tuple[float, Output]]) -> None:
    if len({isinstance(output.value, dict) for _, output in weighted}) > 1:
        raise ValueError("lists of numbers and objects of numbers do not combine")
