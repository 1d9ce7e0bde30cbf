"""The `/status` document: what is configured, what runs, and what was counted, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skysail.stats.histogram import quantile
from skysail.supervisor.spec import ChildStatus

__all__ = ["status"]


def status(
    *,
    apps: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
    children: Sequence[ChildStatus],
    failures: Mapping[str, str],
    counted: Mapping[str, Any],
    frontends: int,
    wanted: int = 1,
) -> dict[str, Any]:
    """Everything an operator may ask, as JSON values.

    `apps` and `models` are as the routes of those names show them, `failures` say why a replica or version failed last,
    `counted` is the merged snapshot of `frontends` frontends, of which there are to be as many as are `wanted`: without
    one, what is counted is missing, not zero.
    """
    processes = {child.name: child for child in children}
    ready: Mapping[str, Any] = counted.get("ready", {})
    why = {
        name: _explained(ready.get(name), app["models"], failures) if name in ready else "no frontend is connected"
        for name, app in apps.items()
    }
    return {
        "ready": frontends >= wanted and not any(why.values()),
        "frontends": frontends,
        "apps": {name: _app(app, why[name], counted.get("apps", {}).get(name, {})) for name, app in apps.items()},
        "models": {name: _model(name, model, processes, failures, counted) for name, model in models.items()},
        "failures": dict(failures),
        "processes": {child.name: _process(child) for child in children},
        "cache": counted.get("cache"),
        "ledger": counted.get("ledger"),
        "http": counted.get("http"),
        "memory_bytes": counted.get("memory_bytes"),
    }


def _explained(why: str | None, models: Sequence[str], failures: Mapping[str, str]) -> str | None:
    """Why an application cannot be answered, with why its models could not be loaded."""
    if why is None:
        return None
    told = [f"{it} failed: {failures[it]}" for it in failures for model in models if it.startswith(f"{model}@")]
    return "; ".join([why, *told])


def _app(app: Mapping[str, Any], why: str | None, counted: Mapping[str, Any]) -> dict[str, Any]:
    effective = counted.get("effective", {})
    latency = counted.get("latency")
    return {
        "models": app["models"],
        "policy": app["policy"],
        "slo_ms": app["slo_ms"],
        "ready": why is None,
        "why_not": why,
        "weights": counted.get("weights"),
        "answers": counted.get("answers"),
        "defaults": counted.get("defaults"),
        "errors": counted.get("errors"),
        "judged": effective.get("judged", 0),
        "effective_accuracy": _accuracy([effective]),
        "versions": {
            ref: {"judged": it["judged"], "effective_accuracy": _accuracy([it])}
            for ref, it in counted.get("versions", {}).items()
        },
        "conformal": counted.get("conformal"),
        "latency_ms": {"p50": _quantile(latency, 0.5), "p99": _quantile(latency, 0.99)},
        "observations": counted.get("observations"),
        "duplicates": counted.get("duplicates"),
        "contexts": counted.get("contexts"),
        "evaluations": counted.get("evaluations"),
        "left_out": counted.get("left_out"),
        "stood_in": counted.get("stood_in"),
        "hedges": counted.get("hedges"),
        "losses_clipped": counted.get("losses_clipped"),
        "policy_failures": counted.get("policy_failures"),
        "policy_traceback": counted.get("policy_traceback"),
    }


def _model(
    name: str,
    model: Mapping[str, Any],
    processes: Mapping[str, ChildStatus],
    failures: Mapping[str, str],
    counted: Mapping[str, Any],
) -> dict[str, Any]:
    ref = f"{name}@{model['current']}"
    seen: Mapping[str, Any] = counted.get("models", {}).get(ref, {})
    apps: Mapping[str, Mapping[str, Any]] = counted.get("apps", {})
    replicas = [f"{ref}/{index}" for index in range(model["replicas"])]
    failure = next((failures[it] for it in (*replicas, ref) if it in failures), None)
    return {
        "version": model["current"],
        "versions": [version["version"] for version in model["versions"]],
        "input": seen.get("input"),
        "replicas": {it: _replica(processes.get(it), seen.get("replicas", {}).get(it, {})) for it in replicas},
        "queue": seen.get("queue"),
        "batches": seen.get("batches"),
        "rows": seen.get("rows"),
        "batch_seconds": seen.get("batch_seconds"),
        "worker_seconds": seen.get("worker_seconds"),
        "predict_seconds": seen.get("predict_seconds"),
        "batch": seen.get("batch"),
        "errors": seen.get("errors"),
        "effective_accuracy": _accuracy([it["versions"][ref] for it in apps.values() if ref in it.get("versions", {})]),
        "cache": seen.get("cache"),
        "failure": failure,
        "traceback": seen.get("traceback"),
    }


def _accuracy(counts: Sequence[Mapping[str, int]]) -> float | None:
    """The share of what was judged that was right, and in time; `None` where nothing was judged."""
    judged = sum([count.get("judged", 0) for count in counts])
    return sum([count.get("right", 0) for count in counts]) / judged if judged else None


def _quantile(latency: Mapping[str, Any] | None, q: float) -> float | None:
    """A quantile of late, over all frontends, in milliseconds; of everything while nothing came of late."""
    if latency is None:
        return None
    recent = latency["recent"]
    seconds = quantile(latency["le"], recent if any(recent) else latency["counts"], q)
    return None if seconds is None else seconds * 1e3


def _replica(child: ChildStatus | None, seen: Mapping[str, Any]) -> dict[str, Any]:
    """What the parent knows of the process, and a frontend of the connection."""
    return {
        "process": "missing" if child is None else child.state,
        "load": None if child is None else child.report.get("state"),
        "connection": seen.get("state"),
        "pid": None if child is None else child.pid,
        "starts": 0 if child is None else child.starts,
        "inflight": seen.get("inflight"),
        "kills": seen.get("kills"),
        "batch": seen.get("batch"),
        "last_exit": None if child is None else child.last_exit,
    }


def _process(child: ChildStatus) -> dict[str, Any]:
    return {
        "kind": child.kind,
        "state": child.state,
        "pid": child.pid,
        "starts": child.starts,
        "last_exit": child.last_exit,
    }
