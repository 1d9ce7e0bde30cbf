"""The search for the highest rate that is kept: which rate to try next, from those that were and were not."""

from __future__ import annotations

from math import inf, sqrt

__all__ = ["Search"]


class Search:
    """Looks for the highest rate that is kept, beginning at `first`; pure: rates out, verdicts in.

    Up by half as long as rates are kept, down by two fifths as long as none is, then between the two, in the middle of
    their logarithms, until they are `within` of each other. It assumes that what is missed at one rate is missed at any
    higher one, and gives up after `trials`, or where nothing is kept at one query a second.

    >>> search = Search(1000)
    >>> while (rate := search.rate) is not None:
    ...     search.told(rate, kept=rate <= 700)
    >>> 660 < search.kept <= 700
    True
    """

    def __init__(self, first: float, *, within: float = 0.05, trials: int = 12) -> None:
        self.kept = 0.0
        """The highest rate that was kept."""
        self.missed = inf
        """The lowest that was not."""
        self._first = max(1.0, first)
        self._within = within
        self._left = trials

    @property
    def rate(self) -> float | None:
        """The rate to try next, in queries a second; `None` when there is none."""
        if not self._left or self.missed <= 1.0 or self.missed <= self.kept * (1 + self._within):
            return None
        if self.missed == inf:
            return 1.5 * self.kept or self._first
        return sqrt(self.kept * self.missed) if self.kept else max(1.0, 0.6 * self.missed)

    def told(self, rate: float, *, kept: bool) -> None:
        """A rate was tried."""
        self._left -= 1
        if kept:
            self.kept = max(self.kept, rate)
        else:
            self.missed = min(self.missed, rate)
