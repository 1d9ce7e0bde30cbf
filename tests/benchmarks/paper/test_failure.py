from __future__ import annotations

import tomllib
from typing import Any

import pytest


@pytest.fixture
def failure(paper: Any) -> Any:
    """The module."""
    return paper("failure")


def test_when_a_model_has_regained_its_weight(failure: Any) -> None:
    """Over half of what it had on average before it broke, counted from the end of the break; else never."""
    weights = {0: 0.2, 80: 0.8, 100: 0.0, 200: 0.1, 250: 0.39, 300: 0.41}
    assert failure.regained(failure.Run(weights=weights), (100, 200)) == 100.0
    assert failure.regained(failure.Run(weights={**weights, 300: 0.0}), (100, 200)) == float("inf")


def stream(failure: Any, parts: tuple[float, ...]) -> Any:
    """A run whose error is so much in each eighth of it."""
    wrong = [place < 1000 * part for part in parts for place in range(1000)]
    return failure.Run(wrong=wrong, weights={1000: 1.0, 1900: 1.0, 4000: 0.0, 4500: 1.0})


def test_the_goals_tell_good_from_bad(failure: Any) -> None:
    """Policies that fail and recover meet them; one that never notices, or loses more than it may, does not."""
    good = stream(failure, (0.1, 0.1, 0.3, 0.17, 0.12, 0.1, 0.1, 0.1))
    never = stream(failure, (0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1))
    better = stream(failure, (0.09, 0.09, 0.2, 0.17, 0.1, 0.09, 0.09, 0.09))
    runs = {"exp3": [good], "exp4": [good], "adahedge": [better], "thompson": [good], "exp3ix": [good]}
    assert all(goal.met for goal in failure.goals(runs, (2000, 4000)))
    missed = [goal.what for goal in failure.goals(runs | {"exp4": [never], "thompson": [never]}, (2000, 4000))
              if not goal.met]  # fmt: skip
    assert len(missed) == 2
    assert missed[0].startswith("Exp4 turns to the second best")
    assert missed[1].startswith("thompson's loss over Exp3's")


def test_the_applications_are_those_of_the_config(failure: Any) -> None:
    """Each policy has as many as it has seeds; all are in the file, with their models and `cache = false`."""
    amount = failure.Amount(seeds=dict.fromkeys(failure.POLICIES, 2), short=3, prompt=1)
    tables = tomllib.loads(failure._config(amount)[0])
    assert len(tables["apps"]) == 2 * len(failure.POLICIES) + 3 + 2
    assert tables["apps"]["exp3-1"]["policy"] == {"name": "exp3", "eta": 0.05}
    assert tables["apps"]["curve-2"]["models"] == ["m0", "m1", "m2", "m3", "m4short"]
    assert all(app["cache"] is False and set(app["models"]) <= set(tables["models"]) for app in tables["apps"].values())
