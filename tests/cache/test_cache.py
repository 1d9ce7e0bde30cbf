"""The cache's budget, order and age."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.cache.cache import Cache
from skysail.testing.clock import ManualClock


def make(budget: int = 10_000, ttl: float | None = None) -> tuple[Cache, ManualClock]:
    """A cache and its clock."""
    clock = ManualClock()
    return Cache(budget, ttl, clock), clock


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=200))
def test_it_stays_within_its_budget_and_answers_rightly(puts: list[tuple[bytes, bytes]]) -> None:
    """Whatever is put, the bytes stay under the budget and a hit is what was last put under that very key."""
    cache, _ = make(3000)
    last: dict[bytes, bytes] = {}
    for key, output in puts:
        cache.put(key, output, 0.0)
        last[key] = output
        assert cache.statistics().bytes <= 3000
    for key, output in last.items():
        assert cache.get(key) in (None, output)


def test_the_least_recently_used_goes_first() -> None:
    """A hit keeps an entry; the one not asked for makes room."""
    cache, _ = make(3 * 250)
    for row in (b"a", b"b", b"c"):
        cache.put(row, b"0", 0.0)
    assert cache.get(b"a") is not None
    cache.put(b"d", b"0", 0.0)
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.statistics().evicted == 1


def test_old_outputs_are_not_served() -> None:
    """With a time to live an output is served until then and no longer."""
    cache, clock = make(ttl=10.0)
    cache.put(b"row", b"1", clock.monotonic())
    clock.advance(9.0)
    assert cache.get(b"row") is not None
    clock.advance(2.0)
    assert cache.get(b"row") is None
    assert cache.statistics().expired == 1
    assert cache.statistics().bytes == 0


def test_an_entry_larger_than_the_budget_is_not_kept() -> None:
    """One giant does not empty the cache."""
    cache, _ = make(1000)
    cache.put(b"small", b"1", 0.0)
    cache.put(b"x" * 2000, b"1", 0.0)
    assert cache.get(b"small") is not None
