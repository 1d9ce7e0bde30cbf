"""What all caches share: they count, and tell what they counted."""

from __future__ import annotations

import pytest

from skysail.cache.cache import Cache, CacheStatistics
from skysail.cache.lru import Lru
from skysail.testing.clock import ManualClock


def test_it_tells_what_it_holds_and_did() -> None:
    """A snapshot has the entries, their bytes, the budget, and what became of lookups and outputs."""
    clock = ManualClock()
    cache = Lru(1000, 10.0, clock)
    for row in (b"a", b"b", b"c", b"d", b"e"):
        cache.put(row, b"1", clock.monotonic())
    cache.get(b"e")
    cache.get(b"unknown")
    clock.advance(11.0)
    cache.get(b"d")
    seen = cache.statistics()
    assert seen == CacheStatistics(
        entries=seen.entries, bytes=seen.bytes, budget=1000, hits=1, misses=2, evicted=5 - 1 - seen.entries, expired=1
    )
    assert 0 < seen.bytes <= 1000
    assert seen.entries > 0


@pytest.mark.parametrize("act", [lambda c: c.get(b""), lambda c: c.put(b"", b"", 0.0), lambda c: c.statistics()])
def test_the_interface_alone_is_no_cache(act: object) -> None:
    """What keeps outputs is for an implementation to say."""
    assert callable(act)
    with pytest.raises(NotImplementedError):
        act(Cache(1000, None, ManualClock()))
