"""The estimate of a batch's duration."""

from __future__ import annotations

import csv
from collections.abc import Callable
from math import inf
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.batching.estimator import Estimator
from skysail.batching.sizing import Quantile


@given(st.floats(1e-6, 1e-3), st.floats(1e-4, 1e-2), st.integers(0, 1000))
def test_it_finds_the_line(alpha: float, beta: float, seed: int) -> None:
    """A line with 3 % of noise is recovered within 5 % of its value at the largest size."""
    rng = Random(seed)
    estimator = Estimator()
    for i in range(256):
        rows = rng.randint(1, 64)
        estimator.add(rows, (alpha * rows + beta) * rng.uniform(0.97, 1.03), i * 0.01)
    for rows in (1, 32, 64):
        assert estimator.expected(rows) == pytest.approx(alpha * rows + beta, abs=0.05 * (alpha * 64 + beta))
        assert estimator.p99(rows) >= estimator.expected(rows)


def test_one_hiccup_moves_the_band_and_not_the_line() -> None:
    """A single stall leaves the expectation where it was."""
    estimator = Estimator()
    for i in range(100):
        estimator.add(8, 5.0 if i == 50 else 0.002, i * 0.01)
    assert estimator.expected(8) == pytest.approx(0.002, rel=0.1)


def test_nothing_is_known_at_first_nor_after_a_silence() -> None:
    """Too few batches, or too old ones, are no estimate."""
    estimator = Estimator(max_age=10.0)
    assert not estimator.known(0.0)
    for i in range(8):
        estimator.add(1, 0.001, float(i))
    assert estimator.known(8.0)
    assert not estimator.known(18.0)
    estimator.add(1, 0.001, 18.0)
    assert not estimator.known(18.0)


def test_a_larger_batch_is_never_expected_to_be_faster() -> None:
    """Noise that would give a negative slope gives a flat line."""
    estimator = Estimator()
    for i in range(64):
        estimator.add(1 + i % 8, 0.002 - 0.0001 * (i % 8), i * 0.01)
    assert estimator.expected(64) >= estimator.expected(1) > 0


def test_the_best_is_no_slower_than_the_typical() -> None:
    """One good batch among slow ones shows what is possible."""
    estimator = Estimator()
    for i in range(20):
        estimator.add(1, 0.001 if i == 10 else 0.08, i * 0.01)
    assert estimator.best(1) == pytest.approx(0.001)
    assert estimator.expected(1) == pytest.approx(0.08)


def test_the_slope_is_kept_while_all_batches_are_alike() -> None:
    """A steady load makes batches of one size: what a row costs is as it was, what changes is the fixed cost."""
    estimator = Estimator()
    assert not estimator.sloped
    for i in range(64):
        estimator.add(1 + i % 32, 0.003 + 1e-5 * (1 + i % 32), i * 0.01)
    assert estimator.sloped
    for i in range(300):
        estimator.add(32, 0.005, 1.0 + i * 0.06)
    assert estimator.per_row == pytest.approx(1e-5, rel=0.01)
    assert estimator.fixed == pytest.approx(0.005 - 32e-5, rel=0.01)


def test_until_sizes_differ_all_is_per_row() -> None:
    """Which is the careful guess for sizes not seen."""
    estimator = Estimator()
    for i in range(20):
        estimator.add(1, 0.004, i * 0.01)
    assert (estimator.sloped, estimator.fixed) == (False, 0.0)
    assert estimator.expected(8) == pytest.approx(0.032)


def test_the_slowest_alone_is_not_believed() -> None:
    """One batch of few, however long, is no tail; two are."""
    estimator = Estimator()
    for i in range(20):
        estimator.add(8, 5.0 if i == 10 else 0.002, i * 0.01)
    assert estimator.p99(8) == pytest.approx(0.002)
    estimator.add(8, 5.0, 0.2)
    for i in range(16):
        estimator.add(8, 0.002, 0.3 + i * 0.01)
    assert estimator.p99(8) == pytest.approx(5.0)


@given(st.floats(1e-5, 1e-3), st.floats(1e-4, 5e-3), st.floats(1e-4, 0.1), st.integers(0, 100))
def test_within_is_the_inverse_of_p99(alpha: float, beta: float, seconds: float, seed: int) -> None:
    """The largest batch that takes so long takes so long; where none does it is less than a row."""
    rng = Random(seed)
    estimator = Estimator()
    for i in range(100):
        rows = rng.randint(1, 64)
        estimator.add(rows, (alpha * rows + beta) * rng.uniform(0.9, 1.1), i * 0.01)
    most = estimator.within(seconds)
    assert most <= estimator.usually_within(seconds)
    if most == inf:
        assert estimator.per_row == 0.0
    elif most > 0:
        assert estimator.p99(most) == pytest.approx(seconds)
    else:
        assert estimator.p99(0) >= seconds


def test_a_model_that_changes_is_followed_within_dozens_of_batches() -> None:
    """The line is that of the last sixty-four."""
    estimator = Estimator()
    for i in range(256):
        estimator.add(1 + i % 16, 0.001 * (1 + i % 16), i * 0.01)
    for i in range(48):
        estimator.add(1 + i % 16, 0.003 * (1 + i % 16), 3.0 + i * 0.01)
    assert estimator.expected(8) == pytest.approx(0.024, rel=0.1)


