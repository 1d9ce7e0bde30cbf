"""The store in memory, beyond the laws that all stores obey."""

from __future__ import annotations

from skysail.stores.base import Add, Block, ObservationWrite, Writes
from skysail.stores.memory import MemoryStore
from skysail.types import Observation, State


def test_lives_as_long_as_the_object() -> None:
    """Closing and opening keep the data; another object has none of it."""
    store = MemoryStore()
    store.open()
    add = Add("k", State(1.0), 1.0)
    store.write(Writes(observations=[ObservationWrite(Observation("00-000001-00000001", b"1", None, 0.0), (add,))]))
    store.close()
    store.open()
    assert store.get("k") == State(1.0)
    assert MemoryStore().get("k") is None


def test_pruning_gives_the_memory_back() -> None:
    """Once everything is pruned, nothing of the blocks is left but the states."""
    store = MemoryStore()
    for n in range(100):
        id = f"00-{n:06x}-00000000"
        store.write(Writes([Block(0, n, 1.0, {0: b"x" * 50})], observations=[_plain(id)]))
    while store.prune(2.0, 1 << 30):
        pass
    assert not any((store._blocks, store._oldest, store._size, store._observations, store._completions))


def _plain(id: str) -> ObservationWrite:
    return ObservationWrite(Observation(id, b"1", None, 0.0), ())
