"""A quantile of what was measured lately: exact, over a short window."""

from __future__ import annotations

from collections import deque
from math import ceil, inf

__all__ = ["RecentQuantile"]

_LEAST = 32
"""Values before which nothing is said: fewer know nothing of a tail."""

_EVERY = 16
"""New values after which the quantile is taken anew: sorting the window costs some ten microseconds."""


class RecentQuantile:
    """The q-quantile of the last 256 values.

    For one number that is read far more often than it may lag; a `Histogram` has all quantiles, of longer windows, for
    more work at each reading.

    >>> q = RecentQuantile(0.95)
    >>> for value in range(100):
    ...     q.add(float(value))
    >>> q.value
    91.0
    """

    __slots__ = ("_fresh", "_q", "_values", "value")

    def __init__(self, q: float, window: int = 256) -> None:
        self._q = q
        self._values: deque[float] = deque(maxlen=window)
        self._fresh = 0
        self.value = inf
        """The quantile, up to fifteen values ago; `inf` while there were not enough."""

    def add(self, value: float) -> None:
        """Take one value in."""
        self._values.append(value)
        self._fresh += 1
        if self._fresh >= _EVERY and len(self._values) >= _LEAST:
            self._fresh = 0
            ordered = sorted(self._values)
            self.value = ordered[ceil(self._q * len(ordered)) - 1]
