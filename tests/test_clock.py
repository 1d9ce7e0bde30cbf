from __future__ import annotations

import asyncio
import time

from skysail.clock import Clock, SystemClock


def test_the_system_clock_is_the_machines() -> None:
    """Durations and dates come from the clocks that everybody else reads."""
    clock: Clock = SystemClock()
    assert clock.monotonic() <= time.monotonic() <= clock.monotonic()
    assert abs(clock.wall() - time.time()) < 60


def test_loop_time_and_clock_share_an_origin() -> None:
    """A deadline taken from the clock can be given to the event loop."""

    async def difference() -> float:
        return abs(asyncio.get_running_loop().time() - SystemClock.monotonic())

    assert asyncio.run(difference()) < 60
