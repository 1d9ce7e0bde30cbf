"""How long to wait before a child that died is started again."""

from __future__ import annotations

__all__ = ["Backoff"]


class Backoff:
    """Pauses that double from `first` to `limit` seconds; a child that ran for `good` seconds starts over.

    >>> backoff = Backoff()
    >>> [backoff.pause(ran=1.0) for _ in range(8)]
    [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    >>> backoff.pause(ran=10.0)
    0.1
    """

    def __init__(self, first: float = 0.1, limit: float = 5.0, good: float = 10.0) -> None:
        self.first = first
        self.limit = limit
        self.good = good
        self._next = first

    def pause(self, ran: float) -> float:
        """Seconds to wait, the child having run for `ran` seconds."""
        pause = self.first if ran >= self.good else self._next
        self._next = min(pause * 2, self.limit)
        return pause
