"""A predictor that remembers: hits are answered at once, and equal rows in flight share one evaluation."""

from __future__ import annotations

from itertools import count

from skysail.cache.cache import Cache
from skysail.calls import Call, Predictor, Twin
from skysail.types import Outcome, Output

__all__ = ["Cached", "CachedStatistics"]

_numbers = count()


class CachedStatistics:
    """What one version's calls found; plain counters that only grow."""

    __slots__ = ("hits", "joined", "misses")

    def __init__(self) -> None:
        self.hits = self.misses = self.joined = 0


class _Flight(Call):
    """One evaluation that several callers wait for."""

    __slots__ = ("cached", "key", "waiters")

    def __init__(self, cached: Cached, key: bytes, first: Call) -> None:
        super().__init__(first.row, first.binary, first.arrived, first.deadline)
        self.cached = cached
        self.key = key
        self.waiters = [first]

    def settle(self, outcome: Outcome, now: float) -> None:
        self.over = True
        self.cached.landed(self, outcome, now)


class Cached:
    """Wraps one model version's predictor.

    A flight stands in the queue where its first caller put it, lives as long as the latest deadline of those who wait,
    and each of them may leave before. Failures reach all who wait but are not kept.
    """

    def __init__(self, inner: Predictor, cache: Cache) -> None:
        self._inner = inner
        self._cache = cache
        self._flights: dict[bytes, _Flight] = {}
        self._json = next(_numbers).to_bytes(4, "little")
        self._binary = next(_numbers).to_bytes(4, "little")
        self.statistics = CachedStatistics()

    def ask(self, call: Call) -> None:
        """Answer from the cache, join a flight, or start one."""
        key = self._key(call)
        output = self._cache.get(key)
        if output is not None:
            self.statistics.hits += 1
            call.settle(Output(output), call.arrived)
            return
        flight = self._flights.get(key)
        if flight is not None:
            self.statistics.joined += 1
            flight.waiters.append(call)
            self._extend(flight, call)
            return
        self.statistics.misses += 1
        flight = self._flights[key] = _Flight(self, key, call)
        self._inner.ask(flight)

    def knows(self, row: bytes, binary: bool) -> bool:
        """Whether a row's output is kept, or its evaluation under way. Counts neither as a hit nor as a miss."""
        key = (self._binary if binary else self._json) + row
        return key in self._cache or key in self._flights

    def full(self, now: float, deadline: float) -> bool:
        """As the queue behind says."""
        return self._inner.full(now, deadline)

    def turn_away(self) -> None:
        """As the queue behind counts it."""
        self._inner.turn_away()

    def forget(self, call: Call) -> None:
        """The call leaves its flight; a flight that nobody waits for is given up."""
        flight = self._flights.get(self._key(call))
        if flight is None or call not in flight.waiters:
            return
        flight.waiters.remove(call)
        if not flight.waiters:
            del self._flights[flight.key]
            self._inner.forget(flight)

    def hurry(self, call: Call, deadline: float) -> None:
        """A call that waits for a flight moves it up in the queue."""
        flight = self._flights.get(self._key(call))
        if flight is not None:
            self._inner.hurry(flight, deadline)

    def hedge(self, call: Call) -> Twin | None:
        """The flight that a call waits for is what a second replica is given."""
        flight = self._flights.get(self._key(call))
        return None if flight is None or call not in flight.waiters else self._inner.hedge(flight)

    def landed(self, flight: _Flight, outcome: Outcome, now: float) -> None:
        """A flight's outcome is here: keep an output, tell all who wait."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if isinstance(outcome, Output):
            self._cache.put(flight.key, outcome.raw, now)
        for call in flight.waiters:
            if not call.over:
                call.settle(outcome, now)

    def _key(self, call: Call) -> bytes:
        return (self._binary if call.binary else self._json) + call.row

    def _extend(self, flight: _Flight, call: Call) -> None:
        """A flight's deadline is the latest of its waiters'; an earlier one than its first moves it up in the queue."""
        if call.deadline > flight.deadline:
            flight.deadline = call.deadline
        elif call.deadline < flight.waiters[0].deadline:
            self._inner.hurry(flight, call.deadline)
