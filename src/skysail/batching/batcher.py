"""The queue of one model version: deadline-ordered, pulled by idle replicas, never holding a row that cannot make
it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf

from skysail.batching.hold import Hold
from skysail.batching.station import Batch, Station
from skysail.batching.suspects import Suspects
from skysail.calls import Call, Twin
from skysail.clock import Clock
from skysail.stats.histogram import Histogram, log_bounds
from skysail.stats.quantile import RecentQuantile
from skysail.types import Failure, Output

__all__ = ["Batcher", "BatcherStatistics"]

_MOST_QUEUED = 65_536
_MOST_BYTES = 32 << 20
"""Bytes of rows after which a batch is full, whatever its number of rows."""
_RECENT = 256
_DURATIONS = log_bounds(50e-6, 20.0, 48)
"""Steps of a twentieth: a p99 is to be compared with a budget."""
_QUIET = 0.25
"""Seconds without a batch after which an idle replica is given what comes, whatever the estimate says: that is how a
stale estimate is corrected.
"""
_SHORTEST = 0.0005
"""Seconds for which nothing is held back: the event loop's timers have steps of a millisecond."""
_MARGIN = 1.25
"""What a wait behind others may turn out to be, as a multiple of what it is expected to be."""


@dataclass(frozen=True, slots=True)
class BatcherStatistics:
    """A snapshot of one version's queue and its batches."""

    queued: int
    inflight: int
    ready: int
    cap: int
    depth: int
    batches: int
    rows: int
    seconds: float
    """What all batches took, one after the other."""
    busy: float
    """The part of that for which workers decoded and predicted."""
    predicting: float
    """The part of that for which the model itself predicted."""
    held: int
    """Batches that were held back for more rows."""
    budget: float
    """Seconds that a batch may take."""
    p50: int | None
    """Rows of the median of the last batches."""
    p99: float | None
    """Seconds that 99 of 100 batches stay under."""
    failures: dict[str, int]


