from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def ensembles(paper: Any) -> Any:
    """The module."""
    return paper("ensembles")


def test_errors_are_pooled_over_splits(ensembles: Any) -> None:
    """The best single model is the one with the fewest errors over all splits, and policies are compared with it
    split by split.
    """
    splits = [
        ensembles.Split(name="0", labels=[1, 1, 1], said={"a": [1, 1, 2], "b": [1, 1, 1]}),
        ensembles.Split(name="1", labels=[1, 1, 1], said={"a": [1, 1, 1], "b": [2, 2, 1]}),
    ]
    data = ensembles.pooled(splits, {"vote": [0, 0], "adahedge": [2, 0]})
    assert data.rows == 6
    assert data.single == {"a": 1, "b": 2}
    assert data.best == "a"
    assert data.ensemble == {"vote": 0, "adahedge": 2}
    assert data.better == {"vote": (1, 0), "adahedge": (0, 1)}


def test_the_goal_is_held_by_the_best_ensemble_of_all_data(ensembles: Any) -> None:
    """Errors of the best policy are compared with those of each data set's own best model; the policy is named."""
    digits = ensembles.Pooled(rows=100, single={"a": 10, "b": 20}, better=dict.fromkeys(ensembles.POLICIES, (1, 0)),
                              ensemble=dict.fromkeys(ensembles.POLICIES, 12) | {"vote": 8})  # fmt: skip
    cancer = ensembles.Pooled(rows=100, single={"a": 20, "b": 10}, better=dict.fromkeys(ensembles.POLICIES, (1, 0)),
                              ensemble=dict.fromkeys(ensembles.POLICIES, 9) | {"vote": 10})  # fmt: skip
    result = ensembles._result({"digits": digits, "cancer": cancer}, 20)
    [goal] = result.goals
    assert goal.value == pytest.approx(18 / 20)
    assert goal.met
    assert "vote" in goal.what
    assert "20 splits" in result.method


@pytest.mark.slow
def test_a_small_run(ensembles: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One split of the smaller data set, through the server: every row has an answer, and the table has every name."""
    monkeypatch.setattr(ensembles, "DATA", ["cancer"])
    monkeypatch.setattr(ensembles, "_QUICK_SPLITS", 1)
    result = ensembles._run(True)
    assert result.data["cancer"]["rows"] == 285
    assert 0 < result.data["cancer"]["ensemble"]["vote"] < 29
    assert all(name in str(result) for name in (*ensembles.FIVE, *ensembles.POLICIES))
