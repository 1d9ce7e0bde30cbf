"""The clock that moves when it is told to."""

from __future__ import annotations

import math

import pytest

from skysail.clock import Clock
from skysail.testing.clock import ManualClock


def test_stands_still_until_advanced() -> None:
    """Both times stay as they are, and `advance` moves both by as much."""
    clock: Clock = (manual := ManualClock(monotonic=5.0, wall=100.0))
    assert (clock.monotonic(), clock.wall()) == (5.0, 100.0)
    manual.advance(0.25)
    assert (clock.monotonic(), clock.wall()) == (5.25, 100.25)


def test_the_wall_clock_may_be_set_back() -> None:
    """Setting the wall clock leaves durations alone."""
    clock = ManualClock(monotonic=5.0)
    clock.set_wall(1.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 1.0)


@pytest.mark.parametrize("seconds", [-1e-9, -math.inf, math.nan])
def test_refuses_to_go_back(seconds: float) -> None:
    """A negative step is an error that names the step and the remedy, and changes nothing."""
    clock = ManualClock(monotonic=5.0)
    with pytest.raises(ValueError, match=rf"seconds = {seconds!r}.*set_wall"):
        clock.advance(seconds)
    assert clock.monotonic() == 5.0