class Batcher:
    """Gathers calls into batches.

    An idle replica takes what is there now; calls gather only while all replicas are busy, so a lone one never waits.
    Calls that arrive in one turn of the event loop go together, because the sending is put off to the turn's end. What
    the estimate says cannot be answered in time is answered at once, with the reason, rather than run for nothing.

    `slo` is the smallest objective, in seconds, of the applications that use the model; it is set again when they
    change. `hold` says when an idle replica is to wait for more rows after all; without one it never does. `sample` is
    the last row that was answered (and whether it was binary), to try the next version on.
    """

    def __init__(
        self, clock: Clock, defer: Callable[[Callable[[], None]], object], slo: float, hold: Hold | None = None
    ) -> None:
        self.slo = slo
        self.stations: list[Station] = []
        self.sample: tuple[bytes, bool] | None = None
        self._now = clock.monotonic
        self._defer = defer
        self._deferred = False
        self._hold = hold
        self._holding: asyncio.TimerHandle | None = None
        self._held_until = 0.0
        self._heap: list[tuple[float, int, Call]] = []
        self._order = count()
        self._suspects = Suspects()
        self._quiet = asyncio.Event()
        self._batches = self._rows = 0
        self._held = 0
        self._seconds = self._busy = self._predicting = 0.0
        self._pace = 0.0
        self._own = 0.0
        self._latest = 0.0
        self._twins: dict[Call, tuple[Twin, Station]] = {}
        self._latencies: RecentQuantile | None = None
        self._sizes: deque[int] = deque(maxlen=_RECENT)
        self._durations = Histogram(_DURATIONS)
        self._failures: Counter[str] = Counter()

    # -- callers' side ------------------------------------------------------------------------------------------------

    def ask(self, call: Call) -> None:
        """Queue a call, or settle it at once where it is known that it cannot be answered in time."""
        if self._hold is not None:
            self._hold.came(call.arrived)
        refusal = self._refusal(call)
        if refusal is not None:
            self._fail(call, refusal, call.arrived)
            return
        self._push(call, call.deadline)
        self.wake()

    def knows(self, row: bytes, binary: bool) -> bool:
        """A queue remembers nothing."""
        return False

    def full(self, now: float, deadline: float) -> bool:
        """Whether `ask` would refuse any call that came now with this deadline, for the work ahead of it."""
        if self._suspects or self._has_room():
            return False  # with suspects, it depends on the row
        late = len(self._heap) >= _MOST_QUEUED or now + self._modelled(now) > deadline
        return late and self._is_ready()

    def turn_away(self) -> None:
        """Count a call as refused that was not made, because `full` said so."""
        self._failures["overload"] += 1

    def forget(self, call: Call) -> None:
        """A call that nobody waits for is skipped when its turn comes."""
        call.over = True

    def hurry(self, call: Call, deadline: float) -> None:
        """Move a queued call up; its old place is passed over, for it will have been taken by then."""
        if call.queued:
            self._push(call, deadline)

    def hedge(self, call: Call) -> Twin | None:
        """Give a call that a replica has in hand to an idle one as well; whichever answers first is heard.

        `None` where there is no such pair: a call that still waits would only wait twice, and of a row over which a
        worker has died no second worker is to learn.
        """
        if call in self._twins:
            return self._twins[call][0]
        if self._heap or self._suspects or call.over or not any(s.holds(call) for s in self.stations):
            return None
        for station in self.stations:
            if station.ready and not station.inflight:
                twin = Twin()
                self._twins[call] = (twin, station)
                now = self._now()
                station.send(Batch([call], now, again=True), now)
                return twin
        return None

    def wait(self, now: float) -> float:
        """The seconds after which a row asked for now is likely to be answered: by the queue as it is, and the pace of
        the batches of late.

        For an idle replica it is the best of late, 0 where nothing is known. A busy one that nothing is known of has
        its first batches one at a time, so for all others it is `inf`; as it is without a ready replica.
        """
        if not self._heap:
            for station in self.stations:
                if station.ready and not station.inflight:
                    return station.estimator.best(1) if station.estimator.known(now) else 0.0
        return _MARGIN * self._modelled(now) or inf

    @property
    def p95(self) -> float:
        """The seconds that 95 of 100 calls of late were answered within; `inf` where `watch` is off or it is not known
        yet.
        """
        return inf if self._latencies is None else self._latencies.value

    def watch(self, *, on: bool) -> None:
        """Begin, or stop, to measure `p95`."""
        if not on:
            self._latencies = None
        elif self._latencies is None:
            self._latencies = RecentQuantile(0.95)

    # -- replicas' side -----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """A call came or a replica is free: send what can be sent, at the end of this turn of the loop."""
        if not self._deferred:
            self._deferred = True
            self._defer(self._dispatch)

    def answered(
        self, station: Station, batch: Batch, outcomes: list[Output | Failure], busy: float, predicting: float
    ) -> None:
        """A batch is done; `busy` are the seconds the worker itself says it took, `predicting` those of its model."""
        now = self._now()
        rows, budget = len(batch.calls), self.budget(station.depth)
        seconds = station.done(batch, now, busy)
        # Of the worker's time alone: a smaller batch does not help a frontend that is late to hear of it.
        station.sizing.observe(rows, min(busy, seconds), budget, station.estimator)
        if self._hold is not None:
            self._hold.answered(rows, now, station.estimator)
        self._set_pace(station, rows)
        if self._heap:
            self._send()  # settling takes a while, which the replica would spend idle
        self.wake()
        self._batches += 1
        self._rows += rows
        self._seconds += seconds
        self._busy += busy
        self._predicting += predicting
        self._sizes.append(rows)
        self._durations.record(seconds)
        if isinstance(outcomes[-1], Output):
            self.sample = (batch.calls[-1].row, batch.calls[-1].binary)
        if self._suspects:
            for call in batch.calls:
                self._suspects.survived(call.row)
        if self._latencies is not None and not batch.again:
            for call in batch.calls:
                self._latencies.add(now - call.arrived)
        twins = bool(self._twins)
        for place, call in enumerate(batch.calls):
            outcome = outcomes[place]
            if outcome.__class__ is Failure:
                self._failures[outcome.code] += 1
            if twins and self._outdone(station, call, outcome):
                continue
            if not call.over:
                call.over = True
                call.settle(outcome, now)

    def lost(self, station: Station, why: str) -> None:
        """A replica is gone with what it had in hand: that goes back to the queue, for another one, once."""
        now = self._now()
        station.ready = False
        batches, station.inflight = station.inflight, []
        if batches:  # a worker runs one batch after another: those behind the first had not begun, and are innocent
            self._suspects.died([call.row for call in batches[0].calls], now)
        for batch in batches:
            for call in batch.calls:
                if self._twins.pop(call, None) is not None or call.over:
                    continue  # the other replica has it in hand still, or nobody waits for it
                if self._suspects.quarantined(call.row, now):
                    self._fail(call, _quarantine(), now)
                else:
                    self._push(call, call.deadline)
        if not any(s.ready for s in self.stations):
            self._abandon(why, now)
        self.wake()

    def budget(self, depth: int) -> float:
        """The seconds one batch may take: a query waits for those in flight, then for its own."""
        return (self.slo - min(0.002, 0.1 * self.slo)) / (1 + depth)

    def close(self) -> None:
        """The version is gone: whatever still waits is told so."""
        self._stop_holding()
        self._abandon("the version was withdrawn", self._now())

    def turn(self) -> None:
        """Move the windows that `statistics` takes quantiles over."""
        self._durations.turn()

    async def wait_idle(self) -> None:
        """Return once nothing waits and nothing is in flight."""
        while not self.idle:
            self._quiet.clear()
            await self._quiet.wait()

    async def remove(self, station: Station) -> None:
        """Give a replica no more work, and return once it has none."""
        self.stations.remove(station)
        while station.inflight:
            self._quiet.clear()
            await self._quiet.wait()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not any(not call.over for _, _, call in self._heap) and not any(s.inflight for s in self.stations)

    def statistics(self) -> BatcherStatistics:
        """What is queued, in flight and done."""
        return BatcherStatistics(
            queued=sum(not call.over for _, _, call in self._heap),
            inflight=sum(len(batch.calls) for s in self.stations for batch in s.inflight),
            ready=sum(s.ready for s in self.stations),
            cap=max((s.sizing.cap for s in self.stations), default=0),
            depth=max((s.depth for s in self.stations), default=0),
            batches=self._batches,
            rows=self._rows,
            seconds=self._seconds,
            busy=self._busy,
            predicting=self._predicting,
            held=self._held,
            budget=self.budget(max((s.depth for s in self.stations), default=1)),
            p50=sorted(self._sizes)[len(self._sizes) // 2] if self._sizes else None,
            p99=self._durations.recent(0.99),
            failures=dict(self._failures),
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    def _refusal(self, call: Call) -> Failure | None:
        """Why a call cannot be taken, if it cannot: no replica, a deadly row, or too much work ahead of it."""
        if self._has_room() and not self._suspects:
            return None
        if not self._is_ready():
            return Failure("unavailable", "no replica of the model is ready")
        if self._suspects and self._suspects.quarantined(call.row, call.arrived):
            return _quarantine()
        if self._has_room():
            return None
        waiting = len(self._heap)
        if waiting >= _MOST_QUEUED:
            return Failure("overload", f"{waiting} rows wait for this model already")
        wait = self._modelled(call.arrived)
        if call.arrived + wait > call.deadline:
            return Failure("overload", f"the work ahead of it would take {wait * 1e3:.0f} ms more")
        return None

    def _is_ready(self) -> bool:
        for station in self.stations:  # noqa: SIM110 - a generator costs more, where this is compiled too
            if station.ready:
                return True
        return False

    def _has_room(self) -> bool:
        """Whether a replica is free, and will take one row more than waits already, at the end of this turn: nothing is
        refused then. In an overload a turn may bring a hundred times what the free replicas will take.
        """
        waiting = len(self._heap)
        for station in self.stations:
            if station.ready and len(station.inflight) < station.depth:
                waiting -= station.sizing.cap
                if waiting < 0:
                    return True
        return False

    def _modelled(self, now: float) -> float:
        """The modelled seconds until a call behind all others is answered; 0 while nothing is known."""
        soonest = inf
        for station in self.stations:
            if station.ready:
                if not station.estimator.known(now):
                    return 0.0
                soonest = min(soonest, station.ahead(now))
        return soonest + len(self._heap) * self._pace + self._own

    def _set_pace(self, station: Station, rows: int) -> None:
        """What `_modelled` goes by, renewed once for each batch: the seconds that one more row in the queue costs those
        behind it, and those of the batch that the row itself will be in, which is taken to be like the last one.
        """
        cap = max(1.0, station.sizing.soon)
        ready = 0
        for other in self.stations:
            ready += other.ready
        self._pace = station.estimator.expected(cap) / (cap * max(1, ready))
        self._own = station.estimator.p90(rows)

    def _outdone(self, station: Station, call: Call, outcome: Output | Failure) -> bool:
        """Whether an outcome of a hedged call is to be passed over, because the other replica may do better."""
        found = self._twins.pop(call, None)
        if found is None:
            return False
        twin, second = found
        if isinstance(outcome, Failure) and outcome.code != "invalid_input":
            return True
        twin.won = station is second
        return False

    def _push(self, call: Call, deadline: float) -> None:
        call.queued = True
        self._latest = max(self._latest, call.deadline) if self._heap else call.deadline
        heappush(self._heap, (deadline, next(self._order), call))

    def _dispatch(self) -> None:
        self._deferred = False
        self._send()

    def _send(self, *, hold: bool = True) -> None:
        """Give the free replicas what waits; where it is held back for more, set the timer instead."""
        self._quiet.set()  # whoever waits for idleness looks again, once a batch has come or gone
        heap = self._heap
        while heap:
            free = [s for s in self.stations if s.free]
            if not free:
                return
            station = min(free, key=_load)
            now = self._now()
            if self._hold is not None:
                if hold and self._holds(self._hold, station, len(free), now):
                    return
                self._stop_holding()
            calls = self._take(station, now)
            if calls:
                station.send(Batch(calls, now), now)

    def _holds(self, hold: Hold, station: Station, free: int, now: float) -> bool:
        """Whether what waits is held back for more: never for so long that the most urgent row would be late, nor when
        a batch is full.

        What is learned is for a replica that others would have to wait for. While another one is idle, or a second
        batch in flight hides the fixed cost, there is nothing to gain.
        """
        waiting = len(self._heap)
        if waiting >= station.sizing.cap or (hold.seconds is None and (free > 1 or station.depth > 1)):
            return False
        urgent = self._heap[0][2]
        until = min(
            hold.until(waiting, urgent.arrived, station.estimator, now),
            urgent.deadline - station.estimator.p99(waiting),
        )
        if until - now < _SHORTEST:
            return False
        if self._holding is None:
            self._held += 1
        if self._holding is None or until < self._held_until:
            self._stop_holding()
            self._held_until = until
            self._holding = hold.later(until - now, self._release)
        return True

    def _release(self) -> None:
        """What was held back has waited long enough."""
        self._holding = None
        self._send(hold=False)

    def _stop_holding(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    def _take(self, station: Station, now: float) -> list[Call]:
        """The next calls for a replica, most urgent first; those that cannot make it are answered on the way."""
        heap, cap = self._heap, station.sizing.cap
        estimate = station.estimator
        # A batch like the last ones: what would be late with it only takes the place of what would not. But where
        # nothing would be in time, what an idle replica could do at best decides: else the slow batches of a bad moment
        # would keep away better ones. (A busy one's batches come back all the time, and keep its estimate true.)
        trusted = estimate.known(now) and (bool(station.inflight) or now - station.last_done < _QUIET)
        needed = station.ahead(now) + estimate.expected(min(cap, len(heap)))
        if not station.inflight and now + needed > self._latest:
            needed = estimate.best(1)
        if not trusted:
            needed = 0.0
        calls: list[Call] = []
        size, suspects = 0, self._suspects or None
        while heap and len(calls) < cap and size < _MOST_BYTES:
            call = heap[0][2]
            if suspects is not None and calls and suspects.alone(call.row, now):
                break
            heappop(heap)
            if call.over or not call.queued:
                continue
            call.queued = False
            if now + needed > call.deadline:
                self._fail(call, _too_late(call, estimate.best(1) if trusted else 0.0), now)
                continue
            calls.append(call)
            size += len(call.row)
            if suspects is not None and suspects.alone(call.row, now):
                break
        return calls

    def _abandon(self, why: str, now: float) -> None:
        heap, self._heap = self._heap, []
        for _, _, call in heap:
            if not call.over:
                self._fail(call, Failure("unavailable", why), now)

    def _fail(self, call: Call, failure: Failure, now: float) -> None:
        self._failures[failure.code] += 1
        call.over = True
        call.settle(failure, now)


def _load(station: Station) -> int:
    return len(station.inflight)


def _too_late(call: Call, alone: float) -> Failure:
    """A call nothing could have saved missed its deadline; any other was kept waiting by the work ahead of it."""
    if call.arrived + alone > call.deadline:
        return Failure("deadline", "the model takes longer than the time that was left")
    return Failure("overload", "the work ahead of it left no time")


def _quarantine() -> Failure:
    return Failure("model_error", "this row killed three workers in a row and is kept from the model for a minute")
