"""How far one must go from an answer to hold the label: down a ranking of labels, or away from a number.

A *reach* is a bin: the label's place in the ranking, or how far off it is. What is counted and decided by it is in
`skysail.selection.conformal`; here is what it means for each kind of output.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, ClassVar, Protocol

import msgspec

from skysail.errors import ConfigError
from skysail.selection.base import Loss, Outputs
from skysail.selection.losses import Absolute, ZeroOne
from skysail.selection.reading import finite
from skysail.selection.scores import Log, TopK
from skysail.types import Answer, Cover, Distribution, Output, same_json

__all__ = ["Bound", "Classes", "Kind", "Labels", "Numbers", "covered", "kind_of"]

Bound = tuple[int | None, tuple[float, float] | None]
"""How many labels of a ranking, and which interval: one of the two, or neither where nothing can be left out."""

_PLACES = 16
"""Labels that a set may have at most; one that would need more leaves nothing out."""

_EDGES: tuple[float, ...] = tuple([2.0 ** (step / 2) for step in range(-20, 1)])
"""Distances as shares of the range's width: from a thousandth to the whole, two to each octave."""

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Kind(Protocol):
    """What reach is, for one kind of output. Throughout, `within` is the share of labels within each reach."""

    @property
    def name(self) -> str:
        """As `Cover.kind` has it."""
        ...

    @property
    def bins(self) -> int:
        """How many reaches are told apart; what is farther is one more."""
        ...

    def read(self, answer: Answer, outputs: Outputs, trust: Distribution) -> tuple[float | None, tuple[bytes, ...]]:
        """How sure an answer is of itself, and the labels in the order of their rank (of numbers, the answer alone).

        `ValueError` for an answer of another kind.
        """
        ...

    def reach(self, ranked: Sequence[bytes], label: Any) -> int:
        """How far the label is; `bins` where it is farther than is told apart."""
        ...

    def right(self, within: Sequence[float]) -> float:
        """The share of labels so near that the answer alone is right."""
        ...

    def least(self, within: Sequence[float]) -> float:
        """The level at which, and below which, nothing smaller can be said."""
        ...

    def bound(self, ranked: Sequence[bytes], within: Sequence[float], level: float, draw: float) -> Bound:
        """What holds a share `level` of the labels; `draw` is a uniform number."""
        ...


@dataclass(frozen=True)
class Labels:
    """Answers that are right or wrong: the candidates are what the models said, by the weight behind each."""

    name: ClassVar[str] = "labels"
    bins: ClassVar[int] = _PLACES

    def read(self, answer: Answer, outputs: Outputs, trust: Distribution) -> tuple[float | None, tuple[bytes, ...]]:
        """The answer, then what others said."""
        weight = dict(zip(trust.models, trust.weights, strict=True))
        others: list[tuple[Output, float]] = []
        for model, output in outputs.items():
            if output is None or output == answer.output:
                continue
            for place, (other, total) in enumerate(others):
                if other == output:
                    others[place] = (other, total + weight.get(model, 0.0))
                    break
            else:
                others.append((output, weight.get(model, 0.0)))
        others.sort(key=lambda other: -other[1])
        return answer.confidence, (answer.output.raw, *[output.raw for output, _ in others[: _PLACES - 1]])

    def reach(self, ranked: Sequence[bytes], label: Any) -> int:
        """The label's place."""
        for place, raw in enumerate(ranked):
            if same_json(_decode(raw), label):
                return place
        return _PLACES

    def right(self, within: Sequence[float]) -> float:
        """The share that the answer is."""
        return within[0]

    def least(self, within: Sequence[float]) -> float:
        """That of the answer, which is always in its set."""
        return within[0]

    def bound(self, ranked: Sequence[bytes], within: Sequence[float], level: float, draw: float) -> Bound:
        """The fewest labels that are enough, or one fewer, or all there may be.

        The fewest are nearly always more than enough, so the last of them is left out by chance, as often as the level
        allows. The answer never is.
        """
        known = min(len(ranked), len(within))
        size = bisect_left(within, level, 0, known) + 1
        if size == 1:
            return 1, None
        least, most = within[size - 2], within[size - 1] if size <= known else 1.0
        if level < most and draw * (most - least) >= level - least:
            return size - 1, None
        return (size if size <= known else None), None


