"""What one frontend counts, as JSON values: read from plain counters when somebody asks, never on the way of a
request.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from skysail.applications import Application
from skysail.batching.station import Station
from skysail.feedback.judge import losses
from skysail.replicas.version import Version
from skysail.selection.base import Loss
from skysail.selection.reach import covered
from skysail.types import Cover, Decision, Distribution, Notes, Observation

__all__ = ["app_snapshot", "memory_bytes", "version_snapshot", "why"]

_STATM = Path("/proc/self/statm")


def app_snapshot(app: Application, weights: dict[str, float]) -> dict[str, Any]:
    """An application's answers, defaults, errors, latency and learning so far."""
    counters = app.counters
    latency = counters.latency
    return {
        "answers": counters.answers,
        "defaults": dict(counters.defaults),
        "errors": dict(counters.errors),
        "effective": {"judged": counters.judged, "right": counters.right},
        "versions": {ref: {"judged": judged, "right": right} for ref, (judged, right) in counters.versions.items()},
        "conformal": None if app.calibration is None else asdict(app.calibration.tally()),
        "latency": {
            "le": list(latency.bounds),
            "counts": list(latency.counts),
            "sum": latency.total,
            "recent": latency.window(),
        },
        "weights": weights,
        "observations": counters.observations,
        "duplicates": counters.duplicates,
        "contexts": {
            "held": app.states.held,
            "read": counters.contexts_read,
            "put_off": counters.contexts_put_off,
        },
        "evaluations": {"made": counters.evaluations, "refused": counters.evaluations_refused},
        "left_out": dict(counters.left_out),
        "stood_in": counters.stood_in,
        "hedges": {"asked": counters.hedges, "won": counters.hedges_won},
        "losses_clipped": counters.losses_clipped,
        "policy_failures": counters.policy_failures,
        "policy_traceback": counters.policy_traceback,
    }


def version_snapshot(version: Version, frontend: str) -> dict[str, Any]:
    """A model version's replicas, queue, batches and cache, in the frontend of that name."""
    queue = version.batcher.statistics()
    seen = version.sharing
    return {
        "replicas": {
            replica.name: {
                "state": s.state,
                "pid": s.pid,
                "inflight": s.inflight,
                "kills": s.kills,
                "batch": _learned(replica.station),
            }
            for replica in version.replicas
            for s in [replica.statistics()]
        },
        "ready": version.ready,
        "input": None if version.hello is None else version.hello.input,
        "queue": queue.queued,
        "batches": queue.batches,
        "rows": queue.rows,
        "batch_seconds": queue.seconds,
        "worker_seconds": queue.busy,
        "predict_seconds": queue.predicting,
        "errors": queue.failures,
        "batch": {
            "cap": queue.cap,
            "caps": {frontend: queue.cap},
            "depth": queue.depth,
            "p50": queue.p50,
            "p99_ms": _ms(queue.p99),
            "budget_ms": _ms(queue.budget),
            "held": queue.held,
        },
        "traceback": version.traceback,
        "cache": {"hits": seen.hits, "misses": seen.misses, "joined": seen.joined},
    }


def _learned(station: Station) -> dict[str, float] | None:
    """How long a replica's batches take, by their rows: a fixed part, a part for each, and the band of 99 in 100; and
    how many rows it may be given. `None` before its first batch.
    """
    line = station.estimator
    if not line.p99(1):
        return None
    return {
        "cap": station.sizing.cap,
        "fixed_ms": line.fixed * 1e3,
        "row_ms": line.per_row * 1e3,
        "band_ms": (line.p99(0) - line.fixed) * 1e3,
    }


def why(
    decision: Decision,
    observation: Observation | None,
    *,
    loss: Loss | None = None,
    trust: Distribution | None = None,
) -> dict[str, Any]:
    """A decision as a person reads it: who was asked and why, what they said and when, what became of it.

    `loss` is the application's, and `trust` what its policy thinks of the same models by now; both are left out where
    another policy has taken over since.
    """
    then, notes = decision.distribution, decision.notes or Notes()
    judged = {} if observation is None or loss is None else losses(_as_of(decision, observation), observation, loss)
    return {
        "prediction_id": decision.id,
        "app": decision.app,
        "policy": decision.policy,
        "context": decision.context,
        "time": decision.time,
        "latency_ms": decision.latency,
        "output": _value(decision.answer),
        "confidence": decision.confidence,
        "agreement": decision.agreement,
        "conformal": None if decision.cover is None else _cover(decision.cover, observation),
        "default": decision.default,
        "reason": decision.reason,
        "fallback": decision.fallback,
        "hedge": notes.hedge,
        "policy_raised": notes.raised,
        "left_out": notes.late,
        "eta": then.eta,
        "weights": dict(zip(then.models, then.weights, strict=True)),
        "weights_now": None if trust is None else dict(zip(trust.models, trust.weights, strict=True)),
        "models": [_part(decision, notes, place, judged.get(name)) for place, name in enumerate(decision.models)],
        "input_digest": decision.digest.hex(),
        "input": None if decision.input is None else decision.input.decode("utf-8", "backslashreplace"),
        "feedback": None
        if observation is None
        else {"label": _value(observation.label), "reward": observation.reward, "time": observation.time},
    }


def _cover(cover: Cover, observation: Observation | None) -> dict[str, Any]:
    """What was said to hold the label, and whether it did."""
    label = None if observation is None else observation.label
    return {
        "policy_confidence": cover.own,
        "level": cover.level,
        "set": None if cover.size is None else [_value(raw) for raw in cover.ranked[: cover.size]],
        "interval": cover.interval,
        "covered": None if label is None else covered(cover, _value(label)),
    }


def _part(decision: Decision, notes: Notes, place: int, loss: float | None) -> dict[str, Any]:
    """One model's part in a decision: why it was asked, what it said and when, what stood in for it, what it lost."""
    output, latency, propensity = decision.outputs[place], decision.latencies[place], decision.propensities[place]
    hedged = notes.hedge == "model" and place == 1
    return {
        "model": decision.asked[place],
        "asked": "picked" if propensity > 0.0 else "hedge" if hedged else "fallback",
        "propensity": propensity,
        "output": _value(output),
        "late": output is not None and latency is not None and latency > decision.latency,
        "failure": decision.failures[place],
        "latency_ms": latency,
        "mean": _value(notes.means.get(decision.models[place])),
        "loss": loss,
    }


def _as_of(decision: Decision, observation: Observation) -> Decision:
    """The decision without what came after the observation, which was judged by what was there."""
    since = (observation.time - decision.time) * 1e3 + decision.latency
    after = [latency is not None and latency > since for latency in decision.latencies]
    if not any(after):
        return decision
    outputs = [None if late else output for late, output in zip(after, decision.outputs, strict=True)]
    return msgspec.structs.replace(decision, outputs=outputs)


def memory_bytes() -> int:
    """What this process holds in memory now; where the system does not say, the most it ever held."""
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _value(raw: bytes | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)
