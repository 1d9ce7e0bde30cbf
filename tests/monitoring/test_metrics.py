from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from skysail.monitoring.metrics import render_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(page: bytes) -> Samples:
    """Every sample of a page, as Prometheus reads it."""
    families = text_string_to_metric_families(page.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.fixture
def value(document: Any, counted: dict[str, Any]) -> Callable[..., float]:
    """The value of one sample."""
    samples = read(render_metrics(document(counted), counted, counted))
    return lambda name, **labels: samples[name, frozenset(labels.items())]


def test_counts_have_their_labels(value: Any) -> None:
    """What the snapshot says is what Prometheus reads, by application, model version, reason and code."""
    assert value("skysail_answers_total", app="digits") == 10
    assert value("skysail_defaults_total", app="digits", reason="deadline") == 2
    assert value("skysail_errors_total", app="digits", code="invalid_input") == 1
    assert value("skysail_weight", app="digits", model="svm") == 0.7
    assert value("skysail_version_judged_total", app="digits", version="svm@2") == 8
    assert value("skysail_version_right_total", app="digits", version="svm@2") == 7
    assert value("skysail_covers_total", app="digits") == 40
    assert value("skysail_covered_total", app="digits") == 37
    assert value("skysail_cover_recent", app="digits") == 0.91
    assert value("skysail_cover_level", app="digits") == 0.92
    assert value("skysail_cover_size", app="digits") == 1.25
    assert value("skysail_row_errors_total", version="svm@2", code="model_error") == 1
    assert value("skysail_cache_joined_total", version="svm@2") == 2
    assert value("skysail_replicas_ready", version="svm@2") == 1
    assert value("skysail_model_version", model="svm") == 2
    assert value("skysail_process_starts_total", process="svm@2/0") == 2
    assert value("skysail_app_ready", app="digits") == 1
    assert value("skysail_http_errors_total", code="invalid_input") == 1
    assert value("skysail_ledger_failing") == 0
    assert value("skysail_frontends") == 1


def test_latency_is_a_real_histogram(value: Any) -> None:
    """Its buckets are cumulative, end at infinity, and agree with its count and sum."""
    assert value("skysail_latency_seconds_bucket", app="digits", le="0.001") == 7
    assert value("skysail_latency_seconds_bucket", app="digits", le="0.01") == 9
    assert value("skysail_latency_seconds_bucket", app="digits", le="+Inf") == 10
    assert value("skysail_latency_seconds_count", app="digits") == 10
    assert value("skysail_latency_seconds_sum", app="digits") == 0.05


def test_without_a_frontend_the_page_still_reads(document: Any) -> None:
    """What nobody counted has no sample; what control knows itself does."""
    samples = read(render_metrics(document({}, 0), {}, {}))
    assert samples["skysail_frontends", frozenset()] == 0
    assert ("skysail_answers_total", frozenset({("app", "digits")})) not in samples
    assert samples["skysail_app_ready", frozenset({("app", "digits")})] == 0
