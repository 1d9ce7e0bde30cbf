from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def delayed(paper: Any) -> Any:
    """The module."""
    return paper("delayed")


def test_a_gain_is_of_the_models_own_time(delayed: Any) -> None:
    """With a fixed cost it must be there, without it must not; and for clients in convoys it is of answers."""

    def run(model: str, hold: str, rate: float, call: float) -> Any:
        return delayed.Run(model=model, hold=hold, rate=rate, call=call, batch=1.0, p50=0.0, p99=0.0, held=0)

    runs = [run("fixed", "never", 2000.0, 3000.0), run("fixed", "2 ms", 2000.0, 9000.0)]
    runs += [run("byrow", "never", 2000.0, 10_000.0), run("byrow", "2 ms", 2000.0, 12_000.0)]
    convoys = [run("slow", "never", 7000.0, 1.0), run("slow", "learned", 9800.0, 1.0)]
    assert [(goal.value, goal.met) for goal in delayed.goals(runs, convoys)] == [
        (3.0, True),
        (pytest.approx(1.2), False),
        (pytest.approx(1.4), True),
    ]
