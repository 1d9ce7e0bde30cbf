"""Calibrated confidence: sets of labels, or intervals, that hold the label as often as they are asked to.

How far from the answer the label was (its *reach*) is counted in a table, in bands of how sure the policy was. A set
goes as far as the table says is enough, at a *level* that is corrected by how the sets before it turned out: adaptive
conformal inference (Gibbs & Candès 2021), α ← α + γ (1 − target − miss), where the level is 1 − α. Whatever the table
says and however the world changes, the corrections bring the coverage to its target in the long run.

Table and corrections are sums, and what feedback adds to them follows from the set and the label alone: so they are
kept as a policy's state is, and feedback may come late and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skysail.errors import ConfigError
from skysail.selection.base import Loss, Outputs
from skysail.selection.params import number
from skysail.selection.reach import Kind, covered, kind_of
from skysail.types import Answer, Cover, Distribution, State

__all__ = ["Conformal", "Known", "Tally", "make_conformal"]

_BANDS = 10
_PRIOR = 10.0
"""Labels' worth of what all bands say together, in each of them."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How the sets turned out, as monitoring shows it."""

    target: float
    """The share of labels that sets are to hold."""

    level: float | None
    """The level in force; `None` until enough labels came."""

    judged: int
    """Sets that a label judged."""

    covered: int
    """Those that held it."""

    coverage: float | None
    """The share that did."""

    recent: float | None
    """That share of late: a set counts the less, the more labels came after its own."""

    bounded: int
    """Sets that left something out; of the others the label may be anything."""

    size: float | None
    """Their mean size: how many labels, or how wide the interval."""


@dataclass(frozen=True, kw_only=True)
class Conformal:
    """How an application's confidence is calibrated, and what a label adds to the two states of it.

    The *total* is never forgotten: the sum of all corrections, and how the sets turned out. The *table* is: in each
    band, how many labels there were, and how many at each reach.
    """

    kind: Kind
    """What is calibrated."""

    target: float = 0.9
    """The share of labels that sets are to hold."""

    rate: float = 0.02
    """γ: how much of a miss, or of a hit, the level is corrected by."""

    forget: float = 0.998
    """What is left of the table after one more label."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        number("confidence", "target", self.target, least=0.5, most=0.99)
        number("confidence", "rate", self.rate, least=0.0, most=1.0)
        number("confidence", "forget", self.forget, above=0.0, most=1.0)
        if (1.0 - self.forget) * 2.0 * self.needed > 1.0:
            raise ConfigError(
                f"confidence: forget = {self.forget:g} remembers {1.0 / (1.0 - self.forget):.0f} labels, and target = "
                f"{self.target:g} needs {2.0 * self.needed:.0f}; use a forget nearer to 1, or a lower target"
            )

    @property
    def needed(self) -> float:
        """Labels to be seen first: with fewer than n/(n + 1) ≥ target, the next may be farther than all of them."""
        return self.target / (1.0 - self.target) - 1e-9

    def learn(self, cover: Cover, label: Any) -> tuple[State, State] | None:
        """What a label adds to the total and to the table; `None` where it says nothing. Pure."""
        if not cover.ranked or cover.kind != self.kind.name:
            return None
        reach = self.kind.reach(cover.ranked, label)
        row = (1.0,) if reach >= self.kind.bins else (1.0, *(0.0,) * reach, 1.0)
        held = covered(cover, label)
        if held is None:
            return State(1.0), State(1.0, {_band(cover.own): row})
        bounded = 0.0 if cover.open else 1.0
        total = State(1.0, {}, (cover.steps[not held], 1.0, float(held), bounded, cover.extent))
        return total, State(1.0, {_band(cover.own): row}, (1.0, float(held)))


class Known:
    """What is known at one moment: made of the two states, and used until they change."""

    def __init__(self, conformal: Conformal, total: State, table: State) -> None:
        self._conformal = conformal
        self._total = total
        self._table = table
        self._within: dict[str, list[float]] = {}
        kind = conformal.kind
        everyone = [0.0] * (kind.bins + 1)
        for row in table.sums.values():
            for place, count in enumerate(row):
                everyone[place] += count
        everyone[0] += 1.0  # one more is to come, and may be farther than all of them
        self._everyone = _shares(everyone, kind.bins)
        self._level = conformal.target - (total.shared[0] if total.shared else 0.0)
        self._least = min([kind.least(self._band(band)) for band in table.sums], default=0.0)
        self._ready = table.count >= conformal.needed

    def cover(
        self,
        answer: Answer,
        outputs: Outputs,
        trust: Distribution,
        *,
        draw: float,
        rate: float,
        order: int = 0,
    ) -> Cover:
        """What is said to hold the label of one query. `draw` is a uniform number, `rate` the γ to correct it by.

        `order` is noted in it: the number of the query, for whoever wants to know how late its label came.
        """
        conformal, kind = self._conformal, self._conformal.kind
        try:
            own, ranked = kind.read(answer, outputs, trust)
        except ValueError:
            own, ranked = None, ()
        if not ranked or not self._ready:
            return Cover(kind.name, own, ranked, order=order)
        within = self._band(_band(own))
        missed = 1.0 - conformal.target
        # Where no set can be smaller, a lower level would be no smaller set, but take longer to rise again.
        steps = (rate * missed if self._level > self._least else 0.0, rate * (missed - 1.0))
        size, interval = kind.bound(ranked, within, self._level, draw)
        return Cover(kind.name, own, ranked, kind.right(within), self._level, steps, size, interval, order)

    def tally(self) -> Tally:
        """How the sets turned out so far."""
        _, judged, held, bounded, size = self._total.shared or (0.0,) * 5
        late, late_held = self._table.shared or (0.0, 0.0)
        return Tally(
            target=self._conformal.target,
            level=self._level if self._ready else None,
            judged=round(judged),
            covered=round(held),
            coverage=held / judged if judged else None,
            recent=late_held / late if late else None,
            bounded=round(bounded),
            size=size / bounded if bounded else None,
        )

    def _band(self, band: str) -> list[float]:
        """The share of labels within each reach in a band, with a little of what all bands say."""
        found = self._within.get(band)
        if found is None:
            row = self._table.sums.get(band, (0.0,))
            prior = _PRIOR / (row[0] + _PRIOR)
            own = _shares(row, self._conformal.kind.bins)
            found = [mine + prior * (all_ - mine) for mine, all_ in zip(own, self._everyone, strict=True)]
            self._within[band] = found
        return found


def make_conformal(loss: Loss, *, target: float, rate: float, forget: float) -> Conformal:
    """How confidence is calibrated with this loss; `ConfigError` for a loss or a setting it cannot be with."""
    return Conformal(kind=kind_of(loss), target=target, rate=rate, forget=forget)


def _shares(row: Sequence[float], bins: int) -> list[float]:
    """The share of labels within each reach, of a row of the table: it begins with their number, and may be short."""
    shares, within = [], 0.0
    for place in range(1, bins + 1):
        within += row[place] if place < len(row) else 0.0
        shares.append(within / row[0] if row[0] > 0.0 else 0.0)
    return shares


def _band(own: float | None) -> str:
    """The band of how sure the policy was, by tenths; quite sure is a band of its own, and so is no saying how sure."""
    return str(int(own * _BANDS + 1e-9)) if own is not None and 0.0 <= own <= 1.0 else ""
