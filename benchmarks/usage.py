"""What a load takes of the machine, by who takes it, and what it asks of each model."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.load import Load, measure
from benchmarks.report import BenchmarkError
from benchmarks.servers import Skysail

__all__ = ["Evaluated", "Usage", "load_once"]

_WARMUP = 1.0


class Evaluated(NamedTuple):
    """What a model was asked."""

    rows: int
    """Rows."""

    batches: int
    """The batches that they came in."""

    @property
    def batch(self) -> int:
        """The mean batch, in whole rows."""
        return max(1, round(self.rows / max(1, self.batches)))


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A load, and what it took: processor seconds."""

    load: Load
    """What clients saw."""

    frontend: float
    """Of the frontends."""

    workers: dict[str, float]
    """Of each model's workers."""

    rest: float
    """Of the control plane and the parent."""

    generator: float
    """Of what sent the requests."""

    models: dict[str, Evaluated]
    """What each model was asked."""

    hits: int
    """Rows that the cache answered."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.load.requests / self.load.seconds

    @property
    def busy(self) -> float:
        """Processors that were busy with it, on average."""
        return (self.frontend + sum(self.workers.values()) + self.rest + self.generator) / self.load.seconds


def load_once(
    server: Skysail, app: str, bodies: Sequence[str], *, connections: int, seconds: float, warmup: float = _WARMUP
) -> Usage:
    """Load an application with a closed loop, after a warm-up that does not count."""
    url = f"{server.url}/apps/{app}/predict"
    if warmup:
        measure(url, bodies, connections=connections, seconds=warmup, warmup=0)
    models, hits, cpu, generator = *_counted(server), server.cpu(), _generator()
    load = measure(url, bodies, connections=connections, seconds=seconds, warmup=0)
    generator = _generator() - generator
    cpu = {name: now - cpu[name] for name, now in server.cpu().items()}
    now, now_hits = _counted(server)
    if not load.requests:
        raise BenchmarkError(f"application {app} answered nothing in {seconds:g} s")
    workers = {
        model: sum(taken for name, taken in cpu.items() if name == "worker" or name.startswith(f"{model}@"))
        for model in models
    }
    frontend = sum(taken for name, taken in cpu.items() if name.startswith("frontend"))
    return Usage(
        load=load,
        frontend=frontend,
        workers=workers,
        rest=sum(cpu.values()) - frontend - sum(workers.values()),
        generator=generator,
        models={
            name: Evaluated(now[name].rows - it.rows, now[name].batches - it.batches) for name, it in models.items()
        },
        hits=now_hits - hits,
    )


def _counted(server: Skysail) -> tuple[dict[str, Evaluated], int]:
    status: dict[str, Any] = server.status()
    models = {name: Evaluated(it["rows"] or 0, it["batches"] or 0) for name, it in status["models"].items()}
    return models, status["cache"]["hits"]


def _generator() -> float:
    """Processor seconds of this process and those it has started and waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
