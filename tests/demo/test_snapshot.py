from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.demo.drive import Drive
from skysail.demo.score import SKYSAIL, VOTE, Scores
from skysail.demo.snapshot import percentile, take
from skysail.demo.traffic import Traffic
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run


def test_a_moment_of_a_run(server: Any, traffic: Traffic, scores: Scores) -> None:
    """Rates and latencies are of the last two seconds, errors of the last 200 and of all, the rest as the server
    says.
    """
    clock = ManualClock()

    async def whole() -> Drive:
        async with server.client() as client:
            drive = Drive(server, client, traffic, scores, clock)
            await drive.run()
            return drive

    shot = take(run(whole(), clock))
    assert shot.answered == shot.taught == 300
    assert shot.rate == pytest.approx(85, abs=20)
    assert shot.p50 == pytest.approx(10.0)
    assert shot.p99 == pytest.approx(10.0)
    assert shot.server_p99 == 9.0
    assert shot.cache_hits == 10
    assert shot.cache_share == 0.2
    assert shot.models[0].ref == "svm@1"
    assert shot.models[0].weight == 0.8
    assert shot.models[0].batch == 2.0
    assert math.isnan(shot.models[1].batch)
    assert shot.recent[SKYSAIL] == shot.whole[VOTE] == 0.0


def test_the_first_moment(server: Any, traffic: Traffic, scores: Scores, clock: ManualClock) -> None:
    """Before anything was answered there is nothing to show, and no error."""

    async def first() -> Any:
        async with server.client() as client:
            return take(Drive(server, client, traffic, scores, clock))

    shot = run(first(), clock)
    assert shot.answered == shot.rate == shot.cache_hits == 0
    assert math.isnan(shot.p99)
    assert math.isnan(shot.cache_share)
    assert math.isnan(shot.models[0].weight)


@given(values=st.lists(st.floats(0, 1e6), min_size=1), share=st.floats(0.01, 1.0))
def test_a_percentile_is_reached_by_its_share(values: list[float], share: float) -> None:
    """At least the share of the values is no greater, and it is the least such value."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9
