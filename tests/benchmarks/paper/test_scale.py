from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("name", ["thompson", "adahedge"])
def test_costs_in_isolation(paper: Any, name: str) -> None:
    """Every cost of a policy with a few models is there and positive."""
    scale = paper("scale")
    costs = scale.isolated(name, 5, scale.Amount(calls=3, repeats=1, learned=10))
    assert set(costs) == {"select", "update", "after feedback"}
    assert all(value > 0 for value in costs.values())


def test_the_goals_tell_good_from_bad(paper: Any) -> None:
    """Both costs count together, at the sizes that have a limit; ensembles are not held to them."""
    of = {size: {"select": 5.0, "update": 11.0, "after feedback": 900.0} for size in (64, 512, 4000)}
    found = paper("scale").goals({"thompson": of, "adahedge": of}, {"thompson": True, "adahedge": False})
    assert [(goal.value, goal.met) for goal in found] == [(16.0, False), (16.0, True), (16.0, True)]
