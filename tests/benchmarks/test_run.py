from __future__ import annotations

import json
import os
import subprocess
import sys
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


def rounds(module: Any, rates: list[float], *, cpu: float = 2.0, errors: int = 0) -> list[Any]:
    """Rounds of two seconds with these rates, p50 1 ms and p99 4 ms."""
    load, kind = module("load").Load, module("throughput").Round
    return [
        kind(
            load=load(tool="own", requests=int(2 * rate), seconds=2.0, p50=0.001, p99=0.004, errors=errors),
            cpu={"frontend": cpu, "worker": cpu / 2},
        )
        for rate in rates
    ]


def test_a_table_is_aligned(module: Any) -> None:
    """The first column stands to the left, the others to the right, and no line ends in blanks."""
    assert module("report").table(["name", "µs", ""], [["a", 1.5, ""], ["longer", 10, "x"]]) == [
        "name     µs",
        "a       1.5",
        "longer   10  x",
    ]


def test_a_spread_is_the_median_and_the_extremes(module: Any) -> None:
    """The median stands first, then the least and the greatest, all with as many digits as asked for."""
    spread = module("report").spread
    assert spread([5, 1, 2]) == "2 (1–5)"
    assert spread([0.5, 1000.0], 1) == "500.2 (0.5–1,000.0)"


@pytest.mark.parametrize(("value", "least", "met"), [(5.0, False, False), (4.9, False, True), (5.0, True, True)])
def test_a_goal_is_kept_or_missed(module: Any, value: float, least: bool, met: bool) -> None:
    """A limit from above must be stayed below; one from below may be touched."""
    goal = module("report").Goal(what="p99", value=value, limit=5.0, least=least, unit="ms")
    assert goal.met is met
    assert str(goal).endswith("met" if met else "MISSED")
    assert "5 ms" in str(goal)


def test_servers_are_compared_by_medians_and_by_pairs(module: Any) -> None:
    """The ratio is that of the medians, for rates and for costs; each pair has its own; errors are summed."""
    bare, ours = rounds(module, [100, 400, 300]), rounds(module, [100, 100, 150], cpu=1.5, errors=2)
    *lines, ratios = module("throughput").compare(bare, ours)
    assert ratios.startswith("ratio of the median rates 0.33; of each pair 1.00 0.25 0.50; ")
    assert ratios.endswith("processor times, bare to Skysail, 0.44")
    assert [line.split()[0] for line in lines] == ["queries/s", "bare", "skysail"]
    assert lines[1].split()[-1] == "0"
    assert lines[2].split()[-1] == "6"


def test_processor_time_is_counted_per_query(module: Any) -> None:
    """Two seconds of a processor for 200 queries are 10 ms for each."""
    assert rounds(module, [100])[0].cpu_micros("frontend") == pytest.approx(10_000)


def test_the_cost_of_a_call_is_the_least_of_fresh_repetitions(module: Any) -> None:
    """Inputs are made anew for each repetition, each is used once, and the cost is positive."""
    made, used = [], []

    def make() -> list[int]:
        made.append(1)
        return [1, 2, 3]

    assert module("micro").cost(used.append, make, 4) > 0
    assert (len(made), used) == (4, [1, 2, 3] * 4)


def test_the_machine_is_described(module: Any) -> None:
    """Numbers come with what they depend on, none of it empty."""
    told = module("machine").describe_machine()
    assert {"date", "processor", "system", "load", "python", "versions", "data path", "commit"} == set(told)
    assert all(told.values())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_memory_and_processor_of_a_process(module: Any) -> None:
    """This process holds some memory and has run; the sampler sees it even in a moment."""
    machine = module("machine")
    assert machine.memory_bytes(os.getpid()) > 1 << 20
    assert machine.cpu_seconds(os.getpid()) > 0
    with machine.MemorySampler(lambda: {"me": machine.memory_bytes(os.getpid())}) as sampler:
        pass
    assert sampler.peak["me"] > 1 << 20


def test_an_unknown_benchmark_is_refused(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The names there are stand in the message."""
    with pytest.raises(SystemExit):
        module("run").main(["--only", "speed"])
    assert "throughput" in capsys.readouterr().err


def test_what_cannot_be_measured_is_said(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A benchmark that fails is named with the reason, the others run, and the exit code tells."""
    run = module("run")

    def fails(amount: Any) -> Any:
        raise module("report").BenchmarkError("no server")

    report = module("report").Report(title="Idle", method="", lines=["all well"], data={"n": 1})
    monkeypatch.setattr(run, "BENCHMARKS", {"throughput": fails, "idle": lambda amount: report})
    file = tmp_path / "new" / "numbers.json"
    assert run.main(["--json", str(file), "--only", "throughput", "idle"]) == 1
    out = capsys.readouterr().out
    assert "throughput: not measured: no server" in out
    assert "all well" in out
    assert json.loads(file.read_text())["reports"]["idle"]["data"] == {"n": 1}


def test_a_process_that_is_gone_is_named(module: Any) -> None:
    """Numbers of a server that lost a process are none, and it is said which."""
    servers = module("servers")
    server = servers.Server(name="bare", url="", pids={"frontend": os.getpid(), "worker": 2**30})
    for look in (server.cpu, server.memory):
        with pytest.raises(module("report").BenchmarkError, match="its worker cannot"):
            look()


def test_a_server_that_does_not_start_says_why(module: Any) -> None:
    """What it wrote is in the error, and nothing is left running."""
    servers = module("servers")
    with pytest.raises(module("report").BenchmarkError, match="no_such_module"), servers._started("no_such_module"):
        pass


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_a_small_run(tmp_path: Path) -> None:
    """Both servers start, are loaded and end; the parts are measured; numbers are printed, and written as JSON."""
    file = tmp_path / "numbers.json"
    only = ["--only", "throughput", "parts", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks.run", "--quick", *only, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ratio of the median rates" in done.stdout
    reports = json.loads(file.read_text())["reports"]
    [seen] = reports["throughput"]["data"]["64 floats"]["skysail"]
    assert seen["rate"] > 0
    assert set(seen["cpu"]) == {"parent", "control", "frontend", "worker"}
    assert reports["parts"]["data"]["policies_us"]["adahedge"]["combine"] > 0


@pytest.mark.parametrize(
    ("arguments", "long"),
    [([], False), (["--all"], True), (["--only", "contexts"], True), (["--only", "cache"], False)],
)
def test_the_long_ones_are_run_when_they_are_asked_for(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], long: bool
) -> None:
    """What takes minutes to say that nothing grows is not part of what is run for every change."""
    run, asked = module("run"), list[str]()

    def measure(name: str) -> Any:
        asked.append(name)
        return module("report").Report(title=name, method="", lines=[], data={}, goals=[])

    monkeypatch.setattr(run, "BENCHMARKS", {name: lambda _, name=name: measure(name) for name in run.BENCHMARKS})
    assert run.main([*arguments, "--json", str(tmp_path / "numbers.json")]) == 0
    assert ("contexts" in asked) is long
    assert asked
    assert set(json.loads((tmp_path / "numbers.json").read_text())["reports"]) == set(asked)
