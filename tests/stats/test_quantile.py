from __future__ import annotations

from math import ceil, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.stats.quantile import RecentQuantile


def test_too_few_values_say_nothing() -> None:
    """A tail cannot be told from a dozen values; until there are enough, every wait is too short."""
    quantile = RecentQuantile(0.95)
    for _ in range(31):
        quantile.add(0.001)
    assert quantile.value == inf
    quantile.add(0.001)
    assert quantile.value == 0.001


@given(st.lists(st.floats(0, 10), min_size=32, max_size=400))
def test_it_is_exact_over_its_window(values: list[float]) -> None:
    """What is below it are 95 of 100 of the latest values, as of the last of them that it was taken anew at."""
    quantile = RecentQuantile(0.95, window=64)
    for value in values:
        quantile.add(value)
    seen = values[: len(values) // 16 * 16][-64:]
    assert quantile.value == sorted(seen)[ceil(0.95 * len(seen)) - 1]


def test_what_was_long_ago_is_forgotten(rng: Random) -> None:
    """A slow time is over for it once the window is full of what came after."""
    quantile = RecentQuantile(0.95)
    for scale in (1.0, 0.01):
        for _ in range(256):
            quantile.add(scale * rng.random())
        assert quantile.value == pytest.approx(0.95 * scale, rel=0.05)
