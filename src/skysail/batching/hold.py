"""Whether what waits for an idle replica is held back for company: what is yet to come, and what waiting for it is
worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skysail.batching.estimator import Estimator

__all__ = ["Hold", "Later"]

Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""Calls a function after so many seconds: `loop.call_later`."""


class Hold:
    """Delayed batching, learned or forced.

    **Learned** (`seconds` is `None`): clients that ask again once they are answered come back together, just after
    their batch. A replica that takes the first of them at once runs a small batch while the rest gathers, and goes on
    to run two where one would do. So it is learned how many rows an answer brings back, and how fast; and a replica
    that has just answered waits for them, as long as the next one is worth it. One more row among k costs these
    the seconds until it comes; with them it is spared a fixed cost β, less the α·k that their rows take. So it is
    waited for while k · pace < β - α·k: the sum of all their latencies is least then. Where a batch has no fixed cost,
    or rows do not come back regularly, nothing is held: twice their mean deviation is taken off those expected.

    **Forced**: whatever the estimate says, a row waits for others up to so many `seconds`. For loads that are known
    better than they can be learned; and for experiments.

    Pure but for `later`, by which the batcher sets its one timer.
    """

    __slots__ = ("_came", "_deviation", "_ends", "_last", "_pace", "_rows", "_share", "_since", "later", "seconds")

    def __init__(self, later: Later, seconds: float | None = None) -> None:
        self.later = later
        self.seconds = seconds
        self._since = self._ends = self._last = 0.0
        self._rows = self._came = 0
        self._share = self._pace = 0.0
        self._deviation = 0.0

    def came(self, arrived: float) -> None:
        """A row has been asked for."""
        if arrived < self._ends:
            self._came += 1
            self._last = arrived

    def answered(self, rows: int, now: float, estimator: Estimator) -> None:
        """A replica has answered so many rows, and is idle now; `estimator` is its own."""
        if self.seconds is not None:
            return
        if self._rows:
            share = self._came / self._rows
            self._deviation += 0.25 * (abs(share - self._share) - self._deviation)
            self._share += 0.25 * (share - self._share)
            if self._came:
                self._pace += 0.125 * ((self._last - self._since) / self._came - self._pace)
        self._rows, self._came = rows, 0
        self._since = now
        self._ends = now + estimator.fixed  # all that a shared batch can save

    def until(self, waiting: int, oldest: float, estimator: Estimator, now: float) -> float:
        """The time until which so many rows, of which one arrived at `oldest`, are held back; not after `now` if not at
        all.
        """
        if self.seconds is not None:
            return oldest + self.seconds
        if now >= self._ends or self._expected() < 0.5:
            return now
        worth = estimator.fixed - estimator.per_row * waiting
        return self._ends if waiting * self._pace < worth else now

    def _expected(self) -> float:
        """The rows that are still to come back."""
        return (self._share - 2.0 * self._deviation) * self._rows - self._came
