"""A batcher whose replicas, time, timers and loop turns are driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from skysail.batching.batcher import Batcher
from skysail.batching.hold import Hold
from skysail.batching.sizing import Aimd
from skysail.batching.station import Batch, Station
from skysail.calls import Call
from skysail.testing.clock import ManualClock
from skysail.types import Failure, Outcome, Output

__all__ = ["Bench", "Caller", "Timer", "Wire"]


class Caller(Call):
    """A call that keeps what it is told."""

    __slots__ = ("outcome", "settled_at", "times")

    def __init__(self, row: bytes, arrived: float, deadline: float) -> None:
        super().__init__(row, False, arrived, deadline)
        self.outcome: Outcome | None = None
        self.settled_at = 0.0
        self.times = 0

    def settle(self, outcome: Outcome, now: float) -> None:
        self.over = True
        self.outcome = outcome
        self.settled_at = now
        self.times += 1

    @property
    def code(self) -> str:
        return self.outcome.code if isinstance(self.outcome, Failure) else "output"


class Wire:
    """A replica that keeps the batches it is sent."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def send(self, batch: Batch) -> None:
        self.batches.append(batch)


class Timer:
    """What a batcher asked to be called for."""

    def __init__(self, left: float, then: Callable[[], None]) -> None:
        self.left = left
        self.then = then
        self.over = False

    def cancel(self) -> None:
        self.over = True


class Bench:
    """A batcher with hand-driven replicas, time, timers and loop turns."""

    def __init__(self, replicas: int = 1, slo: float = 0.02, cap: int = 64, hold: float = 0.0) -> None:
        self.clock = ManualClock()
        self.turns: list[Callable[[], None]] = []
        self.timers: list[Timer] = []
        self.batcher = Batcher(self.clock, self.turns.append, slo, Hold(self.later, hold) if hold else None)
        self.wires = [Wire() for _ in range(replicas)]
        for wire in self.wires:
            station = Station(wire, Aimd(cap))
            station.ready = True
            station.sizing._cap = float(cap)  # type: ignore[attr-defined]
            self.batcher.stations.append(station)

    def later(self, seconds: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        timer = Timer(seconds, then)
        self.timers.append(timer)
        return cast("asyncio.TimerHandle", timer)

    @property
    def armed(self) -> list[Timer]:
        """The timers that are neither cancelled nor over."""
        return [timer for timer in self.timers if not timer.over]

    def pass_time(self, seconds: float) -> None:
        """Time passes, and the timers that are due by then fire."""
        self.clock.advance(seconds)
        for timer in self.armed:
            timer.left -= seconds
            if timer.left <= 1e-9:
                timer.over = True
                timer.then()

    def ask(self, row: bytes = b"1", within: float = 0.02) -> Caller:
        now = self.clock.monotonic()
        call = Caller(row, now, now + within)
        self.batcher.ask(call)
        return call

    def turn(self) -> None:
        while self.turns:
            self.turns.pop(0)()

    def answer(self, replica: int = 0, seconds: float = 0.001, lag: float = 0.0) -> Batch:
        """The oldest batch of a replica comes back after so long, every row echoed; and is heard of so much later."""
        self.clock.advance(seconds + lag)
        station = self.batcher.stations[replica]
        batch = station.inflight[0]
        self.batcher.answered(station, batch, [Output(call.row) for call in batch.calls], seconds, seconds)
        return batch

    def teach(self, rows: int, seconds: float, times: int = 8) -> None:
        """Let the estimator see batches of this size and duration."""
        for _ in range(times):
            calls = [self.ask(within=60.0) for _ in range(rows)]
            self.turn()
            self.answer(seconds=seconds)
            assert all(call.code == "output" for call in calls)
