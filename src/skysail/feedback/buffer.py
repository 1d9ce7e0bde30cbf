"""What waits to be written: the part of the ledger that neither waits nor knows of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from skysail.errors import StoreError
from skysail.feedback.recent import Recent
from skysail.feedback.records import complete, decode_decision, encode_decision
from skysail.stores.base import Block, Completion, ObservationWrite, Seed, Writes
from skysail.stores.blocks import parse_key
from skysail.types import Decision

__all__ = ["RECENT", "Buffer", "Done", "Flight", "LedgerLimits"]

RECENT = 2 << 20
"""Bytes of written decisions that are remembered, unless the limits say otherwise."""

_SLICE = 64
_SLICE_BYTES = 1 << 20

Done = Callable[[bool | StoreError], None]
"""Told, on the event loop, what became of an observation: whether it was the first of its id, or why it is not kept."""


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
    """Observations that may wait, beyond which they are refused; and as many late outputs, and as many seeds."""

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
    seeds: dict[tuple[str, str], Seed]
    observations: list[tuple[ObservationWrite, Done]]

    def writes(self, frontend: int, boot: int, time: float) -> Writes:
        """The transaction."""
        records = dict(sorted(self.records.items()))
        return Writes(
            blocks=[Block(frontend, boot, time, records)] if records else [],
            completions=self.completions,
            seeds=list(self.seeds.values()),
            observations=[write for write, _ in self.observations],
        )


@dataclass(slots=True)
class Buffer:
    """The decisions, late outputs, seeds and observations of one boot that are not in the store yet, and some that are.

    A decision goes from `fresh` (an object, still cheap to amend) to `waiting` (encoded, a slice at a time, so that no
    turn of the event loop has many to encode), into the flight, and is at last remembered in `recent`.
    """

    limits: LedgerLimits
    prefix: str = ""
    fresh: dict[str, Decision] = field(default_factory=dict)
    fresh_bytes: int = 0
    waiting: dict[int, bytes] = field(default_factory=dict)
    waiting_bytes: int = 0
    flight: Flight | None = None
    recent: Recent[int, bytes] = field(init=False)
    completions: deque[Completion] = field(init=False)
    seeds: dict[tuple[str, str], Seed] = field(default_factory=dict)
    observations: deque[tuple[ObservationWrite, Done]] = field(default_factory=deque)
    dropped: int = 0

    def __post_init__(self) -> None:
        self.recent = Recent(self.limits.recent, len)
        self.completions = deque(maxlen=self.limits.observations)

    @property
    def decisions(self) -> int:
        """Decisions that are not in the store yet."""
        return len(self.fresh) + len(self.waiting) + (len(self.flight.records) if self.flight else 0)

    @property
    def empty(self) -> bool:
        """Whether there is nothing that a flight could take."""
        return not (self.fresh or self.waiting or self.completions or self.seeds or self.observations)

    def record(self, decision: Decision) -> None:
        """Keep a decision of this boot."""
        self.fresh[decision.id] = decision
        if decision.input is not None:
            self.fresh_bytes += len(decision.input)
        if len(self.fresh) >= _SLICE or self.fresh_bytes > _SLICE_BYTES:
            self.encode()

    def encode(self) -> None:
        """Encode what is fresh, and drop what is too much."""
        start = len(self.prefix)
        records = list(map(encode_decision, self.fresh.values()))
        self.waiting.update(zip([int(id[start:], 16) for id in self.fresh], records, strict=True))
        self.waiting_bytes += sum(map(len, records))
        self.fresh.clear()
        self.fresh_bytes = 0
        if self.waiting_bytes > self.limits.waiting:
            self._drop_oldest()

    def complete(self, late: Completion) -> None:
        """Amend a decision that is not written yet; else keep the late output, to be written on its own."""
        decision = self.fresh.get(late.id)
        if decision is not None:
            complete(decision, (late,))
            return
        counter = self._counter(late.id)
        if counter in self.waiting:
            self.waiting_bytes += _amend(self.waiting, counter, late)
            return
        self.completions.append(late)
        if self.flight is not None and counter in self.flight.records:
            self.flight.size += _amend(self.flight.records, counter, late)
        elif (record := self.recent.get(counter)) is not None:
            self.recent.put(counter, _amended(record, late))

    def seed(self, seed: Seed) -> None:
        """Keep a new model's row; the first one of a key and model counts, as in the store."""
        if len(self.seeds) < self.limits.observations:
            self.seeds.setdefault((seed.key, seed.model), seed)

    def observe(self, write: ObservationWrite, done: Done) -> None:
        """Queue an observation; a decision that comes with it can be found from now on."""
        self.observations.append((write, done))
        if write.decision is not None:
            self.recent.put(self._counter(write.observation.id), write.decision)

    def find(self, id: str) -> Decision | None:
        """A decision of this boot that is in memory."""
        decision = self.fresh.get(id)
        if decision is not None:
            return decision
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
        self.encode()
        group = [self.observations.popleft() for _ in range(min(len(self.observations), self.limits.group))]
        flight = Flight(self.waiting, self.waiting_bytes, list(self.completions), self.seeds, group)
        self.waiting, self.waiting_bytes, self.seeds = {}, 0, {}
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
        self.seeds = {**self.seeds, **flight.seeds}
        self.completions.extendleft(reversed(flight.completions))
        return [done for _, done in refused]

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
