"""Counters that outlive the frontends that counted."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skysail.monitoring.totals import Totals


def snapshot(run: str, answers: int, *apps: str) -> dict[str, Any]:
    """What a run says, that counted so much for each of some applications."""
    return {"run": run, "apps": {app: {"answers": answers} for app in apps or ("a",)}, "models": {}, "n": answers}


def total(totals: Totals, *snapshots: dict[str, Any]) -> Any:
    """The sum for one application."""
    return totals.add(snapshots)["apps"]["a"]["answers"]


def test_a_restart_takes_nothing_away() -> None:
    """What a frontend had counted when it was last asked stays counted; the others' counts are as they are."""
    totals = Totals()
    one = snapshot("00-000001-", 10)
    assert total(totals, one, snapshot("01-000001-", 100)) == 110
    assert total(totals, one) == 110
    assert total(totals, one, snapshot("01-000002-", 3)) == 113
    assert total(totals, one, snapshot("01-000003-", 4)) == 117
    assert total(totals, snapshot("00-000001-", 12), snapshot("01-000003-", 5)) == 120


def test_without_a_frontend_nothing_is_said() -> None:
    """What cannot be read is missing, not zero, and is there again afterwards."""
    totals = Totals()
    assert totals.add([]) == {}
    assert total(totals, snapshot("00-000001-", 10)) == 10
    assert totals.add([]) == {}
    assert total(totals, snapshot("00-000002-", 1)) == 11


def test_what_is_gone_is_not_counted_for_ever() -> None:
    """An application that was removed is gone from the sum, though a frontend that is gone had counted it."""
    totals = Totals()
    totals.add([snapshot("00-000001-", 10, "a", "b")])
    assert set(totals.add([snapshot("00-000002-", 1, "a")])["apps"]) == {"a"}


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["count", "restart", "silent"])), max_size=60))
def test_the_sum_never_falls_while_somebody_answers(steps: list[tuple[int, str]]) -> None:
    """Whatever restarts or does not answer, a counter is what was counted in all, as far as it was seen."""
    totals = Totals()
    runs, counts, seen = [1, 1, 1], [0, 0, 0], 0
    before = 0
    for n, step in steps:
        if step == "count":
            counts[n] += 1
            seen += 1
        elif step == "restart":
            runs[n], counts[n] = runs[n] + 1, 0
        silent = n if step == "silent" else None
        now = total(totals, *[snapshot(f"{i:02x}-{runs[i]:06x}-", counts[i]) for i in range(3) if i != silent])
        assert now >= before
        assert now == seen
        before = now
