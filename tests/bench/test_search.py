from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.bench.search import Search


def find(search: Search, limit: float) -> list[float]:
    """The rates that are tried where all up to a limit are kept."""
    tried = []
    while (rate := search.rate) is not None:
        tried.append(rate)
        search.told(rate, kept=rate <= limit)
    return tried


@given(first=st.floats(1, 1e5), factor=st.floats(0.15, 4))
def test_the_limit_is_found(first: float, factor: float) -> None:
    """Wherever the limit lies near the first rate, what is kept is below it, and by five percent at most."""
    limit = max(1.0, first * factor)
    search = Search(first, trials=30)
    tried = find(search, limit)
    assert search.kept <= limit <= search.kept * 1.05 * 1.0001
    assert len(tried) <= 15
    assert search.kept in tried


def test_a_server_that_keeps_nothing() -> None:
    """The search ends at one query a second, and nothing is kept."""
    search = Search(1000, trials=50)
    tried = find(search, 0)
    assert tried[-1] == 1.0
    assert search.kept == 0
    assert search.rate is None


def test_the_search_has_an_end() -> None:
    """Where nothing is ever missed, it stops after as many trials as it was given."""
    assert len(find(Search(10, trials=5), float("inf"))) == 5
