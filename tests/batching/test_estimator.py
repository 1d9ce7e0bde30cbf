"""The estimate of a batch's duration."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.batching.estimator import Estimator


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
