from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.bench.trial import Tally, Trial, arrivals, quantile


def body(**fields: Any) -> bytes:
    """An answer as the data plane writes it."""
    given = {"prediction_id": "p", "output": 1, "default": False, "reason": None} | fields
    return json.dumps(given, separators=(",", ":")).encode()


def test_latency_counts_from_when_a_query_was_due() -> None:
    """Not from when it was sent: waiting for a connection is the server's doing, and the generator's lag is apart."""
    tally = Tally()
    tally.send(due=1.0, free=0.5, now=1.002)  # 2 ms late by itself
    tally.send(due=1.0, free=3.0, now=3.001)  # no connection was free until then
    tally.answer(1.0, 1.5, 200, body())
    tally.answer(1.0, 4.0, 200, body())
    trial = tally.trial(offered=2.0, seconds=1.0, cpu=0.5)
    assert (trial.p50, trial.worst, trial.mean) == pytest.approx((0.5, 3.0, 1.75))
    assert trial.lag == pytest.approx(0.002)
    assert trial.within(3.0)
    assert not trial.within(2.9)


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (503, b'{"error": {"code": "overload", "message": "too much"}}', "overload"),
        (500, b"<html>", "500"),
        (200, body(default=True, reason="deadline"), "deadline"),
    ],
)
def test_what_no_model_answered_is_an_error(status: int, content: bytes, code: str) -> None:
    """An error, and a default for want of time, are counted by their code; no such rate is kept, however quick."""
    tally = Tally()
    tally.send(0.0, 0.0, 0.0)
    tally.answer(0.0, 0.001, status, content)
    trial = tally.trial(offered=1.0, seconds=1.0, cpu=0.0)
    assert trial.errors == {code: 1}
    assert trial.message
    assert trial.rate == 0
    assert not trial.within(1.0)


def test_an_unsure_answer_is_an_answer() -> None:
    """A default for low confidence says nothing of the server's speed."""
    tally = Tally()
    tally.send(0.0, 0.0, 0.0)
    tally.answer(0.0, 0.001, 200, body(default=True, reason="low_confidence"))
    assert tally.trial(offered=1.0, seconds=1.0, cpu=0.0).within(0.1)


def test_what_is_never_answered_counts_as_waited_for() -> None:
    """It does not drop out of the latencies, and is named."""
    tally = Tally()
    tally.send(0.0, 0.0, 0.0)
    tally.lose(0.0, 10.0, "unanswered")
    tally.lose(1.0, 2.0, "lost")
    trial = tally.trial(offered=1.0, seconds=1.0, cpu=0.0)
    assert trial.worst == 10.0
    assert trial.errors == {"unanswered": 1, "lost": 1}


@given(answers=st.integers(0, 2000))
def test_ids_are_spread_over_the_loop(answers: int) -> None:
    """At most two hundred are kept, from its beginning to its end, in order."""
    tally = Tally()
    for n in range(answers):
        tally.answer(0.0, 0.0, 200, body(prediction_id=str(n)))
    ids = [int(id) for id in tally.trial(offered=1.0, seconds=1.0, cpu=0.0).ids]
    assert len(ids) <= 200
    assert ids == sorted(set(ids))
    assert answers == 0 or (len(ids) >= min(answers, 99) and ids[-1] >= answers * 0.9 - 1)


def test_arrivals_are_a_poisson_process() -> None:
    """In order, within the time, about as many as the rate says, with gaps as irregular as they should be."""
    moments = arrivals(1000.0, 10.0, Random(1))
    assert moments == sorted(moments)
    assert 0 < moments[0] < moments[-1] < 10
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    gaps = [b - a for a, b in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    assert sum([(gap - mean) ** 2 for gap in gaps]) / len(gaps) == pytest.approx(mean**2, rel=0.1)


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=50), share=st.floats(0.01, 1))
def test_a_quantile_has_its_share_below(values: list[float], share: float) -> None:
    """So great a share of the values is at or below it, and it is the least such value."""
    ranked = sorted(values)
    found = quantile(ranked, share)
    assert sum([value <= found for value in values]) >= share * len(values) - 1e-9
    assert sum([value < found for value in values]) < share * len(values) + 1e-9


def test_a_generator_behind_is_known(trial: Callable[..., Trial]) -> None:
    """A p99 of its own delay over a millisecond, or nine tenths of a core, and its numbers say little."""
    assert not trial().behind
    assert trial(lag=0.0011).behind
    assert trial(cpu=0.95).behind
