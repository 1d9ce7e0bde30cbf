"""Losses: how wrong an output is, in [0, 1], and how several outputs are combined so as to be wrong least.

Those of classes and of numbers are here, those of outputs with a number for each class in `skysail.selection.scores`.

| name | outputs | loss | combined by |
|---|---|---|---|
| `zero_one` | any JSON | 0 if equal to the label, else 1 | weighted plurality; on a tie the earliest listed |
| `absolute` | numbers | distance over the width of `range`, at most 1 | weighted mean |
| `squared` | numbers | that, squared | weighted mean |
| `log` | class probabilities | −ln p(label) over −ln `floor`, at most 1 | weighted mean, class by class |
| `top_k` | scores, or a ranking | 0 if the label is among the `k` best, else 1 | weighted mean; reciprocal ranks |

Outputs are given as decoded JSON where they are judged, and as `Output` where they are combined, because combining
identical outputs needs no decoding.

The losses of classes take `labels`, the classes in the order of the models' probabilities: the application sets them
where its models declare them. Their `credits` say what an output is right about: 1 − loss for each label of which
that is not 0.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from skysail.errors import ConfigError
from skysail.selection.params import number
from skysail.selection.reading import Labelled, all_same, check_judgeable, finite, key, scaled
from skysail.types import Output, same_json

__all__ = ["Absolute", "Squared", "ZeroOne"]


@dataclass(frozen=True, kw_only=True)
class ZeroOne(Labelled):
    """Right or wrong, by equality as JSON values. For classes, and whatever else is right or wrong."""

    name: ClassVar[str] = "zero_one"

    def loss(self, output: Any, label: Any) -> float:
        """0 where the two are equal as JSON, else 1."""
        return 0.0 if same_json(output, label) else 1.0

    def agree(self, a: Any, b: Any) -> bool:
        """Whether the two are equal as JSON."""
        return same_json(a, b)

    def credits(self, output: Any) -> dict[Hashable, float]:
        """1 for the label that the output is."""
        return {key(output): 1.0}

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The output with the most weight behind it; on a tie the one that is listed earliest.

        >>> ZeroOne().combine([(0.3, Output(b"1")), (0.4, Output(b"2")), (0.3, Output(b"1.0"))])
        Output(b'1')
        """
        if all_same(weighted):
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
        check_judgeable(self.name, "numbers", label, finite)

    def loss(self, output: Any, label: Any) -> float:
        """The distance as a share of the range's width, at most 1."""
        return min(1.0, abs(finite(output) - finite(label)) / (self.range[1] - self.range[0]))

    def right(self, output: Any, label: Any) -> bool:
        """Whether the distance is within the tolerance: what counts as right, in the accuracy that is reported."""
        return self.agree(output, label)

    def share(self, output: Any) -> float:
        """Where a number lies in the range: 0 at its least, 1 at its greatest."""
        return (finite(output) - self.range[0]) / (self.range[1] - self.range[0])

    def agree(self, a: Any, b: Any) -> bool:
        """Whether two numbers are no further apart than the tolerance."""
        tolerance = 0.1 * (self.range[1] - self.range[0]) if self.tolerance is None else self.tolerance
        return abs(finite(a) - finite(b)) <= tolerance

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """The weighted mean.

        >>> Absolute().combine([(0.75, Output(b"1")), (0.25, Output(b"3"))])
        Output(b'1.5')
        """
        if all_same(weighted):
            finite(weighted[0][1].value)
            return weighted[0][1]
        shares = scaled(weighted)
        mean = sum([share * finite(output.value) for share, (_, output) in zip(shares, weighted, strict=True)])
        return Output(msgspec.json.encode(mean))


@dataclass(frozen=True, kw_only=True)
class Squared(Absolute):
    """The squared distance: for regression where one large miss is worse than many small ones."""

    name: ClassVar[str] = "squared"

    def loss(self, output: Any, label: Any) -> float:
        """The distance as a share of the range's width, squared, at most 1."""
        return super().loss(output, label) ** 2
