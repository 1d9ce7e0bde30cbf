"""How much is measured in the time there is, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from benchmarks.peers.systems import System

__all__ = ["QUICK", "Amount", "Budget", "fitted", "turns"]

_T = TypeVar("_T")

_START = {True: 3.0, False: 9.0}
"""Seconds that starting and ending a contender, or another system, takes."""

_PROBES = 9
"""Rates that a search tries, those that are tried twice included."""

_OVERLOAD_SECONDS = 22.0


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is measured: of the contenders, and of the others, which are far slower."""

    rounds: int = 5
    """Rounds of closed loops of the contenders."""

    others: int = 2
    """The same of the others."""

    searches: int = 5
    """Searches for the highest open-loop rate of the contenders."""

    others_searches: int = 1
    """The same of the others."""

    overloads: int = 3
    """Overloads of the contenders."""

    others_overloads: int = 1
    """The same of the others, with the first model only."""

    seconds: float = 3.0
    """How long each load takes."""

    idle: float = 20.0
    """How long an idle system is watched."""

    def rounds_of(self, system: System) -> int:
        """Rounds of closed loops."""
        return self.rounds if system.contender else min(self.others, self.rounds)

    def searches_of(self, system: System) -> int:
        """Searches for the highest rate."""
        return self.searches if system.contender else min(self.others_searches, self.searches)

    def overloads_of(self, system: System, first: bool) -> int:
        """Overloads, of the first of the models or of another."""
        if system.contender:
            return self.overloads
        return min(self.others_overloads, self.overloads) if first else 0

    def cost(self, systems: Sequence[System], workloads: int, dynamic: int) -> float:
        """Seconds that it takes, about, with so many models, of which so many see open loops."""
        total = 0.0
        for system in systems:
            start = _START[system.contender]
            total += workloads * self.rounds_of(system) * (start + 1 + 2.3 * self.seconds)
            total += dynamic * self.searches_of(system) * (start + 1 + _PROBES * (self.seconds * 2 / 3 + 0.8))
            for number in range(dynamic):
                total += self.overloads_of(system, number == 0) * (start + 1 + self.seconds + _OVERLOAD_SECONDS)
            total += (start + self.idle) * system.contender
        return total


QUICK = Amount(
    rounds=1, others=1, searches=1, others_searches=1, overloads=1, others_overloads=1, seconds=1.0, idle=2.0
)
"""To see that everything works."""

_CUTS: tuple[dict[str, Any], ...] = (
    {"searches": 3},
    {"overloads": 2},
    {"seconds": 2.0},
    {"others_searches": 0},
    {"overloads": 1},
    {"searches": 2},
    {"others": 1},
    {"searches": 1},
    {"others_overloads": 0},
    {"rounds": 4},
    {"rounds": 3, "seconds": 1.0},
    {"rounds": 2, "idle": 5.0},
    {"rounds": 1},
)
"""What is given up for want of time, the least loss first."""


def fitted(amount: Amount, seconds: float, cost: Callable[[Amount], float]) -> tuple[Amount, list[str]]:
    """The amount, with as much of it given up as there is no time for; and what that is."""
    given_up: dict[str, Any] = {}
    for cut in _CUTS:
        if cost(amount) <= seconds:
            break
        less = {name: value for name, value in cut.items() if value < getattr(amount, name)}
        amount = replace(amount, **less)
        given_up |= less
    return amount, [f"{name} = {value:g}" for name, value in given_up.items()]


def turns(items: Sequence[_T], number: int) -> list[_T]:
    """The items in the order of a round: each round begins with another one, and every second goes backwards.

    >>> [turns("abc", number) for number in range(3)]
    [['a', 'b', 'c'], ['a', 'c', 'b'], ['c', 'a', 'b']]
    """
    start = number % len(items) if items else 0
    order = [*items[start:], *items[:start]]
    return order[::-1] if number % 2 else order


class Budget:
    """The time that everything may take."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()
