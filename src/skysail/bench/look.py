"""What the server counted of a trial, and what that says of where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from skysail.bench.machine import cpu_seconds
from skysail.bench.trial import Trial

__all__ = ["Batches", "Look", "Span", "batch_lines", "steps"]


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What a model version did: counts, and seconds."""

    batches: float
    rows: float
    seconds: float
    """What its batches took, to the worker and back."""
    busy: float
    """What its workers say of that: decoding and predicting."""
    predicting: float
    """What the model itself took of that."""
    hits: float
    """Rows that the cache answered, or that shared an evaluation."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was counted up to a moment."""

    answers: float
    """Queries of the application that were answered, one way or another."""

    latency: float
    """Seconds that took, from a query's last byte."""

    models: Mapping[str, Batches]
    """By version, such as `svm@1`."""

    cpu: Mapping[str, float]
    """Seconds of a processor, by process; empty where the system does not say."""

    @classmethod
    def of(cls, app: str, metrics: str, processes: Mapping[str, int]) -> Look:
        """Read the page of metrics, and the processes."""
        found: dict[tuple[str, str], float] = {}
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                label = sample.labels.get("version", sample.labels.get("app", ""))
                found[sample.name, label] = sample.value

        def get(name: str, label: str) -> float:
            return found.get((f"skysail_{name}", label), 0.0)

        refs = [label for name, label in found if name == "skysail_rows_total"]
        used = {name: cpu_seconds(pid) for name, pid in processes.items()}
        return cls(
            answers=get("latency_seconds_count", app),
            latency=get("latency_seconds_sum", app),
            models={
                ref: Batches(
                    batches=get("batches_total", ref),
                    rows=get("rows_total", ref),
                    seconds=get("batch_seconds_total", ref),
                    busy=get("worker_seconds_total", ref),
                    predicting=get("predict_seconds_total", ref),
                    hits=get("cache_hits_total", ref) + get("cache_joined_total", ref),
                )
                for ref in refs
            },
            cpu={name: seconds for name, seconds in used.items() if seconds is not None},
        )


@dataclass(frozen=True, kw_only=True)
class Span:
    """What was counted between two looks, as means; in milliseconds, but for the rows."""

    server: float
    """A query's latency as the server has it."""

    rows: Mapping[str, float]
    """Rows of a batch, by version; of those that had one."""

    batch: Mapping[str, float]
    """What a batch took."""

    busy: Mapping[str, float]
    """The part of that which the worker was busy for."""

    predicting: Mapping[str, float]
    """The part of that which the model itself took."""

    hits: float
    """Rows that the cache answered."""

    cpu: Mapping[str, float]
    """Seconds of a processor, by process."""

    @classmethod
    def between(cls, before: Look, after: Look) -> Span:
        """The difference."""
        none = Batches(batches=0, rows=0, seconds=0, busy=0, predicting=0, hits=0)
        pairs = {ref: (before.models.get(ref, none), now) for ref, now in after.models.items()}
        ran = {ref: (old, now, now.batches - old.batches) for ref, (old, now) in pairs.items() if now != old}
        ran = {ref: counts for ref, counts in ran.items() if counts[2] > 0}
        answers = after.answers - before.answers
        return cls(
            server=(after.latency - before.latency) / answers * 1e3 if answers else 0.0,
            rows={ref: (now.rows - old.rows) / n for ref, (old, now, n) in ran.items()},
            batch={ref: (now.seconds - old.seconds) / n * 1e3 for ref, (old, now, n) in ran.items()},
            busy={ref: (now.busy - old.busy) / n * 1e3 for ref, (old, now, n) in ran.items()},
            predicting={ref: (now.predicting - old.predicting) / n * 1e3 for ref, (old, now, n) in ran.items()},
            hits=sum(now.hits - old.hits for old, now in pairs.values()),
            cpu={name: used - before.cpu[name] for name, used in after.cpu.items() if name in before.cpu},
        )


def steps(trial: Trial, span: Span, decisions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Where a query of a trial spent its time on average, in milliseconds; `decisions` are some of the trial's.

    The server's own clock runs from where a query is read to where its answer is made: what is outside of that is the
    first part, the frontend's queue of what it has yet to read included. Of several models asked, the one that took
    longest on average is shown. The parts are differences of means that were taken at different places; one that comes
    out below zero is too small to be told, and is given as 0.
    """
    asked = [_latencies(decision) for decision in decisions]
    known = [(decision["latency_ms"], took) for decision, took in zip(decisions, asked, strict=True) if took]
    frontend = fmean([whole - max(took.values()) for whole, took in known]) if known else span.server
    parts = {"network, HTTP, generator": trial.mean * 1e3 - span.server, "selecting and combining": frontend}
    refs = dict.fromkeys(ref for took in asked for ref in took if ref in span.batch)
    if refs:
        slowest = max(refs, key=lambda ref: fmean([took[ref] for took in asked if ref in took]))
        batch, busy, predicting = span.batch[slowest], span.busy[slowest], span.predicting[slowest]
        parts[f"waiting for {slowest}"] = span.server - frontend - batch
        parts["to its worker and back"] = batch - busy
        parts["decoding"] = busy - predicting
        parts["predicting"] = predicting
    return {what: max(0.0, ms) for what, ms in parts.items()}


def _latencies(decision: Mapping[str, Any]) -> dict[str, float]:
    """How long each model asked took, in milliseconds, but not longer than the answer did."""
    return {
        model["model"]: min(model["latency_ms"], decision["latency_ms"])
        for model in decision["models"]
        if model["latency_ms"] is not None
    }


def batch_lines(status: Mapping[str, Any], models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each replica of some models has learned of its batches, as in `/status`; of those that know something."""
    return {
        name: dict(replica["batch"])
        for model in models
        for name, replica in status["models"][model]["replicas"].items()
        if replica["batch"] is not None
    }
