"""A batcher with simulated replicas, clients and time: for what only many batches in a row can show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from statistics import mean

from skysail.batching.batcher import Batcher
from skysail.batching.hold import Hold
from skysail.batching.sizing import Quantile
from skysail.batching.station import Batch, Station
from skysail.calls import Call
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Outcome, Output

__all__ = ["Run", "closed_loop", "open_loop"]

_TRIP = 0.0002


@dataclass
class Run:
    """What became of a simulated load."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    held: int = 0

    @property
    def rate(self) -> float:
        """Rows answered in a second."""
        return len(self.latencies) / self.seconds

    @property
    def mean(self) -> float:
        """Mean latency in seconds."""
        return mean(self.latencies)


class _Replica:
    """Runs one batch after the other, each for as long as it says, and answers after a round trip."""

    def __init__(self, batcher: Batcher, seconds: Callable[[int], float], sizes: list[int]) -> None:
        self._batcher = batcher
        self._seconds = seconds
        self._sizes = sizes
        self._free_at = 0.0
        self.station = Station(self, Quantile(4096))
        self.station.ready = True
        batcher.stations.append(self.station)

    def send(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        busy = self._seconds(len(batch.calls))
        self._sizes.append(len(batch.calls))
        self._free_at = max(self._free_at, loop.time() + _TRIP / 2) + busy
        loop.call_at(self._free_at + _TRIP / 2, self._answer, batch, busy)

    def _answer(self, batch: Batch, busy: float) -> None:
        self._batcher.answered(self.station, batch, [Output(b"1")] * len(batch.calls), busy, busy)


class _Row(Call):
    """A row that tells whoever asked it."""

    def __init__(self, now: float, slo: float, done: Callable[[float], None]) -> None:
        super().__init__(b"1", False, now, now + slo)
        self._done = done

    def settle(self, outcome: Outcome, now: float) -> None:
        assert isinstance(outcome, Output), outcome
        self.over = True
        self._done(now - self.arrived)


def _simulate(
    load: Callable[[Batcher, Run, float], None],
    seconds: Callable[[int], float],
    hold: float | None,
    slo: float,
    lasting: float,
    replicas: int,
) -> Run:
    """A load on a batcher of so many replicas, for so long; the first half is a warm-up that does not count."""
    clock, told = ManualClock(), Run(seconds=lasting / 2)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        batcher = Batcher(clock, loop.call_soon, slo, None if hold == 0 else Hold(loop.call_later, hold))
        for _ in range(replicas):
            _Replica(batcher, seconds, told.batches)
        load(batcher, told, slo)
        await asyncio.sleep(lasting / 2)
        told.latencies.clear()
        told.batches.clear()
        before = batcher.statistics().held
        await asyncio.sleep(lasting / 2)
        told.held = batcher.statistics().held - before

    run(main(), clock)
    return told


def closed_loop(
    clients: int,
    seconds: Callable[[int], float],
    *,
    hold: float | None = None,
    pause: tuple[float, float] = (0.0001, 0.0008),
    slo: float = 0.1,
    lasting: float = 4.0,
    replicas: int = 1,
    seed: int = 1,
) -> Run:
    """Clients that each ask again a moment after they are answered."""
    rng = Random(seed)

    def load(batcher: Batcher, told: Run, slo: float) -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            batcher.ask(_Row(loop.time(), slo, done))

        def done(latency: float) -> None:
            told.latencies.append(latency)
            loop.call_later(rng.uniform(*pause), ask)

        for _ in range(clients):
            loop.call_later(rng.uniform(0.0, 0.01), ask)

    return _simulate(load, seconds, hold, slo, lasting, replicas)


def open_loop(
    rate: float,
    seconds: Callable[[int], float],
    *,
    hold: float | None = None,
    slo: float = 0.1,
    lasting: float = 10.0,
    replicas: int = 1,
    seed: int = 1,
) -> Run:
    """Rows at random moments (a Poisson process), whoever is answered."""
    rng = Random(seed)

    def moments() -> Iterator[float]:
        at = 0.0
        while True:
            at += rng.expovariate(rate)
            yield at

    def load(batcher: Batcher, told: Run, slo: float) -> None:
        loop = asyncio.get_running_loop()
        began, due = loop.time(), moments()

        def ask() -> None:
            batcher.ask(_Row(loop.time(), slo, told.latencies.append))
            loop.call_at(began + next(due), ask)

        loop.call_at(began + next(due), ask)

    return _simulate(load, seconds, hold, slo, lasting, replicas)
