"""A bounded memory of what was used lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.feedback.recent import Recent


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans())))
def test_keeps_the_last_half_and_no_more_than_the_limit(uses: list[tuple[int, bool]]) -> None:
    """The entries used last are there, at least half the limit of them, and never more than the limit."""
    recent: Recent[int, str] = Recent(10)
    order: list[int] = []
    for key, write in uses:
        if write:
            recent.put(key, str(key))
        found = recent.get(key)
        assert found in (None, str(key))
        if found is not None:
            order = [k for k in order if k != key] + [key]
        assert len(recent) <= 10
        assert all(recent._young.get(k) or recent._old.get(k) for k in order[-4:])


def test_forgets_everything_when_told_to() -> None:
    """Nothing of either generation is left, and there is room for as much as at first."""
    recent: Recent[int, str] = Recent(10)
    for key in range(8):
        recent.put(key, str(key))
    recent.clear()
    assert (len(recent), recent.get(7)) == (0, None)
    for key in range(5):
        recent.put(key, str(key))
    assert len(recent) == 5


def test_weighs_what_it_is_told_to() -> None:
    """Entries may be weighed, and added many at a time."""
    recent: Recent[int, bytes] = Recent(100, len)
    recent.put_all({n: bytes(10) for n in range(4)}, 40)
    recent.put(4, bytes(10))
    assert len(recent) == 5
    recent.put(5, bytes(50))
    assert [n for n in range(6) if recent.get(n)] == [5]


def test_forgets_when_told_to() -> None:
    """A dropped entry is gone from both generations."""
    recent: Recent[str, int] = Recent(4)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.put("a", 3)
    recent.drop("a")
    recent.drop("never there")
    assert (recent.get("a"), recent.get("b")) == (None, 2)
