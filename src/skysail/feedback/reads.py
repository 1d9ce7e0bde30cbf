"""How long one turn of the event loop may be kept waiting by reads of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from skysail.clock import Clock

__all__ = ["Reads"]

_SECONDS = 0.002
_WAITING = 10_000

_T = TypeVar("_T")


class Reads:
    """Shares out a budget of seconds in each turn of the loop among those who read the store there and then.

    A read by primary key takes some 10 µs where the operating system has the page, and up to milliseconds where a disk
    must be asked: so time is counted, not reads. The first read of a turn is always allowed, and may take longer than
    the budget. What is put off is done in the turns after, first come, first served, out of their budgets; of more
    than `waiting`, the rest is forgotten. One object serves all applications of a frontend.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, *, seconds: float = _SECONDS, waiting: int = _WAITING
    ) -> None:
        self._loop = loop
        self._now = clock.monotonic
        self._seconds = seconds
        self._waiting = waiting
        self._left = seconds
        self._counting = False
        self._later: dict[object, Callable[[], object]] = {}

    @property
    def allowed(self) -> bool:
        """Whether this turn has time for one more."""
        return self._left > 0.0

    def run(self, read: Callable[[], _T]) -> _T:
        """Read now, at the cost of this turn's budget; what was read."""
        started = self._now()
        result = read()
        self._left -= self._now() - started
        self._count()
        return result

    def put_off(self, key: object, read: Callable[[], object]) -> None:
        """Read in one of the next turns; once for each key."""
        if len(self._later) < self._waiting:
            self._later.setdefault(key, read)
            self._count()

    def _count(self) -> None:
        """See to it that the next turn has a budget of its own."""
        if not self._counting:
            self._counting = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._counting = False
        self._left = self._seconds
        while self._later and self.allowed:
            self.run(self._later.pop(next(iter(self._later))))
