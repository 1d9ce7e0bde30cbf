"""How many rows a replica is given at once."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Aimd", "Sizing"]


_PATIENCE = 256


class Sizing(Protocol):
    """Learns the largest batch that stays within a budget of seconds."""

    @property
    def cap(self) -> int:
        """Most rows to send now, at least 1."""
        ...

    def observe(self, rows: int, seconds: float, budget: float) -> None:
        """One batch is done: its rows, how long it took the worker, and how long it might have taken."""
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

    def observe(self, rows: int, seconds: float, budget: float) -> None:
        """Adapt to one finished batch."""
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
