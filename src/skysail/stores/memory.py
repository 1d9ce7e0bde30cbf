"""A store in memory: the semantics of the one on disk, for tests and for servers that may forget all when they stop."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from itertools import count
from threading import Lock
from typing import ClassVar, NamedTuple

from skysail.stores.base import Completion, Store, Writes, Written
from skysail.stores.blocks import SPAN, Packed, cut, members, pack, parse_key, require_key
from skysail.stores.changes import changed
from skysail.types import Observation, State

__all__ = ["MemoryStore"]

_PRUNED_AT_ONCE = 32

_Key = tuple[int, int, int]


class _Held(NamedTuple):
    """A blob in memory; sorts by its first counter, then by age."""

    first: int
    serial: int
    frontend: int
    boot: int
    time: float
    packed: Packed


class MemoryStore(Store):
    """Keeps everything in this process; `prune` bounds it.

    Use it where losing the record of decisions and what was learned is fine. One process only: several frontends with a
    memory store each learn apart.
    """

    durable: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = Lock()
        self._serial = count()
        self._oldest: deque[_Held] = deque()
        self._blocks: dict[tuple[int, int], list[_Held]] = {}
        self._size = 0
        self._observations: dict[_Key, Observation] = {}
        self._completions: dict[_Key, dict[int, Completion]] = {}
        self._states: dict[str, State] = {}
        self._documents: dict[str, bytes] = {}
        self._boots: dict[int, int] = {}

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: the data lives as long as the object."""

    def next_boot(self, frontend: int) -> int:
        """A number greater than any this frontend was given before."""
        with self._lock:
            boot = self._boots[frontend] = self._boots.get(frontend, 0) + 1
            return boot

    def get(self, key: str) -> State | None:
        """The state under a key."""
        return self._states.get(key)

    def scan(self, prefix: str) -> list[str]:
        """The keys that begin so, in order."""
        with self._lock:
            return sorted(key for key in self._states if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Forget one state."""
        with self._lock:
            self._states.pop(key, None)

    def write(self, writes: Writes) -> Written:
        """One transaction: everything that may fail comes before the first change."""
        with self._lock:
            completions = [(require_key(completion.id), completion) for completion in writes.completions]
            first: dict[_Key, int] = {}
            for place, write in enumerate(writes.observations):
                key = require_key(write.observation.id)
                if key not in self._observations:
                    first.setdefault(key, place)
            kept = {place: writes.observations[place] for place in first.values()}
            adds = [add for write in kept.values() for add in write.adds]
            blobs = [(b.frontend, b.boot, b.time, packed) for b in writes.blocks for packed in pack(b.records)]
            for (frontend, boot, counter), place in first.items():
                write = kept[place]
                if write.decision is not None:
                    packed = pack({counter: write.decision})[0]
                    blobs.append((frontend, boot, write.observation.time, packed))
            states = changed(self._states, adds)

            self._states.update(states)
            for key, place in first.items():
                self._observations[key] = kept[place].observation
            for key, completion in completions:
                self._completions.setdefault(key, {}).setdefault(completion.model, completion)
            for frontend, boot, time, packed in blobs:
                self._hold(_Held(packed.first, next(self._serial), frontend, boot, time, packed))
            return Written([place in kept for place in range(len(writes.observations))], states)

    def find(self, id: str) -> bytes | None:
        """The encoded decision of an id, or `None`."""
        key = parse_key(id)
        if key is None:
            return None
        with self._lock:
            for held in self._candidates(*key):
                record = cut(held.packed.data, key[2] - held.first)
                if record is not None:
                    return record
        return None

    def completions(self, id: str) -> list[Completion]:
        """The outputs that came after the decision was written."""
        key = parse_key(id)
        return [] if key is None else list(self._completions.get(key, {}).values())

    def observation(self, id: str) -> Observation | None:
        """What was observed of a decision, or `None`."""
        key = parse_key(id)
        return None if key is None else self._observations.get(key)

    def prune(self, before: float, max_bytes: int) -> int:
        """Delete the oldest blocks; the size is that of the blobs."""
        with self._lock:
            deleted = 0
            while self._oldest and deleted < _PRUNED_AT_ONCE:
                held = self._oldest[0]
                if held.time >= before and self._size <= max_bytes:
                    break
                self._drop(self._oldest.popleft())
                deleted += 1
            return deleted

    def get_document(self, name: str) -> bytes | None:
        """A small document by name, or `None`."""
        return self._documents.get(name)

    def put_document(self, name: str, data: bytes) -> None:
        """Keep a document."""
        with self._lock:
            self._documents[name] = data

    def _candidates(self, frontend: int, boot: int, counter: int) -> Iterator[_Held]:
        """The blobs whose range holds a counter, the nearest first."""
        blocks = self._blocks.get((frontend, boot), [])
        for i in range(bisect_right(blocks, counter, key=_first) - 1, -1, -1):
            if blocks[i].first <= counter - SPAN:
                return
            if blocks[i].packed.last >= counter:
                yield blocks[i]

    def _hold(self, held: _Held) -> None:
        self._oldest.append(held)
        insort(self._blocks.setdefault((held.frontend, held.boot), []), held)
        self._size += len(held.packed.data)

    def _drop(self, held: _Held) -> None:
        """Forget a blob, and what belongs to the decisions in it."""
        key = (held.frontend, held.boot)
        self._blocks[key].remove(held)
        if not self._blocks[key]:
            del self._blocks[key]
        self._size -= len(held.packed.data)
        for counter in members(*held.packed):
            self._observations.pop((*key, counter), None)
            self._completions.pop((*key, counter), None)


def _first(held: _Held) -> int:
    return held.first
