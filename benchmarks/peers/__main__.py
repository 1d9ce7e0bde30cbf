"""Skysail beside other servers: the same models, the same rows, the same generators, one run on one machine.

    python -m benchmarks.peers                       # everything, in 45 minutes at most
    python -m benchmarks.peers --quick               # the fast ones, one short round: to see that it works
    python -m benchmarks.peers --systems skysail triton --models linear784 --only closed overload --minutes 10

Installs each peer into an environment of its own, when first needed. Prints each step as it is done, then the tables
and what Skysail is held to, and writes all of it as JSON and as a picture. Exits 0 whether or not the goals are met,
for that is up to the machine too, and 1 where a system that was asked for could not be measured at all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ensemble import measure_ensemble
from benchmarks.machine import describe_machine
from benchmarks.peers.bench import DYNAMIC, Bench, installed
from benchmarks.peers.environments import versions
from benchmarks.peers.goals import goals, measures, tables
from benchmarks.peers.plan import QUICK, Amount, Budget, fitted
from benchmarks.peers.plot import draw
from benchmarks.peers.records import Failure, Results
from benchmarks.peers.servers.skysail_serve import configuration
from benchmarks.peers.steps import OBJECTIVES
from benchmarks.peers.systems import SYSTEMS, System
from benchmarks.peers.workloads import MODELS, make_workloads
from benchmarks.report import BenchmarkError, Report

__all__ = ["main"]

_KINDS = ("closed", "overload", "open", "idle")
_ENSEMBLE = "ensemble"
_ENSEMBLE_SECONDS = 75.0
_RESULTS = Path(__file__).parents[1] / "results" / "peers"
_WORKLOADS = Path(__file__).parents[2] / "build" / "peers"
_MINUTES = 45.0

_METHOD = """\
One system runs at a time, started anew for each step, on the loopback of this machine, whose cores it shares with the
generator. Every system holds the same model in one worker, unless more helped it, with one thread for each; all are
sent the same rows as JSON over HTTP, no two inputs alike. In each round every system has its turn, in changing order.
Numbers are medians (least–greatest) over rounds. 40 answers of each are checked before it is loaded.
Closed loop: wrk; answers with 2xx count. 1 s before each does not. The fast systems have more rounds than the others.
In process: decoding as our worker does and the model's call, batch after batch of that size, nothing else.
Open loop: random arrivals (Poisson), latency from when a request was due, given up after 2 s. The highest rate with p99
≤ 20 ms and no failure, by halving, to 3 % of the closed-loop rate; a rate that fails is tried once more.
Overload: 3 × its own closed-loop rate for 10 s, half of it before and after; answers within 50 ms of their due time
count. Refused: 503 or 429. Normal again: the first second in which nothing fails and the p99 is at most twice that of
before (10 ms is normal, over 50 ms is not). Memory: all processes, each page counted once (PSS). Capacities are each
system's own. The generator of the open loops says how late it was itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    budget, results = Budget(options.minutes), Results()
    kinds = [kind for kind in _KINDS if kind in options.only]
    asked = [SYSTEMS[name] for name in SYSTEMS if name in options.systems and (kinds or name == "skysail")]
    machine = describe_machine()
    print("\n".join(f"{key:10} {value}" for key, value in machine.items()), flush=True)
    systems = installed(asked, results, budget)
    workloads = list(make_workloads(_WORKLOADS, [name for name in MODELS if name in options.models]).values())
    dynamic = sum(workload.name in DYNAMIC for workload in workloads)
    wanted = QUICK if options.quick else Amount()
    five = _ENSEMBLE in options.only and SYSTEMS["skysail"] in systems
    seconds = budget.left * 0.95 - five * _ENSEMBLE_SECONDS
    amount, given_up = fitted(wanted, seconds, lambda amount: amount.cost(systems, len(workloads), dynamic))
    results.cut += given_up
    ensemble = None
    try:
        Bench(systems, workloads, amount, budget, results).run(kinds)
        if five:
            ensemble = _ensemble(amount, budget, results)
    except KeyboardInterrupt:
        results.cut.append("all after the interruption")
    file = options.json or _RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    _report(machine, asked, amount, results, ensemble, file)
    measured = {*results.systems()} | ({"skysail"} if ensemble else set())
    return 1 if {system.name for system in asked} - measured else 0


def _ensemble(amount: Amount, budget: Budget, results: Results) -> Report | None:
    """Five models for each query, which no peer has: Skysail beside what the models' own processor time allows."""
    if budget.left < _ENSEMBLE_SECONDS:
        results.cut.append(_ENSEMBLE)
        return None
    try:
        return measure_ensemble(amount.rounds, amount.seconds)
    except (BenchmarkError, OSError) as error:
        results.failures.append(Failure(system="skysail", step=_ENSEMBLE, reason=str(error)))
        return None


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Skysail beside other servers.", prog="python -m benchmarks.peers")
    parser.add_argument("--quick", action="store_true", help="the fast systems, one short round: to see that it works")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="time for everything (45)")
    for name, choices, what in (("only", (*_KINDS, _ENSEMBLE), "kinds of steps"), ("models", MODELS, "models")):
        parser.add_argument(f"--{name}", nargs="+", choices=choices, default=list(choices), metavar="NAME",
                            help=f"some {what} of {', '.join(choices)}")  # fmt: skip
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), metavar="NAME",
                        help=f"some of {', '.join(SYSTEMS)}")  # fmt: skip
    parser.add_argument("--json", type=Path, help="file for the numbers (benchmarks/results/peers/TIME.json)")
    options = parser.parse_args(arguments)
    if options.systems is None:
        options.systems = [name for name, system in SYSTEMS.items() if system.contender or not options.quick]
    return options


def _report(
    machine: dict[str, str],
    systems: Sequence[System],
    amount: Amount,
    results: Results,
    ensemble: Report | None,
    file: Path,
) -> None:
    settings = [f"{system.name:10} {_versions(system)}{system.tuned}" for system in systems]
    held = goals(results) + ([] if ensemble is None else ensemble.goals)
    failures = [f"{it.system}, {it.step}: {it.reason}" for it in results.failures]
    objectives = ", ".join(f"{slo} ({kind})" for kind, slo in OBJECTIVES.items())
    print("\nBeside other servers", "--------------------", _METHOD, "", *settings, sep="\n")
    print(f"\nskysail.toml, with slo = {objectives}, for a model:{configuration(Path('model.joblib'), 784, '50ms')}")
    print(*tables(results), sep="\n")
    if ensemble is not None:
        print("", ensemble.title, ensemble.method, "", *ensemble.lines, "", sep="\n")
    print(*map(str, held), sep="\n")
    print("\nNot measured, or not in full: " + ("; ".join(results.cut) or "nothing was cut"))
    print("\n".join(["Failures:", *failures]) if failures else "No step failed.")
    numbers = {
        "machine": machine,
        "method": _METHOD,
        "systems": {system.name: {"versions": _versions(system), "tuned": system.tuned} for system in systems},
        "amount": asdict(amount),
        "results": results.as_json(),
        "ensemble": None if ensemble is None else ensemble.data,
        "goals": [asdict(goal) | {"met": goal.met} for goal in held],
        "measures": [asdict(measure) for measure in measures(results)],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(numbers, indent=1) + "\n")
    draw(file.with_suffix(".png"), results)
    print(f"\nThe numbers are in {os.path.relpath(file)}, the picture of them is beside it")


def _versions(system: System) -> str:
    return f"({versions(system.environment, system.packages)}) " if system.packages else ""


if __name__ == "__main__":
    sys.exit(main())
