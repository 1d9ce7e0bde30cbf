"""Stores: where what must survive is kept. Blocking and atomic; the asynchronous part is `skysail.feedback.ledger`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from skysail.types import Observation, State

__all__ = ["Add", "Block", "Completion", "Enter", "ObservationWrite", "Store", "Writes", "Written"]


@dataclass(frozen=True, slots=True)
class Block:
    """Encoded decisions of one frontend's boot, by the counters in their ids; written as one blob.

    `first` is the least counter; `records` maps a counter to its encoded decision, in ascending order.
    """

    frontend: int
    boot: int
    time: float
    """When it was written, in wall-clock seconds: its age decides when it is pruned."""
    records: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Completion:
    """An output that came after its decision had been written."""

    id: str
    model: int
    """The model's place in `Decision.asked`."""
    output: bytes | None
    failure: str | None
    latency: float


Enter = Callable[[State | None], State]
"""What a state is added to, made of what the store has under the key: the same, or with rows for models that are new.
Pure, and called in the writer's thread."""


def _as_it_is(state: State | None) -> State:
    return State() if state is None else state


@dataclass(frozen=True, slots=True)
class Add:
    """One addition: state[key] ← enter(state[key]) · keep + delta. A key is any text without NUL.

    Whoever adds needs not know the state: it is read, entered and added to in the transaction itself.
    """

    key: str
    delta: State
    keep: float
    enter: Enter = _as_it_is


@dataclass(frozen=True, slots=True)
class ObservationWrite:
    """An observation with the additions it causes: all of them, or, where the id has been observed before, none."""

    observation: Observation
    adds: tuple[Add, ...]
    decision: bytes | None = None
    """The encoded decision, where it is not in any block (feedback by an input that was never queried)."""


@dataclass(slots=True)
class Writes:
    """What one transaction writes: everything, or nothing."""

    blocks: list[Block] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    observations: list[ObservationWrite] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction made."""

    first: list[bool]
    """For each of its observations, whether it was the first of its id."""
    states: dict[str, State]
    """The states it added to, by key, as they are in the store from now on."""


class Store(ABC):
    """The durable memory of one server.

    Reads may be made from the event loop (they are by primary key and take microseconds); `write` blocks until the data
    is on the disk and is called from the ledger's own thread. Every method may be called from any thread, and raises
    `StoreError` when the medium fails.
    """

    durable: ClassVar[bool] = True
    """Whether what was written outlives the process."""

    @abstractmethod
    def open(self) -> None:
        """Open or create; checks the format's version. Harmless when open already."""

    @abstractmethod
    def close(self) -> None:
        """Close; harmless when closed already."""

    @abstractmethod
    def next_boot(self, frontend: int) -> int:
        """A number greater than any this frontend was given before."""

    @abstractmethod
    def get(self, key: str) -> State | None:
        """The state under a key, as of the last `write`; `None` if nothing was ever added."""

    @abstractmethod
    def scan(self, prefix: str) -> list[str]:
        """The keys that begin so, in order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forget one state; harmless where there is none."""

    @abstractmethod
    def write(self, writes: Writes) -> Written:
        """One transaction.

        An id observed before (in the store, or earlier in the same `writes`) changes nothing. Additions are made in
        the order of the observations.
        """

    @abstractmethod
    def find(self, id: str) -> bytes | None:
        """The encoded decision of an id, or `None`. Completions are separate: see `completions`."""

    @abstractmethod
    def completions(self, id: str) -> list[Completion]:
        """The outputs that came after the decision was written, in the order they came."""

    @abstractmethod
    def observation(self, id: str) -> Observation | None:
        """What was observed of a decision, or `None`."""

    @abstractmethod
    def prune(self, before: float, max_bytes: int) -> int:
        """Delete the oldest blocks with what belongs to them: those from before a wall-clock time, and over a size.

        One call does a bounded amount of work and says how many blocks it deleted; call again until that is 0.
        """

    @abstractmethod
    def get_document(self, name: str) -> bytes | None:
        """A small document by name (the registry keeps itself so), or `None`."""

    @abstractmethod
    def put_document(self, name: str, data: bytes) -> None:
        """Write a document durably before returning."""
