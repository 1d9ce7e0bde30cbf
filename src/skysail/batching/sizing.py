"""How many rows a replica is given at once."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Aimd", "Sizing"]


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
    between, and for batches that were not full, it holds (light load says nothing about a larger batch). Slow models
    move in fractional steps, a fifth of the cap at most and never past the size that would reach nine tenths of the
    budget if the time were all per row: at 5 ms a row, +2 is 10 ms too much, which is how the published controller
    overshot.
    """

    __slots__ = ("_cap", "_most")

    def __init__(self, most: int) -> None:
        self._cap = 1.0
        self._most = float(most)

    @property
    def cap(self) -> int:
        """Most rows to send now."""
        return int(self._cap)

    def observe(self, rows: int, seconds: float, budget: float) -> None:
        """Adapt to one finished batch."""
        if seconds > budget:
            self._cap = max(1.0, min(self._cap, rows) * 0.9)
        elif rows >= int(self._cap) and seconds < 0.9 * budget:
            reach = rows * 0.9 * budget / seconds if seconds > 0 else self._most
            self._cap = min(self._most, self._cap + min(2.0, 0.2 * self._cap), max(self._cap, reach))
