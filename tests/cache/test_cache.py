"""The cache's budget, order and age."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.cache.cache import Cache
from skysail.testing.clock import ManualClock
from skysail.types import Output


def make(budget: int = 10_000, ttl: float | None = None) -> tuple[Cache, ManualClock]:
    """A cache and its clock."""
    clock = ManualClock()
    return Cache(budget, ttl, clock), clock


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300), st.binary(max_size=300)), max_size=200))
def test_it_stays_within_its_budget_and_answers_rightly(puts: list[tuple[int, bytes, bytes]]) -> None:
    """Whatever is put, the bytes stay under the budget and a hit is what was last put under that very key."""
    cache, _ = make(3000)
    last: dict[tuple[int, bytes], bytes] = {}
    for number, row, raw in puts:
        cache.put((number, row), Output(raw), 0.0)
        last[number, row] = raw
        assert cache.statistics().bytes <= 3000
    for key, raw in last.items():
        hit = cache.get(key)
        assert hit is None or hit.raw == raw


def test_the_same_row_of_two_versions_is_two_entries() -> None:
    """A key holds the version: one model's answer is never another's."""
    cache, _ = make()
    cache.put((1, b"row"), Output(b"1"), 0.0)
    cache.put((2, b"row"), Output(b"2"), 0.0)
    assert cache.get((1, b"row")) == Output(b"1")
    assert cache.get((2, b"row")) == Output(b"2")


def test_the_least_recently_used_goes_first() -> None:
    """A hit keeps an entry; the one not asked for makes room."""
    cache, _ = make(3 * 400)
    for row in (b"a", b"b", b"c"):
        cache.put((1, row), Output(b"0"), 0.0)
    assert cache.get((1, b"a")) is not None
    cache.put((1, b"d"), Output(b"0"), 0.0)
    assert cache.get((1, b"b")) is None
    assert cache.get((1, b"a")) is not None
    assert cache.statistics().evicted == 1


def test_old_outputs_are_not_served() -> None:
    """With a time to live an output is served until then and no longer."""
    cache, clock = make(ttl=10.0)
    cache.put((1, b"row"), Output(b"1"), clock.monotonic())
    clock.advance(9.0)
    assert cache.get((1, b"row")) is not None
    clock.advance(2.0)
    assert cache.get((1, b"row")) is None
    assert cache.statistics().expired == 1
    assert cache.statistics().bytes == 0


def test_an_entry_larger_than_the_budget_is_not_kept() -> None:
    """One giant does not empty the cache."""
    cache, _ = make(1000)
    cache.put((1, b"small"), Output(b"1"), 0.0)
    cache.put((1, b"x" * 2000), Output(b"1"), 0.0)
    assert cache.get((1, b"small")) is not None
