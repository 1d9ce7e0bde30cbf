"""How many rows a replica is given at once."""

from __future__ import annotations

from math import inf
from typing import Protocol

from skysail.batching.estimator import Estimator

__all__ = ["SIZINGS", "Aimd", "Quantile", "Sizing"]

_PATIENCE = 256
_RETRY = 4
_AIM = 0.95
"""Share of the budget that the p99 is to take: what is aimed at the budget itself is over it half of the time."""
_USUAL = 0.5
"""Share of the budget that the typical batch may always take, however long the slow ones are."""
_ROWS = 0.25
"""Share of the fixed cost that the rows may always add: fewer of them would hardly be faster."""
_SOON = 4.0
"""How many times the cap is counted on before long."""


class Sizing(Protocol):
    """Learns the largest batch that stays within a budget of seconds."""

    @property
    def cap(self) -> int:
        """Most rows to send now, at least 1."""
        ...

    @property
    def soon(self) -> float:
        """Most rows to send before long, if there is work enough: the cap, or what it is growing to."""
        ...

    def observe(self, rows: int, seconds: float, budget: float, estimator: Estimator) -> None:
        """One batch is done: its rows, how long the worker itself was at it, how long it might have taken, and the
        replica's estimate, in which it is counted already.
        """
        ...


class Aimd:
    """Additive increase, multiplicative decrease, as TCP sizes its window.

    A *full* batch under nine tenths of the budget raises the cap by 2, one over the budget lowers it by a tenth; in
    between, and for batches that were not full, it holds (light load says nothing about a larger batch). Until the
    first batch is over the budget, the cap doubles while full batches take less than a quarter of it (TCP's slow
    start): a burst on a new model must not wait for its rows one by one.

    Slow models move in fractional steps: a fifth of the cap at most, and beyond one more row not past the size that
    would reach nine tenths of the budget if all the time were per row. At 5 ms a row, +2 is 10 ms too much, which is
    how the published controller overshot. A size that was over the budget is not tried again for 256 batches.
    """

    __slots__ = ("_cap", "_most", "_patience", "_starting", "_too_much")

    def __init__(self, most: int) -> None:
        self._cap = 1.0
        self._most = float(most)
        self._starting = True
        self._too_much = 0
        self._patience = 0

    @property
    def cap(self) -> int:
        """Most rows to send now."""
        return int(self._cap)

    @property
    def soon(self) -> float:
        """The cap."""
        return self._cap

    def observe(self, rows: int, seconds: float, budget: float, estimator: Estimator) -> None:
        """Adapt to one finished batch; the estimate is not looked at."""
        self._patience -= 1
        if seconds > budget:
            self._starting = False
        if rows < int(self._cap):
            return
        if seconds > budget:
            if rows > 1:  # of one row there is nothing less to fall back to, so it was a hiccup, or will be so again
                self._too_much, self._patience = rows, _PATIENCE
            self._cap = max(1.0, self._cap * 0.9)
        elif seconds < 0.9 * budget:
            self._cap = max(self._cap, min(self._grown(seconds, budget), self._limit()))

    def _grown(self, seconds: float, budget: float) -> float:
        cap = self._cap
        step = cap if self._starting and seconds < 0.25 * budget else min(2.0, max(0.2 * cap, 0.2))
        reach = cap * 0.9 * budget / seconds if seconds > 0 else self._most
        return min(cap + step, max(reach, int(cap) + 1.0))

    def _limit(self) -> float:
        return min(self._most, self._too_much - 0.001) if self._patience > 0 else self._most


class Quantile(Aimd):
    """Reads the size from the estimate: the largest batch whose p99 is within the budget, less a twentieth.

    What no batch has shown is not believed: only a full batch raises the cap, and at most doubles it, so that all
    exploring is done by real traffic. Down it goes by a tenth at a time, and by batches that were not full too, where
    the estimate says that even their size is too much.

    Sizes are not held responsible for what smaller ones would not mend. Where slow batches are slow for reasons of
    their own (a busy machine), a size whose typical time is half of the budget is never too much; nor, where the fixed
    cost is most of the budget, one whose rows add a quarter to it. Else a model that is slow whatever it is given would
    be given less and less.

    A full batch over the budget lowers the cap by a tenth at once, before the estimate has moved, and its size is tried
    again after eight batches; each time that it proves too much again, after twice as many, up to 256. That finds the
    edge of a model that is no line; and a hiccup costs eight batches. Where the estimate says that smaller batches
    would not mend it, they are tried down to half the size, for the model may have changed, and that shows what rows
    cost; if the estimate stands by it, the cap is what it was. And where even the fixed cost is over the budget, so
    that no size is within it, the cap grows while rows are cheap, for more of them are then answered at least.

    Until the estimate knows of batches of different sizes, it is `Aimd`, but for a cap of two where one row is over the
    budget.
    """

    __slots__ = ("_fits", "_retry", "_top")

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._retry = _RETRY
        self._fits = 0.0
        self._top = 1.0

    @property
    def soon(self) -> float:
        """What fits by the estimate, which the cap is a few full batches from."""
        return max(self._cap, min(self._fits, self._limit(), _SOON * self._cap))

    def observe(self, rows: int, seconds: float, budget: float, estimator: Estimator) -> None:
        """Adapt to one finished batch."""
        if not estimator.sloped:
            super().observe(rows, seconds, budget, estimator)
            if seconds > budget and self._cap < 2.0:
                self._cap = min(2.0, self._most)  # which shows whether it is the row that takes so long
            return
        self._patience -= 1
        cap, fits, light = self._cap, _fitting(estimator, budget), _light(estimator)
        self._fits = fits
        if rows < int(cap):
            if fits < rows:
                self._cap = self._top = max(fits, 0.9 * cap)
        elif seconds > budget:
            if rows <= light:
                if estimator.fixed > budget:
                    self._cap = self._top = max(cap, min(light, 2.0 * rows, self._most))
                else:
                    self._cap = max(1.0, 0.9 * cap) if cap > 0.5 * self._top else self._top
                return
            if rows > 1:
                self._retry = min(_PATIENCE, 2 * self._retry)
                self._too_much, self._patience = rows, self._retry
            self._cap = self._top = max(1.0, 0.9 * cap)
        else:
            if rows >= self._too_much:
                self._retry, self._too_much = _RETRY, 0
            most = max(self._limit(), min(light, self._most))
            self._cap = self._top = max(min(fits, 2.0 * rows, most), 0.9 * cap, 1.0)

    def _limit(self) -> float:
        """What proved too much is tried again as such: not a larger one."""
        if not self._too_much:
            return self._most
        return min(self._most, self._too_much - 0.001 if self._patience > 0 else self._too_much)


def _fitting(estimator: Estimator, budget: float) -> float:
    """The rows of the largest batch that the estimate allows."""
    return max(1.0, estimator.within(_AIM * budget), estimator.usually_within(_USUAL * budget), _light(estimator))


def _light(estimator: Estimator) -> float:
    """The rows that add so little to the fixed cost that fewer would hardly be faster, as far as is known: where it is
    not, the next size is to show it.
    """
    return _ROWS * estimator.fixed / estimator.per_row if estimator.sure else inf


SIZINGS: dict[str, type[Aimd]] = {"quantile": Quantile, "aimd": Aimd}
"""The sizings by the names they are configured by."""
