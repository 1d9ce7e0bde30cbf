"""What waits to be written: the part of the ledger that neither waits nor knows of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from skysail.errors import StoreError
from skysail.feedback.recent import Recent
from skysail.feedback.records import complete, decode_decision, encode_decision
from skysail.stores.base import Block, Completion, ObservationWrite, Writes
from skysail.stores.blocks import parse_key
from skysail.types import Decision, State

__all__ = ["RECENT", "Buffer", "Done", "Flight", "Flushed", "LedgerLimits"]

RECENT = 2 << 20
"""Bytes of written decisions that are remembered, unless the limits say otherwise."""

Done = Callable[[bool | StoreError, Mapping[str, State]], None]
"""Told, on the event loop, what became of an observation: whether it was the first of its id, or why it is not kept;
and the states, by key, that its transaction made (of other observations too)."""

Flushed = Callable[[bool], None]
"""Told, on the event loop, that decisions are in the store, or that they could not be written."""


@dataclass(frozen=True, kw_only=True)
class LedgerLimits:
    """How long things wait to be written, and how many of them."""

    flush: float = 0.05
    """Seconds a decision waits for others to be written with."""

    recent: int = RECENT
    """Bytes of written decisions that are remembered, so that feedback soon after needs no disk."""

    waiting: int = 32 << 20
    """Bytes of decisions that may wait; beyond it the oldest are dropped, and counted."""

    observations: int = 10_000
    """Observations that may wait, beyond which they are refused; and as many late outputs."""

    group: int = 500
    """Most observations in one commit: its additions take some 10 ms of the interpreter, which the loop lacks."""

    retry: float = 0.1
    """Seconds after a failed commit until the next try; doubled by each failure, up to `retry_most`."""

    retry_most: float = 1.0
    """Most seconds between two tries."""


@dataclass(slots=True)
class Flight:
    """What is in one transaction, from when it is taken out of the buffer until the store has answered."""

    records: dict[int, bytes]
    size: int
    completions: list[Completion]
    observations: list[tuple[ObservationWrite, Done]]
    flushed: list[Flushed]
    """Who waits for these decisions."""

    def writes(self, frontend: int, boot: int, time: float) -> Writes:
        """The transaction."""
        records = dict(sorted(self.records.items()))
        return Writes(
            blocks=[Block(frontend, boot, time, records)] if records else [],
            completions=self.completions,
            observations=[write for write, _ in self.observations],
        )


@dataclass(slots=True)
class Buffer:
    """The decisions, late outputs and observations of one boot that are not in the store yet, and some that are.

    A decision is encoded at once: a query's own objects are then gone while they are warm in the processor's cache,
    which costs half of what encoding many together does. Its record goes from `waiting` into the flight, and is at last
    remembered in `recent`.
    """

    limits: LedgerLimits
    prefix: str = ""
    waiting: dict[int, bytes] = field(default_factory=dict)
    waiting_bytes: int = 0
    flight: Flight | None = None
    recent: Recent[int, bytes] = field(init=False)
    completions: deque[Completion] = field(init=False)
    observations: deque[tuple[ObservationWrite, Done]] = field(default_factory=deque)
    flushed: list[Flushed] = field(default_factory=list)
    dropped: int = 0

    def __post_init__(self) -> None:
        self.recent = Recent(self.limits.recent, len)
        self.completions = deque(maxlen=self.limits.observations)

    @property
    def decisions(self) -> int:
        """Decisions that are not in the store yet."""
        return len(self.waiting) + (len(self.flight.records) if self.flight else 0)

    @property
    def empty(self) -> bool:
        """Whether there is nothing that a flight could take."""
        return not (self.waiting or self.completions or self.observations)

    def record(self, decision: Decision) -> None:
        """Keep a decision of this boot."""
        record = encode_decision(decision)
        self.waiting[int(decision.id[len(self.prefix) :], 16)] = record
        self.waiting_bytes += len(record)
        if self.waiting_bytes > self.limits.waiting:
            self._drop_oldest()

    def complete(self, late: Completion) -> None:
        """Amend a decision that is not written yet; else keep the late output, to be written on its own."""
        counter = self._counter(late.id)
        if counter in self.waiting:
            self.waiting_bytes += _amend(self.waiting, counter, late)
            return
        self.completions.append(late)
        if self.flight is not None and counter in self.flight.records:
            self.flight.size += _amend(self.flight.records, counter, late)
        elif (record := self.recent.get(counter)) is not None:
            self.recent.put(counter, _amended(record, late))

    def observe(self, write: ObservationWrite, done: Done) -> None:
        """Queue an observation; a decision that comes with it can be found from now on."""
        self.observations.append((write, done))
        if write.decision is not None:
            self.recent.put(self._counter(write.observation.id), write.decision)

    def tell_flushed(self, flushed: Flushed) -> bool:
        """Have somebody told when every decision that is here now has been written; `False` if all of them have been.

        Those that wait go with the next flight, and no flight begins before the last has landed.
        """
        if self.waiting:
            self.flushed.append(flushed)
        elif self.flight is not None:
            self.flight.flushed.append(flushed)
        else:
            return False
        return True

    def find(self, id: str) -> Decision | None:
        """A decision of this boot that is in memory."""
        counter = self._counter(id)
        record = self.waiting.get(counter)
        if record is None and self.flight is not None:
            record = self.flight.records.get(counter)
        if record is None:
            record = self.recent.get(counter)
        return None if record is None else decode_decision(record)

    def late(self, id: str) -> Iterable[Completion]:
        """The late outputs of a decision that are not written yet."""
        flying = self.flight.completions if self.flight else ()
        return [late for queue in (flying, self.completions) for late in queue if late.id == id]

    def take(self) -> Flight:
        """All that waits (of the observations, a group), as one transaction. There is one flight at a time."""
        group = [self.observations.popleft() for _ in range(min(len(self.observations), self.limits.group))]
        flight = Flight(self.waiting, self.waiting_bytes, list(self.completions), group, self.flushed)
        self.waiting, self.waiting_bytes, self.flushed = {}, 0, []
        self.completions.clear()
        self.flight = flight
        return flight

    def landed(self) -> None:
        """The flight has been written."""
        flight, self.flight = self.flight, None
        if flight is not None:
            self.recent.put_all(flight.records, flight.size)

    def returned(self) -> list[Done]:
        """The flight has not been written: all but observations waits again. Returns whom to tell, those queued too."""
        flight, self.flight = self.flight, None
        refused = [*(flight.observations if flight else ()), *self.observations]
        self.observations.clear()
        for write, _ in refused:
            if write.decision is not None:
                self.recent.drop(self._counter(write.observation.id))
        if flight is None:
            return []
        self.waiting = {**flight.records, **self.waiting}
        self.waiting_bytes += flight.size
        self.completions.extendleft(reversed(flight.completions))
        return [done for _, done in refused]

    def not_flushed(self) -> list[Flushed]:
        """Whoever waits for decisions, to be told that they were not written."""
        waiting, self.flushed = self.flushed, []
        if self.flight is not None:
            waiting += self.flight.flushed
        return waiting

    def _counter(self, id: str) -> int:
        """The counter of an id of this boot; -1 for any other id."""
        key = parse_key(id) if id.startswith(self.prefix) else None
        return -1 if key is None else key[2]

    def _drop_oldest(self) -> None:
        """Make room, an eighth at a time. What a queued observation is about stays, to be written with it."""
        needed = {self._counter(write.observation.id) for write, _ in self.observations}
        excess = self.waiting_bytes - self.limits.waiting * 7 // 8
        oldest = []
        for counter, record in self.waiting.items():
            if excess <= 0:
                break
            if counter not in needed:
                oldest.append(counter)
                excess -= len(record)
        for counter in oldest:
            self.waiting_bytes -= len(self.waiting.pop(counter))
        self.dropped += len(oldest)


def _amend(records: dict[int, bytes], counter: int, late: Completion) -> int:
    """Amend a record in its place; by how much it grew."""
    old = records[counter]
    new = records[counter] = _amended(old, late)
    return len(new) - len(old)


def _amended(record: bytes, late: Completion) -> bytes:
    return encode_decision(complete(decode_decision(record), (late,)))
