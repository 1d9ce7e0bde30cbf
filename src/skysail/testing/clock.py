"""A clock that moves when it is told to."""

from __future__ import annotations

__all__ = ["ManualClock"]


class ManualClock:
    """A `skysail.clock.Clock` that stands still until `advance` is called.

    For tests, and for simulations faster than life. Not by itself for code that waits: there, hand it to
    `skysail.testing.loop.run`, whose timers then follow it.
    """

    def __init__(self, monotonic: float = 1_000.0, wall: float = 1_767_225_600.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Seconds since this clock's origin."""
        return self._monotonic

    def wall(self) -> float:
        """Seconds since the epoch; at the first of January 2026 unless told otherwise."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass, for durations and for records alike."""
        if not seconds >= 0:
            raise ValueError(f"seconds = {seconds!r}: time only goes on; to set the wall clock back, use set_wall")
        self._monotonic += seconds
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Set the wall clock, forwards or back, as an operator may; durations are not affected."""
        self._wall = wall
