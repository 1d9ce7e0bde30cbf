"""How the batch size follows the budget."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from skysail.batching.sizing import Aimd


def test_a_full_fast_batch_raises_the_cap() -> None:
    """The cap climbs to the most that is allowed and stays there."""
    sizing = Aimd(64)
    for _ in range(100):
        sizing.observe(sizing.cap, 0.001, 0.010)
    assert sizing.cap == 64


def test_an_under_full_batch_never_lowers_the_cap() -> None:
    """Light load says nothing about a larger batch, and a hiccup in it nothing at all."""
    sizing = Aimd(64)
    for _ in range(60):
        sizing.observe(sizing.cap, 0.001, 0.010)
    before = sizing.cap
    for _ in range(100):
        sizing.observe(1, 0.001, 0.010)
    sizing.observe(1, 0.050, 0.010)
    assert sizing.cap == before


def test_a_slow_first_row_does_not_hold_the_cap_down() -> None:
    """One row alone over the budget, as the first of a cold model is, is no size to be remembered as too much."""
    sizing = Aimd(64)
    sizing.observe(1, 0.050, 0.010)
    for _ in range(60):
        sizing.observe(sizing.cap, 0.001, 0.010)
    assert sizing.cap == 64


@given(st.floats(1e-5, 0.02), st.floats(0.0, 0.005), st.integers(0, 1000))
def test_the_cap_settles_within_the_budget(per_row: float, fixed: float, seed: int) -> None:
    """For a model of any slope the batch settles near the budget, or at one row where even that is too slow."""
    rng = Random(seed)
    budget = 0.010
    sizing = Aimd(4096)
    over = 0
    for i in range(3000):
        rows = sizing.cap
        seconds = (fixed + per_row * rows) * rng.uniform(0.95, 1.05)
        over += i >= 2000 and seconds > budget * 1.1 and rows > 1
        sizing.observe(rows, seconds, budget)
    assert over <= 10  # one try of a larger size in 256 batches, and what noise adds
    best = max(1, int((budget - fixed) / per_row))
    assert min(best // 2, 2000) <= sizing.cap
