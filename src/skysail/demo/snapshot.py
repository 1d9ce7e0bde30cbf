"""What the demo shows at one moment, as plain data: taken from the drive and the server's status, drawn by `view`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from skysail.demo.drive import Drive
from skysail.demo.models import APP
from skysail.demo.score import Result

__all__ = ["ModelView", "Snapshot", "percentile", "take"]

_RECENT = 200
"""How many answers the recent error is taken over."""

_SECONDS = 2.0
"""Over how many seconds rates and latencies are taken."""


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """One model's line."""

    ref: str
    """Its version in the latest answer."""

    weight: float
    """How much the policy trusts it."""

    batch: float
    """Rows in a batch, on average since its version is current."""

    recent: float
    """Its share of wrong answers among the last 200."""

    whole: float
    """The same since the start."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of the run."""

    elapsed: float
    answered: int
    rate: float
    """Queries answered per second."""

    p50: float
    """Median milliseconds from sending to the answer, seen by the client."""

    p99: float
    """The 99th percentile of the same."""

    server_p99: float
    """The server's own 99th percentile, in milliseconds since its start."""

    cache_hits: int
    """Evaluations that the cache saved."""

    cache_share: float
    """Their share of all that were looked up there."""

    taught: int
    defaults: int
    failures: int
    models: tuple[ModelView, ...]
    recent: Mapping[str, float]
    """The share of wrong answers among the last 200, for Skysail and the majority vote too."""

    whole: Mapping[str, float]
    """The same since the start."""


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of the values does not exceed; NaN of none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def take(drive: Drive) -> Snapshot:
    """The present moment of a drive."""
    scores, now = drive.scores, drive.elapsed
    latest: list[Result] = list(takewhile(lambda result: result.at > now - _SECONDS, reversed(scores.results)))
    latencies = [result.latency * 1000 for result in latest]
    recent, whole = scores.errors(_RECENT), scores.errors()
    app = drive.status.get("apps", {}).get(APP, {})
    models = drive.status.get("models", {})
    cache = drive.status.get("cache")
    hits = _number(cache, "hits", 0.0)
    looked_up = hits + _number(cache, "misses", 0.0)
    return Snapshot(
        elapsed=now,
        answered=len(scores.results),
        rate=len(latest) / min(_SECONDS, now) if now > 0 else 0.0,
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        server_p99=_number(app.get("latency_ms"), "p99"),
        cache_hits=int(hits),
        cache_share=hits / looked_up if looked_up else math.nan,
        taught=drive.taught,
        defaults=drive.defaults,
        failures=len(drive.failures),
        models=tuple(
            ModelView(
                ref=ref,
                weight=_number(app.get("weights"), name),
                batch=_mean_batch(models.get(name, {})),
                recent=recent[name],
                whole=whole[name],
            )
            for name, ref in scores.current.items()
        ),
        recent=recent,
        whole=whole,
    )


def _mean_batch(model: Mapping[str, Any]) -> float:
    """Rows over batches; NaN before the first batch."""
    batches = _number(model, "batches", 0.0)
    return _number(model, "rows") / batches if batches else math.nan


def _number(section: Mapping[str, Any] | None, key: str, missing: float = math.nan) -> float:
    """A number of the status document; it may not be there yet while nothing has been measured."""
    value = (section or {}).get(key)
    return missing if value is None else float(value)
