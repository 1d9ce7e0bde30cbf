"""The `/metrics` page: the same snapshot as `/status`, in the text format of Prometheus.

Nothing is counted here: each scrape reads the counters of the frontends, which start from zero with their process;
`skysail.monitoring.totals` remembers those of processes that are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["render_metrics"]

_Status = Mapping[str, Any]
_Samples = Iterable[tuple[tuple[str, ...], float | None]]


class _Family(NamedTuple):
    """A metric; names that end in `_total` are counters, all others gauges."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[_Status], _Samples]

    @property
    def counts(self) -> bool:
        """Whether it is a counter."""
        return self.name.endswith("_total")


def render_metrics(status: _Status, counted: Mapping[str, Any], totals: Mapping[str, Any]) -> bytes:
    """The page, from the `/status` document, the merged snapshot of the frontends, and the `skysail.monitoring.totals`
    that counters are taken from; see docs/reference/metrics.md.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(status, counted, totals))
    return generate_latest(registry)


class _Page(Collector):
    """What Prometheus's library asks for the metrics of one scrape."""

    def __init__(self, status: _Status, counted: Mapping[str, Any], totals: Mapping[str, Any]) -> None:
        self._status = status
        self._counted = counted
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples; what no frontend told is left out."""
        for family in _FAMILIES:
            yield _metric(family, self._status)
        for family in _COUNTED:
            yield _metric(family, self._totals if family.counts else self._counted)
        yield _latencies(self._totals)


def _metric(family: _Family, source: _Status) -> Metric:
    kind = CounterMetricFamily if family.counts else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in family.samples(source):
        if value is not None:
            metric.add_metric(labels, value)
    return metric


def _latencies(counted: Mapping[str, Any]) -> Metric:
    help_text = "Seconds from a query's last byte to its answer."
    metric = HistogramMetricFamily("skysail_latency_seconds", help_text, labels=("app",))
    for name, app in counted.get("apps", {}).items():
        latency = app["latency"]
        limits = [*(f"{limit:.6g}" for limit in latency["le"]), "+Inf"]
        buckets = list(zip(limits, map(float, accumulate(latency["counts"])), strict=True))
        metric.add_metric((name,), buckets, latency["sum"])
    return metric


def _each(section: str, *path: str) -> Callable[[_Status], _Samples]:
    """The number at `path` in each object of a section, labelled by the object's name."""
    return lambda source: [((name,), _at(entry, path)) for name, entry in _section(source, section)]


def _keyed(section: str, *path: str) -> Callable[[_Status], _Samples]:
    """Each number of the object at `path` in each object of a section, labelled by both names."""
    return lambda source: [
        ((name, key), value)
        for name, entry in _section(source, section)
        for key, value in (_at(entry, path) or {}).items()
    ]


def _one(*path: str) -> Callable[[_Status], _Samples]:
    """The one number at `path`."""
    return lambda source: [((), _at(source, path))]


def _section(source: _Status, section: str) -> Iterable[tuple[str, Any]]:
    entries: Mapping[str, Any] = source.get(section) or {}
    return entries.items()


def _at(entry: Any, path: Sequence[str]) -> Any:
    for key in path:
        entry = entry.get(key) if isinstance(entry, Mapping) else None
    return entry


def _replicas_ready(counted: _Status) -> _Samples:
    return [
        ((ref,), sum(replica.get("state") == "ready" for replica in version.get("replicas", {}).values()))
        for ref, version in _section(counted, "models")
    ]


def _versions(counted: _Status, what: str) -> _Samples:
    return [
        ((name, ref), counts[what])
        for name, app in _section(counted, "apps")
        for ref, counts in app.get("versions", {}).items()
    ]


def _ledger_failing(counted: _Status) -> _Samples:
    return [((), float(counted["ledger"].get("failing") is not None))] if counted.get("ledger") else []


_FAMILIES = (
    _Family("skysail_frontends", "Frontends connected to the control plane.", (), _one("frontends")),
    _Family(
        "skysail_app_ready", "1 when a model can answer for the application now.", ("app",), _each("apps", "ready")
    ),
    _Family("skysail_model_version", "The current version's number.", ("model",), _each("models", "version")),
    _Family(
        "skysail_process_starts_total",
        "How often the parent started a process.",
        ("process",),
        _each("processes", "starts"),
    ),
)
"""What the control plane itself knows, by its place in `/status`."""

_APP, _REF = ("app",), ("version",)

