"""Latency histograms with logarithmic buckets: cheap to record, mergeable, good for p50 and p99."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

__all__ = ["Histogram", "log_bounds", "quantile"]


def log_bounds(low: float, high: float, per_decade: int) -> tuple[float, ...]:
    """Bucket limits from `low` to at least `high`, evenly spaced in the logarithm.

    >>> [round(b, 3) for b in log_bounds(0.001, 0.1, 2)]
    [0.001, 0.003, 0.01, 0.032, 0.1]
    """
    bounds = [low]
    while bounds[-1] < high * 0.999:
        bounds.append(low * 10 ** (len(bounds) / per_decade))
    return tuple(bounds)


def quantile(bounds: Sequence[float], counts: Iterable[float], q: float) -> float | None:
    """The q-quantile of bucketed values, interpolated within its bucket; `None` when nothing was counted.

    `counts` has one entry more than `bounds`: what lies above the last limit, which is reported as that limit.
    """
    counts = list(counts)
    rank = q * sum(counts)
    if rank <= 0:
        return None
    below = 0.0
    for i, n in enumerate(counts):
        if n and below + n >= rank:
            if i >= len(bounds):
                break
            low = bounds[i - 1] if i else 0.0
            return low + (bounds[i] - low) * (rank - below) / n
        below += n
    return bounds[-1]


_BOUNDS = log_bounds(50e-6, 20.0, 12)


class Histogram:
    """Counts of durations in seconds, from 50 µs to 20 s in steps of a fifth; a value falls in the bucket whose limit
    is the least that is not below it.

    Counts only grow (Prometheus takes differences); `recent` gives quantiles of what came since the last two turns, so
    that p99 in `/status` is today's and not the average of a week.
    """

    __slots__ = ("_before", "_last", "bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = _BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._before = list(self.counts)
        self._last = list(self.counts)

    def record(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def turn(self) -> None:
        """Start a new window for `recent`, which then covers the window just ended and the new one."""
        self._before = self._last
        self._last = list(self.counts)

    def recent(self, q: float) -> float | None:
        """The q-quantile in seconds since the turn before the last; of everything while nothing came since."""
        window = self.window()
        return quantile(self.bounds, window if any(window) else self.counts, q)

    def window(self) -> list[int]:
        """The counts since the turn before the last."""
        return [now - then for now, then in zip(self.counts, self._before, strict=True)]
