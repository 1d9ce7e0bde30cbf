"""The one home of time: everything else takes a `Clock` as an argument.

`monotonic` measures durations and deadlines; `wall` stamps records that outlive the process. The system clock is used
in production; tests use `skysail.testing.clock.ManualClock`.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What a component needs to know of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin, never going back: for durations and deadlines."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch: for records that are read by another process or another day."""
        ...


class SystemClock:
    """The machine's clocks. `monotonic` agrees with `asyncio`'s and uvloop's `loop.time()` origin on Linux."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
