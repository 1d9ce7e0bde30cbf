"""How the batch size follows the budget."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.batching.estimator import Estimator
from skysail.batching.sizing import SIZINGS, Aimd, Quantile, Sizing

BUDGET = 0.010


class Trace:
    """What a sizing made of a model's batches, one after the other."""

    def __init__(self, sizing: Sizing, budget: float = BUDGET) -> None:
        self.sizing = sizing
        self.budget = budget
        self.estimator = Estimator()
        self.now = 0.0
        self.caps: list[int] = []
        self.seconds: list[float] = []

    def run(self, batches: int, seconds: Callable[[int], float], waiting: int = 1 << 20) -> Trace:
        """So many batches, as large as the cap and what waits allow, that take so long."""
        for _ in range(batches):
            rows = min(self.sizing.cap, waiting)
            took = seconds(rows)
            self.now += took + 0.0002
            self.estimator.add(rows, took, self.now)
            self.sizing.observe(rows, took, self.budget, self.estimator)
            self.caps.append(self.sizing.cap)
            self.seconds.append(took)
        return self

    def p99(self, last: int) -> float:
        """The p99 of the last batches."""
        return sorted(self.seconds[-last:])[last * 99 // 100]


def noisy(fixed: float, per_row: float, seed: int = 1, sigma: float = 0.05) -> Callable[[int], float]:
    """A model whose batches take a line, times noise."""
    rng = Random(seed)
    return lambda rows: (fixed + per_row * rows) * rng.lognormvariate(0.0, sigma)


BOTH = pytest.mark.parametrize("kind", SIZINGS.values(), ids=SIZINGS)


@BOTH
def test_a_full_fast_batch_raises_the_cap(kind: type[Aimd]) -> None:
    """The cap climbs to the most that is allowed and stays there."""
    assert Trace(kind(64)).run(100, noisy(0.001, 0.0)).caps[-50:] == [64] * 50


@BOTH
def test_an_under_full_batch_never_lowers_the_cap(kind: type[Aimd]) -> None:
    """Light load says nothing about a larger batch, and a hiccup in it nothing at all."""
    trace = Trace(kind(64)).run(60, noisy(0.001, 1e-5))
    trace.run(100, noisy(0.001, 1e-5), waiting=1).run(1, lambda rows: 0.05, waiting=1)
    assert trace.caps[-1] == 64


@BOTH
def test_a_slow_first_row_does_not_hold_the_cap_down(kind: type[Aimd]) -> None:
    """One row alone over the budget, as the first of a cold model is, is no size to be remembered as too much."""
    trace = Trace(kind(64)).run(1, lambda rows: 0.05).run(60, noisy(0.001, 1e-5))
    assert trace.caps[-1] == 64


@BOTH
@given(per_row=st.floats(1e-5, 0.02), fixed=st.floats(0.0, 0.005), seed=st.integers(0, 1000))
def test_the_cap_settles_within_the_budget(kind: type[Aimd], per_row: float, fixed: float, seed: int) -> None:
    """For a model of any slope the batch settles near the budget, or at one row where even that is too slow."""
    rng = Random(seed)
    trace = Trace(kind(4096)).run(3000, lambda rows: (fixed + per_row * rows) * rng.uniform(0.95, 1.05))
    pairs = zip(trace.caps[1999:], trace.seconds[2000:], strict=False)
    over = sum(seconds > BUDGET * 1.1 and cap > 1 for cap, seconds in pairs)
    assert over <= 10  # one try of a larger size in 256 batches, and what noise adds
    best = max(1, int((BUDGET - fixed) / per_row))
    assert min(best // 2, 2000) <= trace.caps[-1]


# -- the quantile


@given(fixed=st.floats(1e-4, 6e-3), per_row=st.floats(1e-5, 2e-3), seed=st.integers(0, 1000))
def test_the_p99_is_within_the_budget(fixed: float, per_row: float, seed: int) -> None:
    """Whatever the line, 99 of 100 batches take no longer than the budget, as long as one of a single row does."""
    trace = Trace(Quantile(4096)).run(3000, noisy(fixed, per_row, seed))
    assert trace.p99(2000) <= max(1.03 * BUDGET, 1.2 * (fixed + per_row))


@given(st.floats(1e-4, 3e-3), st.floats(1e-5, 1e-3), st.integers(0, 1000))
def test_the_cap_is_found_within_a_dozen_batches_and_stays(fixed: float, per_row: float, seed: int) -> None:
    """It at most doubles from one full batch to the next, gets there soon, and does not oscillate."""
    trace = Trace(Quantile(4096)).run(2000, noisy(fixed, per_row, seed))
    assert all(after <= 2 * before + 1 for before, after in pairwise(trace.caps))
    settled = sorted(trace.caps[-1000:])
    low, middle, high = settled[50], settled[500], settled[950]
    assert trace.caps[20] >= 0.7 * min(middle, 1024) - 1
    assert high - low <= 0.3 * middle + 2


def test_it_makes_more_of_the_budget_than_trying_does() -> None:
    """For a model of little fixed cost both get what there is; the quantile is there first."""
    rows = {}
    for name, kind in SIZINGS.items():
        trace = Trace(kind(4096)).run(200, noisy(5e-4, 2e-5))
        rows[name] = sum(trace.caps) / sum(trace.seconds)
    assert rows["quantile"] > rows["aimd"]


def test_a_slow_model_gets_what_fits_and_no_row_more() -> None:
    """At 5 ms a row and a budget of 9, two rows are too much: they are tried no more than once in 256 batches."""
    trace = Trace(Quantile(4096), budget=0.009).run(2000, noisy(2e-4, 5e-3))
    assert trace.p99(2000) < 0.009
    assert sum(cap > 1 for cap in trace.caps) <= 12
    assert set(Trace(Quantile(4096), budget=0.024).run(500, noisy(2e-4, 5e-3)).caps[-200:]) <= {3, 4}


def test_one_hiccup_is_forgotten() -> None:
    """While the cap grows it costs eight batches; later a tenth of the cap for one batch."""
    model = noisy(5e-4, 1e-5)
    trace = Trace(Quantile(4096)).run(6, model).run(1, lambda rows: 0.5).run(20, model)
    assert trace.caps[-1] > 500
    trace.run(500, model)
    before = trace.caps[-1]
    trace.run(1, lambda rows: 0.5).run(2, model)
    assert trace.caps[-1] >= 0.95 * before


@pytest.mark.parametrize(("factor", "fixed", "per_row"), [(3.0, 5e-4, 1e-4), (2.0, 3.5e-3, 1.4e-5)])
def test_a_model_that_slows_down_is_followed(factor: float, fixed: float, per_row: float) -> None:
    """Its batches are within the budget again after some dozens, at the size that the new line allows."""
    trace = Trace(Quantile(4096)).run(1000, noisy(fixed, per_row)).run(100, noisy(factor * fixed, factor * per_row))
    trace.run(400, noisy(factor * fixed, factor * per_row))
    assert trace.p99(400) <= 1.03 * BUDGET
    assert trace.caps[-1] == pytest.approx((0.85 * BUDGET - factor * fixed) / (factor * per_row), rel=0.5)


def test_a_model_that_gets_faster_is_followed() -> None:
    """Within the batches that the window holds."""
    trace = Trace(Quantile(4096)).run(1000, noisy(5e-4, 1e-4)).run(300, noisy(1.7e-4, 3.3e-5))
    assert trace.caps[-1] > 2.5 * trace.caps[999]


def test_it_follows_the_line_under_light_load_too() -> None:
    """Where even batches that are not full take too long, the cap comes down to what fits."""
    trace = Trace(Quantile(4096)).run(500, noisy(5e-4, 2e-5))
    mixed = Random(3)
    for _ in range(300):
        trace.run(1, noisy(5e-4, 2e-3, seed=mixed.randrange(99)), waiting=mixed.randint(1, 8))
    assert trace.caps[-1] <= 5


def test_the_edge_of_a_model_that_is_no_line_is_found() -> None:
    """Ten times slower from 101 rows on, as where a cache no longer holds: hardly a batch is on the wrong side."""
    rng = Random(1)
    trace = Trace(Quantile(4096)).run(
        3000, lambda rows: (5e-4 + 1e-5 * rows) * rng.uniform(0.95, 1.05) * (10 if rows > 100 else 1)
    )
    assert trace.caps[-1] >= 88
    assert sum(seconds > BUDGET for seconds in trace.seconds[1000:]) <= 20


def test_noise_that_size_does_not_make_does_not_make_batches_small() -> None:
    """With one batch in fifty stalled for half a second at any size, the others still have a third of the budget."""
    rng, model = Random(5), noisy(1e-3, 1e-4)
    trace = Trace(Quantile(4096)).run(1000, lambda rows: 0.5 if rng.random() < 0.02 else model(rows))
    assert sorted(trace.caps[-500:])[100] >= 20


@pytest.mark.parametrize("per_row", [0.0, 7e-6])
def test_a_slow_machine_does_not_talk_a_forest_into_single_rows(per_row: float) -> None:
    """Where rows cost next to nothing, small batches are as slow as large ones: then the cap would fall, and with it
    all that the model can do.
    """
    trace = Trace(Quantile(256)).run(200, noisy(0.003, per_row))
    assert trace.caps[-1] == 256
    trace.run(400, noisy(0.009, per_row, sigma=0.4))
    assert min(trace.caps[-400:]) >= 50
    assert trace.run(60, noisy(0.003, per_row)).caps[-1] == 256


def test_rows_that_have_become_dear_are_noticed() -> None:
    """As when texts become longer: all batches are too slow at once, and by the estimate it is not their size."""
    trace = Trace(Quantile(256)).run(200, noisy(0.003, 1e-6))
    assert trace.caps[-1] == 256
    trace.run(300, noisy(0.003, 2e-4))
    assert max(trace.caps[-50:]) < 50
    assert trace.p99(50) < 1.3 * BUDGET


def test_it_does_not_stay_at_single_rows_for_want_of_others() -> None:
    """Batches of one and two say next to nothing of what a row costs, and with a cap of one there will be no others."""
    trace = Trace(Quantile(256), budget=0.009)
    trace.run(30, noisy(0.0085, 2e-5, seed=5, sigma=0.4), waiting=2)
    assert trace.run(400, noisy(0.0085, 2e-5, seed=6, sigma=0.4)).caps[-1] >= 32


def test_where_no_size_is_in_time_rows_that_cost_little_go_together() -> None:
    """A forest of 12 ms with a budget of 10: late one by one, or late together."""
    trace = Trace(Quantile(256)).run(400, noisy(0.012, 2e-5))
    assert trace.caps[-1] >= 100
    assert Trace(Quantile(256)).run(400, noisy(0.001, 0.012)).caps[-1] == 1
