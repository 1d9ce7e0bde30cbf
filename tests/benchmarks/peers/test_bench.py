from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def window(module: Any, **values: Any) -> Any:
    """A second in which all went well, but for this."""
    numbers = dict.fromkeys(("errors", "refused", "timeouts", "unsent"), 0) | {
        "seconds": 1.0, "offered": 10, "answered": 10, "in_limit": 10, "p50_ms": 1.0, "p99_ms": 3.0, "max_ms": 4.0,
        "refused_p99_ms": math.nan, "late_p99_ms": 0.0, "late_max_ms": 0.0,
    }  # fmt: skip
    return module("steps").Window(**(numbers | values))


@pytest.mark.parametrize(
    ("seconds", "before", "recovered"),
    [
        ([{}], 3.0, 0.0),
        ([{"answered": 9}, {}], 3.0, 1.0),  # something failed in the first second
        ([{"p99_ms": 40.0}, {"p99_ms": 15.0}, {}], 3.0, 2.0),  # 10 ms is normal at least
        ([{"p99_ms": 40.0}, {"p99_ms": 15.0}, {}], 9.0, 1.0),  # twice that of before is
        ([{"p99_ms": 60.0}, {}], 500.0, 1.0),  # but nothing beyond the limit
        ([{"p99_ms": math.nan, "answered": 0}], 3.0, None),
        ([{"offered": 0, "answered": 0}, {}], math.nan, 1.0),
    ],
)
def test_when_latency_is_normal_again(
    module: Any, seconds: list[dict[str, Any]], before: float, recovered: float | None
) -> None:
    """The first second in which nothing failed and the latency is like before."""
    assert module("steps").recovery([window(module, **it) for it in seconds], before) == recovered


@pytest.fixture
def bench(module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run of one system whose closed loops do what they are told, in the time that there is."""
    steps, records = module("bench"), module("records")
    workload = module("workloads").Workload(name="noop784", file=Path("noop784"), rows=["[1]"], labels=[7])

    def run(do: Any, seconds: float = 1e6) -> Any:
        results = records.Results()
        monkeypatch.setattr(steps, "load", do)
        budget = module("plan").Budget(seconds / 60)
        systems = [module("systems").SYSTEMS["fastapi"]]
        steps.Bench(systems, [workload], module("plan").Amount(), budget, results).run(["closed"])
        return results

    return run


def test_what_fails_is_on_record_and_not_tried_for_ever(module: Any, bench: Any) -> None:
    """After two failures a system is left alone; the reason stands in the result."""

    def fails(*_: Any) -> Any:
        raise module("bench").BenchmarkError("it ended with exit code 1")

    results = bench(fails)
    assert [(it.system, it.step, it.reason) for it in results.failures] == [
        ("fastapi", "closed noop784", "it ended with exit code 1")
    ] * 2
    assert results.systems() == []


def test_what_there_is_no_time_for_is_cut_and_said(bench: Any) -> None:
    """Every round that is left out is named."""

    def never(*_: Any) -> Any:
        raise AssertionError

    results = bench(never, seconds=5.0)
    assert results.cut == ["closed noop784 fastapi"] * 5


def test_rounds_are_recorded(module: Any, bench: Any) -> None:
    """Each with its number, and how many answers were right."""
    made = module("records").Closed

    def load(system: Any, workload: Any, connections: Any, step: Any) -> Any:
        numbers = {"p50_ms": 1.0, "p99_ms": 2.0, "errors": 0, "cpu_us": 3.0, "memory_mib": 4.0}
        at = {"system": system.name, "workload": workload.name, "round": step.round}
        return [made(connections=count, rate=5.0, **at, **numbers) for count in connections], "40/40"

    results = bench(load)
    assert [(it.round, it.connections) for it in results.closed] == [(n, c) for n in range(5) for c in (64, 256)]
    assert results.right == {"fastapi, noop784": "40/40"}
    assert json.loads(json.dumps(results.as_json(), allow_nan=False))["closed"][0]["rate"] == 5.0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are found in /proc")
def test_a_small_run_of_ours_alone(tmp_path: Path) -> None:
    """`skysail serve` is started, asked, loaded, looked at and ended, with nothing left of it; the file says so."""
    file = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "benchmarks.peers", "--quick", "--systems", "skysail", "--models", "noop784"]
    command += ["--only", "closed", "idle", "--json", str(file)]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No step failed." in done.stdout
    numbers = json.loads(file.read_text())
    assert numbers["results"]["right"] == {"skysail, noop784": "40/40"}
    assert [it["connections"] for it in numbers["results"]["closed"]] == [64, 256]
    assert numbers["results"]["idle"][0]["workers"] == 5
    assert numbers["measures"][0]["more_is_worse"]
    assert sorted(tmp_path.iterdir()) == [file, file.with_suffix(".png")]
