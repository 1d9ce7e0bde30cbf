from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from skysail.bench.look import Look, Span, batch_lines, steps
from skysail.bench.trial import Trial

PAGE = """\
# TYPE skysail_latency_seconds histogram
skysail_latency_seconds_bucket{{app="a",le="+Inf"}} {answers}
skysail_latency_seconds_count{{app="a"}} {answers}
skysail_latency_seconds_sum{{app="a"}} {latency}
# TYPE skysail_rows_total counter
skysail_rows_total{{version="m@1"}} {rows}
skysail_rows_total{{version="idle@1"}} 0
# TYPE skysail_batches_total counter
skysail_batches_total{{version="m@1"}} {batches}
# TYPE skysail_batch_seconds_total counter
skysail_batch_seconds_total{{version="m@1"}} {seconds}
# TYPE skysail_worker_seconds_total counter
skysail_worker_seconds_total{{version="m@1"}} {busy}
# TYPE skysail_predict_seconds_total counter
skysail_predict_seconds_total{{version="m@1"}} {predicting}
# TYPE skysail_cache_hits_total counter
skysail_cache_hits_total{{version="m@1"}} {hits}
"""


def look(**numbers: float) -> Look:
    """What was counted when the page of metrics said so."""
    names = ("answers", "latency", "rows", "batches", "seconds", "busy", "predicting", "hits")
    return Look.of("a", PAGE.format(**dict.fromkeys(names, 0.0) | numbers), {})


def decision(latency: float, **models: float | None) -> dict[str, Any]:
    """What `why` says of a prediction."""
    asked = [{"model": f"{name}@1", "latency_ms": took} for name, took in models.items()]
    return {"latency_ms": latency, "models": asked}


def test_counts_are_read_from_the_page_of_metrics() -> None:
    """Those of the application and of every version; and the processor time of each process that is there."""
    seen = look(answers=4, latency=2, rows=6, batches=3, seconds=0.5, busy=0.25, predicting=0.125, hits=1)
    assert (seen.answers, seen.latency) == (4, 2)
    model = seen.models["m@1"]
    assert (model.batches, model.rows, model.seconds, model.busy, model.hits) == (3, 6, 0.5, 0.25, 1)
    assert model.predicting == 0.125
    assert set(Look.of("a", "", {"me": os.getpid(), "gone": 2**30}).cpu) <= {"me"}


def test_a_span_has_the_means_of_what_came_between() -> None:
    """Rows and milliseconds of a batch, milliseconds of a query; a version that had no batch is left out."""
    before = look(answers=10, latency=1, rows=10, batches=10, seconds=1, busy=1, hits=2)
    after = look(answers=30, latency=3, rows=50, batches=20, seconds=3, busy=2, hits=5)
    span = Span.between(before, after)
    assert span.server == pytest.approx(100)
    assert span.rows == {"m@1": 4}
    assert span.batch == {"m@1": pytest.approx(200)}
    assert span.busy == {"m@1": pytest.approx(100)}
    assert span.hits == 3
    nothing = Span.between(after, after)
    assert (nothing.server, nothing.rows, nothing.hits) == (0, {}, 0)


def test_the_parts_add_up(trial: Callable[..., Trial]) -> None:
    """Of a query of 10 ms, the server had 8: 1 beside its models, 3 in the queue, 2 on the way, 0.5 for decoding and
    1.5 for predicting.
    """
    counted = {"answers": 1, "latency": 0.008, "rows": 2, "batches": 1, "seconds": 0.004}
    span = Span.between(look(), look(**counted, busy=0.002, predicting=0.0015))
    found = steps(trial(mean=0.010), span, [decision(8.0, m=7.0), decision(9.0, m=8.0, late=None)])
    assert list(found.values()) == pytest.approx([2, 1, 3, 2, 0.5, 1.5])
    assert "waiting for m@1" in found


def test_the_slowest_model_is_shown(trial: Callable[..., Trial]) -> None:
    """Of several asked, that on which the answer waits; a late output counts until the answer."""
    page = PAGE + 'skysail_batches_total{{version="slow@1"}} 1\nskysail_rows_total{{version="slow@1"}} 1\n'
    zero = dict.fromkeys(("latency", "rows", "seconds", "busy", "predicting", "hits"), 0.0)
    after = Look.of("a", page.format(answers=1, batches=1, **zero), {})
    found = steps(trial(), Span.between(look(), after), [decision(5.0, m=2.0, slow=50.0)])
    assert "waiting for slow@1" in found
    assert found["selecting and combining"] == 0


def test_without_decisions_there_are_two_parts(trial: Callable[..., Trial]) -> None:
    """Where no decision is kept, or the cache answered all, the server's time is not taken apart; none is negative."""
    span = Span.between(look(), look(answers=1, latency=0.001))
    found = steps(trial(mean=0.0005), span, [])
    assert list(found.values()) == pytest.approx([0, 1])


def test_what_replicas_have_learned() -> None:
    """That of the models of the application; a replica that had no batch yet says nothing."""
    line = {"cap": 3, "fixed_ms": 1.0, "row_ms": 0.1, "band_ms": 0.2}
    status = {
        "models": {
            "m": {"replicas": {"m@1/0": {"batch": line}, "m@1/1": {"batch": None}}},
            "other": {"replicas": {"other@1/0": {"batch": line}}},
        }
    }
    assert batch_lines(status, ["m"]) == {"m@1/0": line}
