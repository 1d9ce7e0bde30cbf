from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def results(module: Any) -> Any:
    """Records as a run makes them, of rounds with these rates."""
    return module("records").Results()


def closed(
    module: Any, system: str, rates: list[float], workload: str = "linear784", connections: int = 64, **values: Any
) -> list[Any]:
    """Closed loops, one for each rate."""
    numbers = {"p50_ms": 1.0, "p99_ms": 2.0, "errors": 0, "cpu_us": 30.0, "memory_mib": 100.0} | values
    return [
        module("records").Closed(
            system=system, workload=workload, connections=connections, round=number, rate=rate, **numbers
        )
        for number, rate in enumerate(rates)
    ]


def overload(module: Any, **values: Any) -> Any:
    """An overload that Skysail came through well."""
    numbers = {
        "system": "skysail", "workload": "forest784", "round": 0, "capacity": 1000.0, "goodput": 950.0,
        "before_p99_ms": 4.0, "p99_ms": 30.0, "refused": 20_000, "refused_p99_ms": 1.0, "errors": 0, "timeouts": 0,
        "recovered_s": 1.0, "memory_before_mib": 100.0, "memory_peak_mib": 105.0, "memory_after_mib": 101.0,
        "late_p99_ms": 0.1, "statuses": {"200": 950}, "alive": True,
    }  # fmt: skip
    return module("records").Overload(**(numbers | values))


def verdicts(module: Any, results: Any) -> dict[str, bool]:
    """Whether each goal is met, by what it is."""
    return {goal.what: goal.met for goal in module("goals").goals(results)}


@pytest.mark.parametrize(("rate", "met"), [(2000.0, True), (1990.0, False)])
def test_rates_are_held_to_the_best_peer(module: Any, results: Any, rate: float, met: bool) -> None:
    """The median counts, the best peer is named, and errors are a goal of their own."""
    results.closed += closed(module, "skysail", [rate, rate, 9_000.0], errors=1)
    results.closed += closed(module, "mosec", [900.0]) + closed(module, "triton", [800.0, 1000.0, 5000.0])
    assert verdicts(module, results) == {
        "linear784, 64 connections: rate beside triton's": met,
        "linear784, 64 connections: errors": False,
    }


def test_what_was_not_measured_is_not_judged(module: Any, results: Any) -> None:
    """Without us, or without a peer, there is nothing to hold anybody to."""
    assert module("goals").goals(results) == []
    results.closed += closed(module, "triton", [1.0])
    assert module("goals").goals(results) == []
    assert module("goals").measures(results) == []


def test_the_forest_is_held_to_the_limit_of_its_batch(module: Any, results: Any) -> None:
    """A loop in one process with batches as large as there are connections."""
    results.closed += closed(module, "skysail", [850.0], "forest784", 64)
    results.closed += closed(module, "skysail", [850.0], "forest784", 256)
    limit = module("records").Limit
    results.limits += [limit(workload="forest784", round=0, batch=64, rate=1000.0)]
    results.limits += [limit(workload="forest784", round=0, batch=256, rate=2000.0)]
    assert list(verdicts(module, results).values()) == [True, False]


@pytest.mark.parametrize(("p50", "met"), [(0.25, [True, True]), (0.31, [False, True]), (0.5, [False, False])])
def test_a_lone_query_is_held_to_those_that_batch_and_to_one_that_does_not(
    module: Any, results: Any, p50: float, met: list[bool]
) -> None:
    """Below the best of the former, and 1.2 times the latter, which is not among the former."""
    for system, value in (("skysail", p50), ("triton", 0.3), ("mosec", 2.4), ("fastapi", 0.27)):
        results.closed += closed(module, system, [1.0], connections=1, p50_ms=value)
    assert list(verdicts(module, results).values()) == met