def test_a_machine_that_has_become_busy_is_heard_of_at_once() -> None:
    """What is expected now follows in ten batches, by which no row may be run that will be late; the line, by which
    sizes are chosen, does not take it for the model's; and a stall of three batches is none of either.
    """
    estimator, now = Estimator(), 0.0
    for _ in range(200):
        now += 0.005
        estimator.add(16, 0.005, now, 0.004)
    for _ in range(3):
        now += 0.02
        estimator.add(16, 0.02, now, 0.019)
    assert estimator.expected(16) == pytest.approx(0.005, rel=0.05)
    for _ in range(10):
        now += 0.02
        estimator.add(16, 0.02, now, 0.019)
    assert estimator.expected(16) == pytest.approx(0.02, rel=0.05)
    assert estimator.p90(16) >= estimator.expected(16)
    assert estimator.fixed + 16 * estimator.per_row == pytest.approx(0.005, rel=0.05)


def test_one_batch_in_ten_is_counted_on_and_one_in_fifty_is_not() -> None:
    """What a row may count on moves with batches that are often slow, and not with a few that stall."""
    for share, slow in ((50, False), (5, True)):
        estimator = Estimator()
        for n in range(200):
            estimator.add(4, 0.2 if n % share == 0 else 0.01, n * 0.01)
        assert (estimator.p90(4) > 0.1) is slow
        assert estimator.expected(4) < 0.02


def test_a_late_frontend_is_no_cost_of_rows() -> None:
    """Batches that are heard of late are followed by larger ones: only what the worker took says what a row costs."""
    rng = Random(3)
    estimator = Estimator()
    late = 0.0
    for i in range(256):
        late = 0.9 * late + rng.uniform(0.0, 0.001)
        rows = 32 + int(late * 10_000)
        busy = (0.004 + 2e-5 * rows) * rng.uniform(0.98, 1.02)
        estimator.add(rows, busy + late, i * 0.01, busy)
    assert estimator.per_row == pytest.approx(2e-5, rel=0.5)
    assert estimator.expected(80) > 0.004 + 2e-5 * 80 + 0.003


# `traces/overload.csv` has every batch of a random forest (784 floats, objective 40 ms) on two cores: when it was
# answered, its rows, how long it took, and how long its worker was at it. For two seconds requests arrived at half of
# the capacity, from 2,000 ms on at three times of it, from 8,000 ms on at half again. At the change the worker lost
# half of its core to the frontend and the generator, which opened fifteen hundred connections.
TRACE = Path(__file__).with_name("traces") / "overload.csv"
CALM, CHANGED, OVERLOADED, AFTER = (0.0, 2.0), (2.3, 3.0), (3.0, 8.0), (8.3, 9.5)


class Seen(NamedTuple):
    """A batch, and what was said of it before it was sent."""

    now: float
    took: float
    expected: float
    p90: float
    p99: float
    cap: int


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    """The trace, replayed."""
    estimator, sizing, batches = Estimator(), Quantile(4096), []
    with TRACE.open() as file:
        for line in csv.DictReader(file):
            now, took, worker = (float(line[name]) / 1e3 for name in ("answered_ms", "took_ms", "worker_ms"))
            rows = int(line["rows"])
            if estimator.known(now):
                said = estimator.expected(rows), estimator.p90(rows), estimator.p99(rows)
                batches.append(Seen(now, took, *said, sizing.cap))
            estimator.add(rows, took, now, worker)
            sizing.observe(rows, worker, 0.019, estimator)
    return batches


def _share(batches: list[Seen], window: tuple[float, float], over: Callable[[Seen], bool]) -> float:
    within = [batch for batch in batches if window[0] <= batch.now < window[1]]
    assert len(within) > 40
    return sum(map(over, within)) / len(within)


@pytest.mark.parametrize("window", [CALM, CHANGED, OVERLOADED, AFTER])
def test_what_is_expected_is_what_comes(seen: list[Seen], window: tuple[float, float]) -> None:
    """The middle one of all batches takes what it was expected to, soon after the change too."""
    ratios = [batch.took / batch.expected for batch in seen if window[0] <= batch.now < window[1]]
    assert 0.85 < median(ratios) < 1.15
    assert _share(seen, window, lambda batch: batch.took > 2 * batch.expected) <= 0.05


@pytest.mark.parametrize("window", [CALM, OVERLOADED, AFTER])
def test_few_take_longer_than_nearly_all_should(seen: list[Seen], window: tuple[float, float]) -> None:
    """About a tenth is over the p90, and hardly any over the p99."""
    assert _share(seen, window, lambda batch: batch.took > batch.p90) < 0.2
    assert _share(seen, window, lambda batch: batch.took > batch.p99) < 0.03


def test_batches_do_not_become_small_for_a_busy_machine(seen: list[Seen]) -> None:
    """A forest's rows cost next to nothing: in an overload its batches stay as large as its fixed cost is worth."""
    assert min(batch.cap for batch in seen if batch.now > OVERLOADED[0]) > 30
