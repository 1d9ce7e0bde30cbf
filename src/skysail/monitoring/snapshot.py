"""What one frontend counts, as JSON values: read from plain counters when somebody asks, never on the way of a
request.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec

from skysail.applications import Application
from skysail.replicas.version import Version
from skysail.types import Decision, Observation

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
        "latency": {
            "le": list(latency.bounds),
            "counts": list(latency.counts),
            "sum": latency.total,
            "p50_ms": _ms(latency.recent(0.5)),
            "p99_ms": _ms(latency.recent(0.99)),
        },
        "weights": weights,
        "observations": counters.observations,
        "duplicates": counters.duplicates,
        "policy_failures": counters.policy_failures,
        "policy_traceback": counters.policy_traceback,
    }


def version_snapshot(version: Version) -> dict[str, Any]:
    """A model version's replicas, queue, batches and cache."""
    queue = version.batcher.statistics()
    seen = version.sharing
    return {
        "replicas": {
            replica.name: {"state": s.state, "pid": s.pid, "inflight": s.inflight, "kills": s.kills}
            for replica in version.replicas
            for s in [replica.statistics()]
        },
        "ready": version.ready,
        "input": None if version.hello is None else version.hello.input,
        "queue": queue.queued,
        "batches": queue.batches,
        "rows": queue.rows,
        "errors": queue.failures,
        "batch": {"cap": queue.cap, "depth": queue.depth, "p50": queue.p50, "p99_ms": _ms(queue.p99)},
        "traceback": version.traceback,
        "cache": {"hits": seen.hits, "misses": seen.misses, "joined": seen.joined},
    }


def why(decision: Decision, observation: Observation | None) -> dict[str, Any]:
    """A decision as a person reads it: who was asked and why, what they said and when, what became of it."""
    trust = decision.distribution
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
        "default": decision.default,
        "reason": decision.reason,
        "fallback": decision.fallback,
        "eta": trust.eta,
        "weights": dict(zip(trust.models, trust.weights, strict=True)),
        "models": [
            {
                "model": ref,
                "propensity": propensity,
                "output": _value(output),
                "failure": failure,
                "latency_ms": latency,
            }
            for ref, propensity, output, failure, latency in zip(
                decision.asked,
                decision.propensities,
                decision.outputs,
                decision.failures,
                decision.latencies,
                strict=True,
            )
        ],
        "input_digest": decision.digest.hex(),
        "input": None if decision.input is None else decision.input.decode("utf-8", "backslashreplace"),
        "feedback": None
        if observation is None
        else {"label": _value(observation.label), "reward": observation.reward, "time": observation.time},
    }


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
