"""How long a batch takes: the one estimator that sizing, admission, early drop and depth all read.

Four controllers on one signal of their own each would oscillate; four readers of one estimate do not.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Estimator"]

_WINDOW = 256
_REFIT_EVERY = 16
_QUANTILE = 0.99


class Estimator:
    """A line latency ≈ α·n + β over the last batches, with the band in which 99 % of them lie.

    Pure: times come in as arguments. A sample is forgotten after 256 newer ones or after `max_age` seconds, so one
    hiccup neither ends growth for ever nor refuses everything for ever. The line is Tukey's resistant line (the slope
    between the medians of the outer thirds, the level by the median of what is left), so that a few slow batches move
    the band and not the line.
    """

    __slots__ = ("_alpha", "_band", "_beta", "_floor", "_fresh", "_max_age", "_samples")

    def __init__(self, max_age: float = 10.0) -> None:
        self._samples: deque[tuple[float, int, float]] = deque(maxlen=_WINDOW)
        self._max_age = max_age
        self._alpha = self._beta = self._band = self._floor = 0.0
        self._fresh = 0

    def add(self, rows: int, seconds: float, now: float) -> None:
        """One batch: how many rows, how long it took the worker."""
        self._samples.append((now, rows, seconds))
        self._fresh += 1
        self._floor = min(self._floor, seconds - self._alpha * rows)
        if self._fresh >= _REFIT_EVERY or len(self._samples) <= _REFIT_EVERY:
            self._fit(now)

    def known(self, now: float) -> bool:
        """Whether there is anything recent to go by; without it nothing may be refused."""
        samples = self._samples
        if samples and now - samples[-1][0] > self._max_age:
            samples.clear()
        return len(samples) >= 4

    def expected(self, rows: float) -> float:
        """The typical seconds of a batch of so many rows; 0 while nothing is known."""
        return self._alpha * rows + self._beta

    def best(self, rows: float) -> float:
        """The seconds of a batch of so many rows when all goes well, as well as the best of late."""
        return max(0.0, self._alpha * rows + self._floor)

    def p99(self, rows: float) -> float:
        """The seconds that 99 of 100 batches of so many rows stay under."""
        return self._alpha * rows + self._beta + self._band

    def _fit(self, now: float) -> None:
        self._fresh = 0
        samples = self._samples
        while samples and now - samples[0][0] > self._max_age:
            samples.popleft()
        n = len(samples)
        by_rows = sorted((s[1], s[2]) for s in samples)
        third = max(1, n // 3)
        (low_x, low_y), (high_x, high_y) = _median(by_rows[:third]), _median(by_rows[-third:])
        slope = (high_y - low_y) / (high_x - low_x) if high_x > low_x else high_y / high_x
        # A negative slope or level is noise: no batch gets faster by growing, none takes less than no time.
        self._alpha = min(max(slope, 0.0), high_y / high_x)
        left = sorted(y - self._alpha * x for x, y in by_rows)
        self._beta = max(0.0, left[n // 2])
        self._floor = left[0]
        self._band = max(0.0, left[min(n - 1, int(_QUANTILE * n))] - self._beta)


def _median(points: list[tuple[int, float]]) -> tuple[float, float]:
    middle = len(points) // 2
    return float(sorted(x for x, _ in points)[middle]), sorted(y for _, y in points)[middle]
