"""Latency histograms."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.stats.histogram import Histogram, log_bounds, quantile


@given(st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=500), st.floats(0.01, 0.999))
def test_a_quantile_is_within_a_bucket_of_the_exact_one(values: list[float], q: float) -> None:
    """The error of a quantile is at most the width of a bucket, a fifth of the value."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    found = quantile(histogram.bounds, histogram.counts, q)
    exact = sorted(values)[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]
    assert found == pytest.approx(exact, rel=0.25)


def test_nothing_counted_has_no_quantile() -> None:
    """Before the first value there is no p99."""
    assert Histogram().recent(0.99) is None


def test_what_is_beyond_the_last_bound_is_reported_as_that() -> None:
    """Values over the scale do not vanish."""
    histogram = Histogram()
    histogram.record(1e6)
    assert histogram.recent(0.5) == histogram.bounds[-1]


def test_recent_forgets_what_was_two_turns_ago() -> None:
    """The p99 of today is not that of last week."""
    rng = Random(1)
    histogram = Histogram()
    for _ in range(1000):
        histogram.record(rng.uniform(1.0, 2.0))
    histogram.turn()
    histogram.turn()
    for _ in range(10):
        histogram.record(0.001)
    assert histogram.recent(0.99) == pytest.approx(0.001, rel=0.25)
    assert sum(histogram.window()) == 10
    assert sum(histogram.counts) == 1010


def test_bounds_are_even_in_the_logarithm() -> None:
    """Each bound is the same factor above the one before."""
    bounds = log_bounds(1e-3, 1.0, 5)
    assert all(b / a == pytest.approx(10 ** (1 / 5)) for a, b in itertools.pairwise(bounds))
    assert bounds[-1] >= 1.0
