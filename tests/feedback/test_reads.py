"""A budget of reading for each turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from skysail.clock import SystemClock
from skysail.feedback.reads import Reads
from skysail.testing.clock import ManualClock


class Turns:
    """Reads of a loop whose turns are made by hand; a read notes its name and takes some seconds."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.deferred: list[Callable[[], None]] = []
        loop: Any = SimpleNamespace(call_soon=self.deferred.append)
        self.reads = Reads(loop, self.clock, **options)
        self.read: list[str] = []

    def reading(self, name: str, seconds: float) -> Callable[[], None]:
        def read() -> None:
            self.read.append(name)
            self.clock.advance(seconds)

        return read

    def turn(self) -> None:
        deferred, self.deferred[:] = list(self.deferred), []
        for call in deferred:
            call()


def test_a_turn_has_a_budget_of_time() -> None:
    """Short reads are many, a long one is the last; the next turn begins anew."""
    turns = Turns(seconds=0.002)
    for n in range(3):
        assert turns.reads.allowed
        turns.reads.run(turns.reading(str(n), 0.0009))
    assert not turns.reads.allowed
    assert len(turns.deferred) == 1
    turns.turn()
    assert turns.reads.allowed
    assert turns.deferred == []


def test_reads_put_off_are_made_once_and_in_order() -> None:
    """One for each key, as many in a turn as its budget allows, those who come meanwhile behind them."""
    turns = Turns(seconds=0.002)
    for name in "abacad":
        turns.reads.put_off(name, turns.reading(name, 0.0015))
    assert turns.read == []
    turns.turn()
    assert turns.read == ["a", "b"]
    assert not turns.reads.allowed
    turns.reads.put_off("e", turns.reading("e", 0.0))
    turns.turn()
    turns.turn()
    assert turns.read == ["a", "b", "c", "d", "e"]
    turns.turn()
    assert turns.deferred == []


def test_reads_put_off_are_bounded() -> None:
    """What is too much is forgotten; who wants it asks again."""
    turns = Turns(waiting=2)
    for name in "abc":
        turns.reads.put_off(name, turns.reading(name, 0.0))
    turns.turn()
    assert turns.read == ["a", "b"]


def test_on_a_real_loop_the_budget_comes_back() -> None:
    """A turn of asyncio is a turn."""

    async def main() -> list[bool]:
        reads = Reads(asyncio.get_running_loop(), SystemClock(), seconds=1e-9)
        reads.run(list)
        allowed = [reads.allowed]
        await asyncio.sleep(0)
        return [*allowed, reads.allowed]

    assert asyncio.run(main()) == [False, True]
