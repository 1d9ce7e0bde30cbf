"""One timer for all the queries of an application."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from mypy_extensions import mypyc_attr

from skysail.clock import Clock

__all__ = ["Deadlines", "Expiring"]

_EARLY = 0.001
"""uvloop's timers have steps of a whole millisecond: fire this much before, so as never to be late by one."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Expiring:
    """What has a deadline, and may be over before it."""

    __slots__ = ("deadline", "over")

    deadline: float
    over: bool

    def expire(self, now: float) -> None:
        """The deadline has come."""
        raise NotImplementedError


class Deadlines:
    """Calls `expire` on what is not over when its deadline comes; armed only while something waits.

    Queries under the application's own objective arrive in the order of their deadlines, so they stand in a line; only
    those that bring a shorter limit of their own need a heap.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._now: Callable[[], float] = clock.monotonic
        self._line: deque[Expiring] = deque()
        self._heap: list[tuple[float, int, Expiring]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0

    def add(self, item: Expiring) -> None:
        """Watch an item until it is over."""
        line = self._line
        while line and line[0].over:
            line.popleft()
        if not line or item.deadline >= line[-1].deadline:
            line.append(item)
        else:
            heappush(self._heap, (item.deadline, next(self._order), item))
        if self._timer is None or item.deadline < self._armed_for:
            self._arm(item.deadline)

    def close(self) -> None:
        """Stop the timer; nothing expires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - _EARLY - self._now()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._now()
        due = now + _EARLY
        line, heap = self._line, self._heap
        while line and (line[0].over or line[0].deadline <= due):
            item = line.popleft()
            if not item.over:
                item.expire(now)
        while heap and (heap[0][2].over or heap[0][0] <= due):
            item = heappop(heap)[2]
            if not item.over:
                item.expire(now)
        heads = [line[0].deadline] if line else []
        if heap:
            heads.append(heap[0][0])
        if heads and self._timer is None:
            self._arm(min(heads))
