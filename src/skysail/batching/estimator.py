"""How long a batch takes: the one estimator that sizing, holding, admission, early drop and depth all read.

Several controllers, each on a signal of its own, would oscillate; several readers of one estimate do not.
"""

from __future__ import annotations

from collections import deque
from math import inf

__all__ = ["Estimator"]

_WINDOW = 256
_LATELY = 64
"""Batches that the line is fitted to; the tail above it needs all of the window."""
_REFIT_EVERY = 16
_REFIT_SECONDS = 0.05
_LEAST = 4
_LAGS = (1, 2, 4, 8)
"""How many batches apart those are whose sizes and durations are compared."""
_SPREAD = 0.1
"""How far apart sizes must be, as a share of the larger, to say what a row costs."""
_ENOUGH = 4
"""How far apart they must be in sum, as a multiple of the largest, to correct what is known of it."""


class Estimator:
    """A line latency ≈ α·n + β over the last batches, with the band in which 99 % of them lie.

    Pure: times come in as arguments. A sample is forgotten after 256 newer ones or after `max_age` seconds, and the
    slowest alone is never believed, so one hiccup neither ends growth for ever nor refuses everything for ever. The
    line is one of medians through the last 64 batches, so that a few slow ones move the band and not the line, and a
    model that has changed is followed within some dozens of batches.

    The slope is taken between batches that are near in time, so that what changes with time is not taken for an
    effect of size. Under a steady load all batches are about alike, and say nothing about it; then it stays what it was
    when they differed last, and the level takes up what changes. Until they have differed once, all the time is taken
    to be per row.
    """

    __slots__ = (
        "_band", "_floor", "_fresh", "_max_age", "_refit_at", "_samples", "_slow", "fixed", "per_row", "sloped",
    )  # fmt: skip

    def __init__(self, max_age: float = 10.0) -> None:
        self.per_row = 0.0
        """α: the seconds that one more row adds."""
        self.fixed = 0.0
        """β: the seconds that a batch costs whatever its size."""
        self.sloped = False
        """Whether batches of different sizes have shown how much of their time is per row."""
        self._samples: deque[tuple[float, int, float]] = deque(maxlen=_WINDOW)
        self._max_age = max_age
        self._band = self._slow = self._floor = 0.0
        self._fresh = 0
        self._refit_at = 0.0

    def add(self, rows: int, seconds: float, now: float) -> None:
        """One batch: how many rows, how long it took the worker."""
        self._samples.append((now, rows, seconds))
        self._fresh += 1
        self._floor = min(self._floor, seconds - self.per_row * rows)
        # Fitting takes a hundred microseconds or two: for a fast model every sixteenth batch would be too often.
        if len(self._samples) <= _REFIT_EVERY or (self._fresh >= _REFIT_EVERY and now >= self._refit_at):
            self._fit(now)

    def known(self, now: float) -> bool:
        """Whether there is anything recent to go by; without it nothing may be refused."""
        samples = self._samples
        if samples and now - samples[-1][0] > self._max_age:
            samples.clear()
        return len(samples) >= _LEAST

    def expected(self, rows: float) -> float:
        """The typical seconds of a batch of so many rows; 0 while nothing is known."""
        return self.per_row * rows + self.fixed

    def best(self, rows: float) -> float:
        """The seconds of a batch of so many rows when all goes well, as well as the best of late."""
        return max(0.0, self.per_row * rows + self._floor)

    def p99(self, rows: float) -> float:
        """The seconds that 99 of 100 batches of so many rows stay under."""
        return self.per_row * rows + self.fixed + self._band

    def p90(self, rows: float) -> float:
        """The seconds that 9 of 10 batches of so many rows stay under: what one may count on, where a few that stall
        must not count.
        """
        return self.per_row * rows + self.fixed + self._slow

    def within(self, seconds: float) -> float:
        """The rows of the largest batch whose p99 is no longer than this; below 1 where there is none, `inf` where
        rows cost nothing.
        """
        return self._rows(seconds - self.fixed - self._band)

    def usually_within(self, seconds: float) -> float:
        """The same of its typical time."""
        return self._rows(seconds - self.fixed)

    def _rows(self, seconds: float) -> float:
        if seconds <= 0.0:
            return 0.0
        return seconds / self.per_row if self.per_row > 0.0 else inf

    def _fit(self, now: float) -> None:
        self._fresh = 0
        self._refit_at = now + _REFIT_SECONDS
        samples = self._samples
        while samples and now - samples[0][0] > self._max_age:
            samples.popleft()
        n = len(samples)
        lately = list(samples)[-_LATELY:]
        self._fit_slope(lately)
        left = sorted([s[2] - self.per_row * s[1] for s in lately])
        self.fixed = max(0.0, left[len(left) // 2])
        left = sorted([s[2] - self.per_row * s[1] for s in samples])
        self._floor = left[0]
        self._slow = max(0.0, left[max(0, min(n - 2, 90 * n // 100))] - self.fixed)
        self._band = max(0.0, left[max(0, min(n - 2, 99 * n // 100))] - self.fixed)

    def _fit_slope(self, lately: list[tuple[float, int, float]]) -> None:
        """The weighted median of the slopes between batches near in time, by how far apart in size they are."""
        slopes: list[tuple[float, int]] = []
        total = 0
        for lag in _LAGS:
            for place in range(lag, len(lately)):
                _, rows, seconds = lately[place]
                _, other_rows, other_seconds = lately[place - lag]
                apart = rows - other_rows
                if abs(apart) > _SPREAD * max(rows, other_rows):
                    slopes.append(((seconds - other_seconds) / apart, abs(apart)))
                    total += abs(apart)
        sizes = sorted([s[1] for s in lately])
        # What little was seen at first is better than nothing; later it must not overrule what was seen before.
        if total > 0 and (not self.sloped or total >= _ENOUGH * sizes[-1]):
            self.sloped = True
            slopes.sort()
            passed = 0
            for slope, apart in slopes:
                passed += apart
                if 2 * passed >= total:
                    self.per_row = max(0.0, slope)  # below 0 is noise: no batch gets faster by growing
                    break
        middle = len(lately) // 2
        steepest = sorted([s[2] for s in lately])[middle] / sizes[middle]
        self.per_row = min(self.per_row, steepest) if self.sloped else steepest
