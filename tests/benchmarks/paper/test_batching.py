from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def batching(paper: Any) -> Any:
    """The module."""
    return paper("batching")


def test_each_goal_is_held_by_the_worst_model(batching: Any) -> None:
    """A batch over its budget, a slow client, or a mean too close to the objective is seen whichever model it is of."""

    def closed(call: float, p99: float) -> Any:
        return batching.Closed(rate=1.0, call=call, batch=1.0, p99=p99, budget=0.009, errors=0)

    def half(mean: float, p99: float) -> Any:
        return batching.Half(share=0.5, rate=1.0, offered=1, mean=mean, p99=p99, refused=0.0)

    by = {
        "linear SVM": {"none": closed(1_000.0, 0.001), "quantile": closed(20_000.0, 0.0045)},
        "kernel SVM": {"none": closed(400.0, 0.003), "quantile": closed(410.0, 0.018)},
    }
    halves = {
        "linear SVM": [half(0.002, 0.005), half(0.004, 0.03)],
        "kernel SVM": [half(0.006, 0.01), half(0.01, 0.015)],
    }
    gain, batch, mean, client = batching.goals(by, halves)
    assert (gain.value, gain.met) == (20.0, True)
    assert (batch.value, batch.met) == (pytest.approx(2.0), False)
    assert (mean.value, mean.met) == (pytest.approx(0.3), True)
    assert (client.value, client.met) == (pytest.approx(1.5), False)
