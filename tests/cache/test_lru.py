"""The order in which the least recently used go, beyond the laws that all caches obey."""

from __future__ import annotations

from skysail.cache.lru import Lru
from skysail.testing.clock import ManualClock


def test_the_least_recently_used_goes_first() -> None:
    """A hit keeps an entry; the one not asked for makes room."""
    cache = Lru(3 * 250, None, ManualClock())
    for row in (b"a", b"b", b"c"):
        cache.put(row, b"0", 0.0)
    assert cache.get(b"a") is not None
    cache.put(b"d", b"0", 0.0)
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.statistics().evicted == 1


def test_what_is_too_old_gives_its_room_back() -> None:
    """An output that is found to be too old is gone at once."""
    clock = ManualClock()
    cache = Lru(10_000, 10.0, clock)
    cache.put(b"row", b"1", clock.monotonic())
    clock.advance(11.0)
    assert cache.get(b"row") is None
    assert (cache.statistics().entries, cache.statistics().bytes) == (0, 0)