def test_open_loops_are_held_to_the_best_that_answers_at_all(module: Any, results: Any) -> None:
    """A peer that keeps the limit at no rate is no yardstick."""
    rate = module("records").OpenRate
    for system, found in (("skysail", 1800.0), ("triton", 1000.0), ("fastapi", 0.0)):
        results.open.append(rate(system=system, workload="linear784", round=0, rate=found, deaths=0, tried=[]))
    for system, found in (("skysail", 1800.0), ("triton", 0.0)):
        results.open.append(rate(system=system, workload="forest784", round=0, rate=found, deaths=0, tried=[]))
    assert verdicts(module, results) == {
        "linear784: highest open-loop rate with p99 ≤ 20 ms beside triton's": True,
    }


@pytest.mark.parametrize(
    ("values", "missed"),
    [
        ({}, []),
        ({"goodput": 890.0}, ["answers within 50 ms"]),
        ({"workload": "linear784", "goodput": 610.0}, []),
        ({"refused_p99_ms": 6.0}, ["p99 of a refusal"]),
        ({"refused_p99_ms": None, "refused": 0}, []),
        ({"recovered_s": 2.0}, ["normal latency"]),
        ({"recovered_s": None}, ["normal latency"]),
        ({"memory_after_mib": 111.0}, ["memory"]),
    ],
)
def test_an_overload_is_held_to_every_part(
    module: Any, results: Any, values: dict[str, Any], missed: list[str]
) -> None:
    """Useful answers, quick refusals, a quick return, and no memory kept."""
    results.overloads += [overload(module, **values), overload(module, system="triton", goodput=0.0)]
    found = [what for what, met in verdicts(module, results).items() if not met]
    assert len(found) == len(missed)
    for what, part in zip(found, missed, strict=True):
        assert part in what


def test_idling_is_held_to_its_limit(module: Any, results: Any) -> None:
    """Only ours is."""
    idle = module("records").Idle
    results.idle += [idle(system=name, workers=5, percent=0.6, memory_mib=1.0) for name in ("skysail", "fastapi")]
    assert list(verdicts(module, results).values()) == [False]


def test_measures_pair_what_was_measured_in_one_round(module: Any, results: Any) -> None:
    """A round without a peer gives no ratio; costs are ours alone."""
    results.closed += closed(module, "skysail", [200.0, 300.0, 400.0]) + closed(module, "triton", [100.0, 50.0])
    ratio, cost = module("goals").measures(results)
    assert (list(ratio.values), ratio.more_is_worse) == ([2.0, 6.0], False)
    assert (list(cost.values), cost.more_is_worse) == ([30.0] * 3, True)


def test_tables_show_every_system(module: Any, results: Any) -> None:
    """What was not measured is a dash; what is dead, or never recovered, is said."""
    results.closed += closed(module, "skysail", [1234.0]) + closed(module, "ray", [99.0], connections=256, errors=7)
    results.overloads += [overload(module, recovered_s=None, alive=False, refused_p99_ms=None)]
    results.idle += [module("records").Idle(system="skysail", workers=5, percent=0.25, memory_mib=150.0)]
    text = "\n".join(module("goals").tables(results))
    assert "1,234 (1,234–1,234)" in text
    assert "–" in next(line for line in text.splitlines() if line.startswith("ray"))
    assert "never; silent" in text
    assert "0.25" in text


def test_the_picture_has_a_bar_for_each_that_was_measured(module: Any, results: Any, tmp_path: Path) -> None:
    """Where a system was not measured there is a gap, and with nothing measured an empty frame."""
    plot = module("plot")
    plot.draw(tmp_path / "empty.png", results)
    results.closed += closed(module, "skysail", [1.0, 2.0]) + closed(module, "triton", [1.0], connections=256)
    results.overloads.append(overload(module))
    plot.draw(tmp_path / "some.png", results)
    assert (tmp_path / "empty.png").stat().st_size < (tmp_path / "some.png").stat().st_size
    bars = [bar.get_width() for axes in plot.figure_of(results).axes for bar in axes.patches]
    assert bars == [1.5, 1.0, 95.0]
