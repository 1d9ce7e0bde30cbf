"""The estimate and the size on a recorded trace: an overload, as a frontend saw it.

`traces/overload.csv` has every batch of a random forest (784 floats, objective 40 ms) on two cores: when it was
answered, its rows, how long it took, and how long its worker was at it. For two seconds requests arrived at half of the
capacity, from 2,000 ms on at three times of it, from 8,000 ms on at half again. At the change the worker lost half of
its core to the frontend and the generator, which opened fifteen hundred connections.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from skysail.batching.estimator import Estimator
from skysail.batching.sizing import Quantile

TRACE = Path(__file__).with_name("traces") / "overload.csv"
BUDGET = 0.019
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
            sizing.observe(rows, worker, BUDGET, estimator)
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
