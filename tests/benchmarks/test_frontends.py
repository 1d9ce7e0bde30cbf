"""The benchmark of replicas and frontends: what it says of the machine, and that it measures what it says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def frontends(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.frontends")


def usage(frontends: Any, rate: float, frontend: float, worker: float) -> Any:
    """A second of load, and the cores that it took."""
    load = import_module("benchmarks.load").Load(
        tool="own", requests=int(rate), seconds=1.0, p50=0.001, p99=0.002, errors=0
    )
    return frontends.Usage(
        load=load, frontend=frontend, workers={"constant": worker}, rest=0.0, generator=0.25, models={}, hits=0
    )


@pytest.mark.parametrize(("cores", "enough"), [(2, False), (4, True)])
def test_what_the_cores_cannot_show_is_said(
    frontends: Any, monkeypatch: pytest.MonkeyPatch, cores: int, enough: bool
) -> None:
    """The ceiling is by the processor time of a query, for each frontend; not to reach it may be for want of cores."""
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    seen = {1: [usage(frontends, 20_000, 1.0, 0.5)], 2: [usage(frontends, 24_000, 1.2, 0.5)]}
    *lines, said = frontends._ceilings(seen)
    assert "20,000 (20,000–20,000)" in lines[1]
    assert lines[2].count("40,000 (40,000–40,000)") == 1
    assert said.startswith("ratio of the median rates 1.20. Beside one frontend, worker and generator take 0.75 cores")
    assert ("each of two has one of its own" in said) is enough


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_a_small_run(frontends: Any) -> None:
    """Every server is loaded without an error, and each frontend of two hears of the other."""
    report = frontends.measure_frontends(1, 1.0)
    assert [goal.what.partition(" ")[0] for goal in report.goals] == ["rate", "news"]
    for kind in ("replicas", "frontends"):
        assert [it[0]["errors"] for it in report.data[kind].values()] == [0, 0]
        assert all(it[0]["requests"] > 0 for it in report.data[kind].values())
    assert len(report.data["news_ms"]) == len(report.data["by_id_ms"]["other"]) == 20