_COUNTED = (
    _Family("skysail_answers_total", "Queries answered, defaults among them.", _APP, _each("apps", "answers")),
    _Family("skysail_defaults_total", "Answers that were the default.", ("app", "reason"), _keyed("apps", "defaults")),
    _Family("skysail_errors_total", "Queries answered with an error.", ("app", "code"), _keyed("apps", "errors")),
    _Family("skysail_observations_total", "Observations accepted.", _APP, _each("apps", "observations")),
    _Family("skysail_duplicates_total", "Observations that were not the first.", _APP, _each("apps", "duplicates")),
    _Family("skysail_judged_total", "Answers that feedback judged.", _APP, _each("apps", "effective", "judged")),
    _Family("skysail_right_total", "Answers judged right, and in time.", _APP, _each("apps", "effective", "right")),
    _Family(
        "skysail_version_judged_total",
        "Times that feedback judged a version that was asked.",
        ("app", "version"),
        lambda counted: _versions(counted, "judged"),
    ),
    _Family(
        "skysail_version_right_total",
        "Times that it was right, and in time.",
        ("app", "version"),
        lambda counted: _versions(counted, "right"),
    ),
    _Family("skysail_covers_total", "Sets that a label judged.", _APP, _each("apps", "conformal", "judged")),
    _Family("skysail_covered_total", "Sets that held the label.", _APP, _each("apps", "conformal", "covered")),
    _Family("skysail_cover_recent", "Their share of late.", _APP, _each("apps", "conformal", "recent")),
    _Family("skysail_cover_level", "The level of sets now.", _APP, _each("apps", "conformal", "level")),
    _Family("skysail_cover_size", "Mean size of sets with an end.", _APP, _each("apps", "conformal", "size")),
    _Family("skysail_weight", "How much the policy trusts a model.", ("app", "model"), _keyed("apps", "weights")),
    _Family("skysail_contexts_held", "Contexts in memory.", _APP, _each("apps", "contexts", "held")),
    _Family("skysail_contexts_read_total", "Contexts read from the store.", _APP, _each("apps", "contexts", "read")),
    _Family(
        "skysail_contexts_put_off_total",
        "Queries answered without reading their context.",
        _APP,
        _each("apps", "contexts", "put_off"),
    ),
    _Family("skysail_evaluations_total", "Inputs evaluated for feedback.", _APP, _each("apps", "evaluations", "made")),
    _Family(
        "skysail_evaluations_refused_total",
        "Feedback by input refused, for too much of it was under way.",
        _APP,
        _each("apps", "evaluations", "refused"),
    ),
    _Family(
        "skysail_left_out_total",
        "Queries that a model was not asked about, because it would have been late.",
        ("app", "model"),
        _keyed("apps", "left_out"),
    ),
    _Family("skysail_stood_in_total", "Mean outputs used for missing ones.", _APP, _each("apps", "stood_in")),
    _Family("skysail_hedges_total", "Queries put to somebody else too.", _APP, _each("apps", "hedges", "asked")),
    _Family("skysail_hedges_won_total", "Hedges that were first.", _APP, _each("apps", "hedges", "won")),
    _Family(
        "skysail_losses_clipped_total",
        "Losses outside [0, 1], clipped.",
        _APP,
        _each("apps", "losses_clipped"),
    ),
    _Family(
        "skysail_policy_failures_total",
        "How often the policy raised, and was stood in for.",
        _APP,
        _each("apps", "policy_failures"),
    ),
    _Family("skysail_replicas_ready", "Replicas that frontends can use.", _REF, _replicas_ready),
    _Family("skysail_queue", "Rows waiting for a replica.", _REF, _each("models", "queue")),
    _Family("skysail_batches_total", "Batches evaluated.", _REF, _each("models", "batches")),
    _Family("skysail_rows_total", "Rows evaluated.", _REF, _each("models", "rows")),
    _Family("skysail_batch_seconds_total", "Time that batches took.", _REF, _each("models", "batch_seconds")),
    _Family("skysail_worker_seconds_total", "Time of it in workers.", _REF, _each("models", "worker_seconds")),
    _Family("skysail_predict_seconds_total", "Time of it in models.", _REF, _each("models", "predict_seconds")),
    _Family("skysail_batches_held_total", "Batches held for more rows.", _REF, _each("models", "batch", "held")),
    _Family("skysail_row_errors_total", "Rows without output.", ("version", "code"), _keyed("models", "errors")),
    _Family("skysail_batch_cap", "Rows that a batch may have now.", _REF, _each("models", "batch", "cap")),
    _Family("skysail_cache_hits_total", "Rows answered from the cache.", _REF, _each("models", "cache", "hits")),
    _Family("skysail_cache_misses_total", "Rows that were evaluated.", _REF, _each("models", "cache", "misses")),
    _Family("skysail_cache_joined_total", "Rows that shared an evaluation.", _REF, _each("models", "cache", "joined")),
    _Family("skysail_cache_bytes", "Size of the cache.", (), _one("cache", "bytes")),
    _Family("skysail_cache_entries", "Outputs in the cache.", (), _one("cache", "entries")),
    _Family("skysail_cache_evicted_total", "Outputs that made room for others.", (), _one("cache", "evicted")),
    _Family("skysail_ledger_pending", "Decisions not yet written.", (), _one("ledger", "pending")),
    _Family("skysail_ledger_commits_total", "Transactions written.", (), _one("ledger", "commits")),
    _Family("skysail_ledger_decisions_total", "Decisions written.", (), _one("ledger", "written")),
    _Family("skysail_ledger_dropped_total", "Decisions given up.", (), _one("ledger", "dropped")),
    _Family("skysail_ledger_failing", "1 while the store cannot be written.", (), _ledger_failing),
    _Family("skysail_http_connections", "Open connections.", (), _one("http", "connections")),
    _Family("skysail_http_requests_total", "Requests received whole.", (), _one("http", "requests")),
    _Family("skysail_http_gone_total", "Requests whose client left.", (), _one("http", "gone")),
    _Family(
        "skysail_http_errors_total",
        "Answers that were errors.",
        ("code",),
        lambda counted: [((code,), n) for code, n in (_at(counted, ("http", "errors")) or {}).items()],
    ),
    _Family("skysail_memory_bytes", "Memory of the frontends.", (), _one("memory_bytes")),
)
"""What frontends count, by its place in their snapshots."""
