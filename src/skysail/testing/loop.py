"""An event loop in which waiting takes no time: when nothing can run, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from skysail.testing.clock import ManualClock

__all__ = ["JumpingLoop", "run"]

_T = TypeVar("_T")


class JumpingLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time is a `ManualClock`, advanced to the next timer whenever the loop is idle.

    An hour of `asyncio.sleep`, `timeout_at` and `call_later` runs in under a millisecond, always in the same order. Use
    it to test what waits. Not for what waits on the world: bytes that are there already are read before time moves,
    but a process, a thread or a peer that needs real time to answer loses to every timer. With no timer left, the loop
    waits for those as any loop does.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = ManualClock() if clock is None else clock
        super().__init__(_JumpingSelector(self.clock))

    def time(self) -> float:
        """The clock's monotonic seconds."""
        return self.clock.monotonic()


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would sleep until its next timer, it passes the time of the clock instead."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select()
        ready = super().select(0)
        if not ready:
            self._clock.advance(timeout)
        return ready


def run(main: Coroutine[Any, Any, _T], clock: ManualClock | None = None) -> _T:
    """Run a coroutine as `asyncio.run` does, on a `JumpingLoop`, and return what it returns.

    >>> run(asyncio.sleep(3600, "an hour later"))
    'an hour later'
    """
    with asyncio.Runner(loop_factory=lambda: JumpingLoop(clock)) as runner:
        return runner.run(main)
