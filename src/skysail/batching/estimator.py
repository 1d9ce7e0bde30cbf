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
_NOW = 12
_NOW_SECONDS = 0.25
"""What is expected now is by so many batches, or by more of those 64 where they are no older than this: enough to pass
over a hiccup, and few enough for a machine that has just become busy.
"""
_REFIT_EVERY = 16
_REFIT_SECONDS = 0.05
_LEAST = 4
_LAGS = (1, 2, 4, 8)
"""How many batches apart those are whose sizes and durations are compared."""
_SPREAD = 0.1
"""How far apart sizes must be, as a share of the larger, to say what a row costs."""
_ENOUGH = 8
"""Pairs of them that are needed to correct what is known of it."""
_SIGMAS = 1.5
"""Standard deviations in a median deviation."""
_SURE = 25.0
"""How many times the variances of both a change must be, squared, not to be taken for noise."""
_AGEING = 1.2
"""What the variance of an old slope grows by with each new one."""


class Estimator:
    """A line latency ≈ α·n + β over the last batches, with the band in which 99 % of them lie.

    Pure: times come in as arguments. A sample is forgotten after 256 newer ones or after `max_age` seconds, and the
    slowest alone is never believed, so one hiccup neither ends growth for ever nor refuses everything for ever. The
    line is one of medians through the last 64 batches, so that a few slow ones move the band and not the line, and a
    model that has changed is followed within some dozens of batches. What is expected of a batch *now* is by the last
    few alone: whoever says when something will be done must hear of a machine that has become busy within ten batches
    or a fifth of a second, and whoever learns how large a batch may be must not take that for the model's.

    The slope is taken between batches that are near in time, so that what changes with time is not taken for an
    effect of size; and of the worker's own time, for a frontend that is late to hear of a batch is late to send the
    next, in which then there are more rows. It is known the better the further apart in size batches have been, so that
    a few small ones hardly move it. Under a steady load all batches are about alike, and say nothing about it;
    then it stays what it was when they differed last, and the level takes up what changes. Until they have differed
    once, all the time is taken to be per row.
    """

    __slots__ = (
        "_band", "_error", "_floor", "_fresh", "_level", "_level_at", "_max_age", "_refit_at", "_samples", "_slow",
        "fixed", "per_row", "sloped",
    )  # fmt: skip

    def __init__(self, max_age: float = 10.0) -> None:
        self.per_row = 0.0
        """α: the seconds that one more row adds."""
        self.fixed = 0.0
        """β: the seconds that a batch costs whatever its size."""
        self.sloped = False
        """Whether batches of different sizes have shown how much of their time is per row."""
        self._samples: deque[tuple[float, int, float, float]] = deque(maxlen=_WINDOW)
        self._max_age = max_age
        self._band = self._slow = self._floor = self._level = 0.0
        self._error = 0.0
        self._fresh = 0
        self._refit_at = self._level_at = 0.0

    def add(self, rows: int, seconds: float, now: float, busy: float | None = None) -> None:
        """One batch: how many rows, how long until it was heard of, and how long the worker itself was at it, which is
        all of that if it is not known.
        """
        self._samples.append((now, rows, seconds, seconds if busy is None else busy))
        self._fresh += 1
        self._floor = min(self._floor, seconds - self.per_row * rows)
        # Fitting takes a hundred microseconds or two: of a fast model each sixteenth batch would be too often.
        if len(self._samples) <= _REFIT_EVERY or (self._fresh >= _REFIT_EVERY and now >= self._refit_at):
            self._fit(now)
            self._fit_level(now)
        elif now >= self._level_at:
            self._fit_level(now)

    def known(self, now: float) -> bool:
        """Whether there is anything recent to go by; without it nothing may be refused."""
        samples = self._samples
        if samples and now - samples[-1][0] > self._max_age:
            samples.clear()
        return len(samples) >= _LEAST

    @property
    def sure(self) -> bool:
        """Whether what a row costs is known to be more than nothing, by two standard errors."""
        return self.sloped and self.per_row * self.per_row > 4.0 * self._error

    def expected(self, rows: float) -> float:
        """The seconds that a batch of so many rows takes as things are now; 0 while nothing is known."""
        return self.per_row * rows + self._level

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
        return self.per_row * rows + max(self._level, self.fixed + self._slow)

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

    def _fit_level(self, now: float) -> None:
        """By the newest batches, what one takes now beyond its rows: their median."""
        self._level_at = now + _REFIT_SECONDS
        newest: list[float] = []
        for at, rows, seconds, _ in reversed(self._samples):
            if len(newest) == _LATELY or (len(newest) >= _NOW and now - at > _NOW_SECONDS):
                break
            newest.append(seconds - self.per_row * rows)
        newest.sort()
        self._level = max(0.0, newest[len(newest) // 2])

    def _fit_slope(self, lately: list[tuple[float, int, float, float]]) -> None:
        """Correct the slope by those between the newest batches and others near in time, as a Kalman filter does: by
        their median, weighted by how far apart in size the batches are, as far as its error is the smaller one. Where
        the two are further apart than both their errors, the model has changed, and what was found before is forgotten.
        """
        slopes: list[tuple[float, int]] = []
        for lag in _LAGS:
            for place in range(max(lag, len(lately) - _REFIT_EVERY), len(lately)):
                _, rows, _, busy = lately[place]
                _, other_rows, _, other_busy = lately[place - lag]
                apart = rows - other_rows
                if abs(apart) > _SPREAD * max(rows, other_rows):
                    slopes.append(((busy - other_busy) / apart, abs(apart)))
        # What little was seen at first is better than nothing; later it must not overrule what was seen before.
        if slopes and (not self.sloped or len(slopes) >= _ENOUGH):
            slope = _median(slopes)
            spread = _SIGMAS * _median([(abs(found - slope), apart) for found, apart in slopes])
            error = spread * spread * len(_LAGS) / len(slopes)  # each batch is in about as many of the pairs
            if len(slopes) < _ENOUGH:
                error = max(error, slope * slope)
            self._error *= _AGEING
            off = slope - self.per_row
            if not self.sloped or off * off > _SURE * (self._error + error):
                self.per_row, self._error = slope, error
            elif self._error > 0.0:
                share = self._error / (self._error + error)
                self.per_row += share * off
                self._error = share * error
            self.per_row = max(0.0, self.per_row)  # below 0 is noise: no batch gets faster by growing
            self.sloped = True
        middle = len(lately) // 2
        steepest = sorted([s[2] for s in lately])[middle] / sorted([s[1] for s in lately])[middle]
        self.per_row = min(self.per_row, steepest) if self.sloped else steepest


def _median(weighted: list[tuple[float, int]]) -> float:
    """The median of values by their weights."""
    weighted.sort()
    half = sum([weight for _, weight in weighted]) / 2
    for value, weight in weighted:
        half -= weight
        if half <= 0:
            return value
    return weighted[-1][0]
