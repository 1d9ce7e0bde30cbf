"""The benchmark of modularity: its arithmetic, and that it measures what it says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports of benchmarks by name; they are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"benchmarks.{name}")


def usage(module: Any, **workers: float) -> Any:
    """A second in which 1,000 queries were answered, each by all models, whose workers took so many seconds."""
    usage = module("usage")
    return usage.Usage(
        load=module("load").Load(tool="own", requests=1_000, seconds=1.0, p50=0.01, p99=0.02, errors=0),
        frontend=0.1,
        workers=workers,
        rest=0.01,
        generator=0.09,
        models={name: usage.Evaluated(1_000, 40) for name in workers},
        hits=0,
    )


def test_a_worker_is_held_to_the_loop(module: Any) -> None:
    """A loop of 90 µs of processor and 100 µs by the clock allows 11,111 rows in a processor second, and 10,000 in one
    by the clock; a worker that takes 120 µs, and answers 1,000, keeps three quarters and a tenth of them.
    """
    served = usage(module, m=0.12)
    pair = module("modularity").Pair(
        served=served, alone=module("zoo").Alone(decode=10e-6, predict=80e-6, wall=100e-6), name="m"
    )
    assert pair.worker == pytest.approx(120e-6)
    assert pair.by_cpu == pytest.approx(0.75)
    assert pair.by_clock == pytest.approx(0.1)
    assert served.models["m"].batch == 25


def test_a_load_is_summed_up(module: Any) -> None:
    """Everything that took a processor counts for how many were busy."""
    assert usage(module, a=0.3, b=0.5).busy == pytest.approx(1.0)
    assert usage(module, a=0.3).rate == 1_000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_a_small_run(module: Any) -> None:
    """Each model is served and run in process; the expensive ones have a goal."""
    modularity = module("modularity")
    report = modularity.measure_modularity(1, 0.3)
    assert set(report.data) == set(modularity.MODELS)
    for [seen] in report.data.values():
        assert 0 < seen["alone_us"] <= seen["alone_wall_us"] * 1.5
        assert seen["rows"] >= seen["batches"] > 0 < seen["worker_us"]
    assert len(report.goals) == sum(modularity.MODELS.values())
