from __future__ import annotations

from collections import Counter
from typing import Any

import pytest


def cost(module: Any, amount: Any) -> float:
    """What an amount takes of all systems and models."""
    taken: float = amount.cost(list(module("systems").SYSTEMS.values()), 4, 2)
    return taken


def test_everything_fits_into_the_time(module: Any) -> None:
    """The default is bounded; less time gives up more, and says what; enough time gives up nothing."""
    plan = module("plan")
    before: list[str] = []
    for minutes in (600, 45, 30, 20):
        amount, given_up = plan.fitted(plan.Amount(), 60 * minutes, lambda it: cost(module, it))
        assert cost(module, amount) <= 60 * minutes
        assert len(given_up) >= len(before)
        before = given_up
    assert plan.fitted(plan.Amount(), 60 * 600, lambda it: cost(module, it)) == (plan.Amount(), [])


def test_the_last_thing_given_up_is_a_round(module: Any) -> None:
    """With no time at all there is still one round of something."""
    amount, given_up = module("plan").fitted(module("plan").Amount(), 0.0, lambda it: cost(module, it))
    assert amount.rounds == 1
    assert "rounds = 1" in given_up


def test_in_45_minutes_the_contenders_have_five_rounds(module: Any) -> None:
    """That is what their medians are of, with everything installed."""
    amount, _ = module("plan").fitted(module("plan").Amount(), 45 * 60 * 0.95, lambda it: cost(module, it))
    assert amount.rounds == 5


def test_every_place_in_a_round_is_everybodys(module: Any) -> None:
    """Over as many rounds as there are systems each begins at least once, and each round has all of them."""
    orders = [module("plan").turns("abcd", number) for number in range(4)]
    assert all(sorted(order) == list("abcd") for order in orders)
    assert max(Counter(order[0] for order in orders).values()) <= 2
    assert module("plan").turns("", 3) == []


@pytest.mark.parametrize(("name", "rounds", "overloads"), [("triton", 5, (3, 3)), ("ray", 2, (1, 0))])
def test_the_slow_ones_have_fewer_rounds(module: Any, name: str, rounds: int, overloads: tuple[int, int]) -> None:
    """And are overloaded with one model only."""
    system, amount = module("systems").SYSTEMS[name], module("plan").Amount()
    assert amount.rounds_of(system) == rounds
    assert (amount.overloads_of(system, True), amount.overloads_of(system, False)) == overloads