@dataclass(frozen=True)
class Classes(Labels):
    """Probabilities or scores of classes, or rankings: the candidates are the classes, the best first."""

    labels: Sequence[Any] | None = None
    """The classes in the order of a list, where they are declared; else a class is its place."""

    k: int = 1
    """Among how many of the best the label must be for the answer to be right."""

    chances: bool = True
    """Whether they are probabilities: then the greatest says how sure the answer is."""

    name: ClassVar[str] = "classes"

    def read(self, answer: Answer, outputs: Outputs, trust: Distribution) -> tuple[float | None, tuple[bytes, ...]]:
        """The best classes."""
        value = answer.output.value
        if isinstance(value, list) and value and all(isinstance(label, str) for label in value):
            return answer.confidence, tuple([_encode(label) for label in value[:_PLACES]])
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        best = nlargest(_PLACES, [(label, finite(share)) for label, share in items], key=lambda item: item[1])
        if not best:
            raise ValueError("there are no classes in it")
        own = min(1.0, max(0.0, best[0][1])) if self.chances else answer.confidence
        if self.labels is None or isinstance(value, dict):
            return own, tuple([_encode(label) for label, _ in best])
        return own, tuple([_encode(self.labels[place]) for place, _ in best if place < len(self.labels)])

    def reach(self, ranked: Sequence[bytes], label: Any) -> int:
        """The label's place. A class that is the key of an object is the label's text."""
        for place, raw in enumerate(ranked):
            value = _decode(raw)
            if same_json(value, _encode(label).decode() if isinstance(value, str) != isinstance(label, str) else label):
                return place
        return _PLACES

    def right(self, within: Sequence[float]) -> float:
        """The share among the `k` best."""
        return within[min(self.k, _PLACES) - 1]


@dataclass(frozen=True)
class Numbers:
    """Numbers: how far is the distance, as a share of the range's width."""

    width: float
    """That of the range."""

    tolerance: float
    """How far from the label an answer may be and still be right."""

    name: ClassVar[str] = "numbers"
    bins: ClassVar[int] = len(_EDGES)

    def read(self, answer: Answer, outputs: Outputs, trust: Distribution) -> tuple[float | None, tuple[bytes, ...]]:
        """The answer alone."""
        finite(answer.output.value)
        return answer.confidence, (answer.output.raw,)

    def reach(self, ranked: Sequence[bytes], label: Any) -> int:
        """The bin of the distance."""
        return bisect_left(_EDGES, abs(finite(_decode(ranked[0])) - finite(label)) / self.width)

    def right(self, within: Sequence[float]) -> float:
        """The share within the tolerance, which is taken to lie evenly within its bin."""
        share = self.tolerance / self.width
        place = bisect_left(_EDGES, share)
        if place >= len(_EDGES):
            return within[-1]
        low, below = (_EDGES[place - 1], within[place - 1]) if place else (0.0, 0.0)
        return below + (within[place] - below) * (share - low) / (_EDGES[place] - low)

    def least(self, within: Sequence[float]) -> float:
        """None at all, for which a point is enough."""
        return 0.0

    def bound(self, ranked: Sequence[bytes], within: Sequence[float], level: float, draw: float) -> Bound:
        """The interval around the answer; none where as many labels are farther away than the range is wide."""
        place = bisect_left(within, level)
        if place >= len(within):
            return None, None
        low, below = (_EDGES[place - 1], within[place - 1]) if place else (0.0, 0.0)
        share = low + (_EDGES[place] - low) * (level - below) / (within[place] - below) if level > 0.0 else 0.0
        value, radius = finite(_decode(ranked[0])), share * self.width
        return None, (value - radius, value + radius)


def covered(cover: Cover, label: Any) -> bool | None:
    """Whether a label is in the set or the interval; `None` where nothing was said."""
    if cover.level is None:
        return None
    if cover.open:
        return True
    if cover.interval is not None:
        try:
            return cover.interval[0] <= finite(label) <= cover.interval[1]
        except ValueError:  # a label of before or after the application's loss was changed
            return False
    kind = Classes() if cover.kind == Classes.name else Labels()
    return kind.reach(cover.ranked[: cover.size], label) < _PLACES


def kind_of(loss: Loss) -> Kind:
    """The kind of outputs that a loss judges; `ConfigError` where it is none of these."""
    if isinstance(loss, Absolute):
        width = loss.range[1] - loss.range[0]
        return Numbers(width, 0.1 * width if loss.tolerance is None else loss.tolerance)
    if isinstance(loss, Log):
        return Classes(loss.labels)
    if isinstance(loss, TopK):
        return Classes(loss.labels, int(loss.k), chances=False)
    if isinstance(loss, ZeroOne):
        return Labels()
    raise ConfigError(
        f"confidence: what the loss '{loss.name}' judges cannot be calibrated; use zero_one, log, top_k, absolute or "
        "squared, derive your own loss from the class of one of these, or remove the key"
    )
