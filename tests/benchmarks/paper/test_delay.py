from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def delay(paper: Any) -> Any:
    """The module."""
    return paper("delay")


def test_labels_are_lost_late_and_doubled_as_stated(delay: Any) -> None:
    """30 % never, 5 % of the others a second time later; the same ones are lost whether or not any come twice."""
    sent = [delay.arrivals(1, t, 100, twice=True) for t in range(4000)]
    assert sum(not at for at in sent) / 4000 == pytest.approx(0.3, abs=0.03)
    assert sum(len(at) == 2 for at in sent) / sum(bool(at) for at in sent) == pytest.approx(0.05, abs=0.015)
    assert all(at[0] == t + 100 and all(second > at[0] for second in at[1:]) for t, at in enumerate(sent) if at)
    assert [at[:1] for at in sent] == [delay.arrivals(1, t, 100, twice=False) for t in range(4000)]


def test_the_goals_tell_good_from_bad(delay: Any) -> None:
    """A delay may cost what a uniform draw loses in so long, and a tenth more; a duplicate may change nothing."""

    def run(loss: float, **changes: Any) -> Any:
        told = {"sent": 21, "accepted": 20, "duplicates": 1} | changes
        return delay.Run(losses=[loss / 10] * 10, outputs=[1] * 10, weights={"m0": 1.0}, **told)

    runs = {f"{policy}-{late}": [run(100.0)] for policy in ("adahedge", "thompson") for late in (0, 1000)}
    runs["once"] = [run(100.0, sent=20, duplicates=0)]
    assert all(goal.met for goal in delay.goals(runs, (0, 1000)))
    worse = runs | {"thompson-1000": [run(100.0 + 1.2 * 1000 * delay.GAP)], "adahedge-0": [run(100.0, duplicates=0)]}
    worse["once"][0].outputs[3] = 2
    missed = [goal.what for goal in delay.goals(worse, (0, 1000)) if not goal.met]
    assert [what.split(",")[0] for what in missed] == [
        "thompson",
        "answers that duplicates changed",
        "share of duplicates that were told",
    ]


@pytest.mark.slow
def test_a_small_run_through_the_server(delay: Any, paper: Any) -> None:
    """The server starts, learns over HTTP from what arrives, tells duplicates, and they change nothing."""
    result = delay.run(delay.Amount(queries=400, delays=(0, 100), seeds=1))
    told = {goal.what: goal for goal in result.goals}
    assert told["answers that duplicates changed"].met
    assert told["share of duplicates that were told"].met
    assert len(result.data["losses"]) == 5
    assert len(result.data["excess"]["once"]) == 200
    result.plot(paper("harness").Canvas())
