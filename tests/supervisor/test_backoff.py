from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.supervisor.backoff import Backoff


@given(st.lists(st.floats(0, 9.99), max_size=20))
def test_pauses_double_up_to_the_limit(runs: list[float]) -> None:
    """However short the runs, each pause is twice the last, from the first to the limit."""
    backoff = Backoff(first=0.1, limit=5.0, good=10.0)
    pauses = [backoff.pause(ran) for ran in runs]
    assert pauses == [min(0.1 * 2**i, 5.0) for i in range(len(runs))]


def test_a_good_run_starts_over() -> None:
    """A child that ran long enough is started again at once, almost, and its next failures double from there."""
    backoff = Backoff()
    for _ in range(9):
        backoff.pause(0.0)
    assert [backoff.pause(10.0), backoff.pause(1.0)] == [0.1, 0.2]
