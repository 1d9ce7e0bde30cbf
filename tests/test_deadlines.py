"""One timer for all queries of an application."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.deadlines import Deadlines
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run


class Item:
    """Something that expires."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.over = False
        self.expired_at: float | None = None

    def expire(self, now: float) -> None:
        assert not self.over
        self.over = True
        self.expired_at = now


@given(st.lists(st.floats(0.002, 5.0), min_size=1, max_size=50), st.integers(0, 100))
def test_each_expires_at_its_deadline_once(limits: list[float], seed: int) -> None:
    """Whatever the order of deadlines, each comes within two milliseconds before its moment, unless over by then."""
    rng = Random(seed)
    clock = ManualClock()
    items = [Item(clock.monotonic() + limit) for limit in limits]
    done_early = {id(item) for item in items if rng.random() < 0.3}

    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop(), clock)
        for item in items:
            deadlines.add(item)
        for item in items:
            if id(item) in done_early:
                item.over = True
        await asyncio.sleep(6.0)

    run(scenario(), clock=clock)
    for item in items:
        if id(item) in done_early:
            assert item.expired_at is None
        else:
            assert item.expired_at == pytest.approx(item.deadline, abs=0.0021)


def test_nothing_is_armed_when_nothing_waits() -> None:
    """An idle application costs no timer: the last one is not armed again."""
    clock = ManualClock()

    async def scenario() -> Deadlines:
        deadlines = Deadlines(asyncio.get_running_loop(), clock)
        item = Item(clock.monotonic() + 0.02)
        deadlines.add(item)
        item.over = True
        await asyncio.sleep(1.0)
        return deadlines

    assert run(scenario(), clock=clock)._timer is None


def test_what_is_over_does_not_pile_up() -> None:
    """Answered queries leave the line as new ones come, long before their deadline."""
    clock = ManualClock()

    async def scenario() -> int:
        deadlines = Deadlines(asyncio.get_running_loop(), clock)
        for _ in range(10_000):
            item = Item(clock.monotonic() + 60.0)
            deadlines.add(item)
            item.over = True
        size = len(deadlines._line)
        deadlines.close()
        return size

    assert run(scenario(), clock=clock) <= 2
