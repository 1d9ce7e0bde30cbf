from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.demo.digits import Digits, load_digits
from skysail.demo.traffic import DELAY, REPEATS, plan


@pytest.fixture(scope="module")
def digits() -> Digits:
    """One split."""
    return load_digits(0)


def test_one_in_five_is_an_exact_repeat(digits: Digits) -> None:
    """The stated share of queries repeats an earlier one; all others are pictures never sent before."""
    traffic = plan(digits, seconds=30, rate=200, seed=0)
    fresh = len(np.unique(traffic.images, axis=0))
    assert len(traffic) == 6000
    assert 1 - fresh / len(traffic) == pytest.approx(REPEATS, abs=0.02)


def test_a_repeat_has_its_originals_label(digits: Digits) -> None:
    """Equal pictures show the same digit."""
    traffic = plan(digits, seconds=5, rate=200, seed=1)
    seen: dict[bytes, int] = {}
    for image, label in zip(traffic.images, traffic.labels.tolist(), strict=True):
        assert seen.setdefault(image.tobytes(), label) == label


def test_a_seed_gives_one_plan(digits: Digits) -> None:
    """The same seed plans the same traffic, another one another."""
    first, again, other = (plan(digits, seconds=2, rate=100, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.at, again.at)
    assert not np.array_equal(first.images, other.images)


@given(seconds=st.floats(0.1, 5.0), rate=st.floats(1.0, 300.0), seed=st.integers(0, 1000))
def test_the_times_are_within_the_run(seconds: float, rate: float, seed: int) -> None:
    """Queries are in order, within the run, as many as the rate says; each label's delay is within its bounds."""
    blank = np.zeros((3, 64))
    labels = np.zeros(3, dtype=np.int64)
    traffic = plan(Digits(blank, labels, blank, labels), seconds, rate, seed)
    assert len(traffic) == max(1, round(seconds * rate))
    assert (np.diff(traffic.at) >= 0).all()
    assert 0 <= traffic.at[0] <= traffic.at[-1] <= seconds
    assert ((traffic.delays >= DELAY[0]) & (traffic.delays <= DELAY[1])).all()
