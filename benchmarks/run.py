"""All benchmarks, with the machine and the method they print.

    python -m benchmarks.run                     # what a change may have made slower, in about five minutes
    python -m benchmarks.run --all               # everything, in about six
    python -m benchmarks.run --all --quick       # less of everything, in under one: to see that it works
    python -m benchmarks.run --only throughput --rounds 9 --seconds 5

Prints each report as it is ready, then writes all of them as JSON. Exits 0 whether or not the goals are met, for that
is up to the machine too, and 1 where something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks.cache import measure_cache
from benchmarks.contexts import measure_contexts
from benchmarks.ensemble import measure_ensemble
from benchmarks.frontends import measure_frontends
from benchmarks.machine import describe_machine
from benchmarks.memory import measure_idle, measure_memory
from benchmarks.micro import measure_parts
from benchmarks.modularity import measure_modularity
from benchmarks.report import BenchmarkError, Report
from benchmarks.throughput import measure_latency, measure_throughput

__all__ = ["BENCHMARKS", "Amount", "main"]

_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is measured."""

    rounds: int = 5
    """Rounds of each server."""

    seconds: float = 2.0
    """How long a round takes."""

    queries: int = 1_000_000
    """Queries over which memory is watched."""

    cache: str = "64MiB"
    """Size of the cache, which is filled before anything is measured."""

    contexts: int = 200_000
    """Contexts in the file."""

    lookups: int = 10_000
    """Lookups of each kind."""

    idle: float = 5.0
    """How long an idle server is watched, in seconds."""


_QUICK = Amount(rounds=2, seconds=1.0, queries=20_000, cache="4MiB", contexts=5_000, lookups=1_000, idle=1.0)

BENCHMARKS: dict[str, Callable[[Amount], Report]] = {
    "throughput": lambda amount: measure_throughput(amount.rounds, amount.seconds, amount.cache),
    "latency": lambda amount: measure_latency(min(amount.rounds, 3), amount.seconds, amount.cache),
    "idle": lambda amount: measure_idle(amount.idle),
    "memory": lambda amount: measure_memory(amount.queries, amount.cache),
    "contexts": lambda amount: measure_contexts(amount.contexts, amount.lookups),
    "parts": lambda amount: measure_parts(),
    "cache": lambda amount: measure_cache(min(amount.rounds, 3), min(amount.seconds, 1.0)),
    "modularity": lambda amount: measure_modularity(min(amount.rounds, 3), min(amount.seconds, 1.0)),
    "frontends": lambda amount: measure_frontends(amount.rounds, amount.seconds),
    "ensemble": lambda amount: measure_ensemble(min(amount.rounds, 3), amount.seconds),
}
"""The benchmarks by name, in the order they are run."""

_LONG = ("memory", "contexts", "frontends")
"""Those that are run when they are asked for: they take minutes to say that nothing grows, and change seldom."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description="Skysail's benchmarks.", prog="python -m benchmarks.run")
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it works")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help=f"with {', '.join(_LONG)}")
    which.add_argument("--only", nargs="+", choices=list(BENCHMARKS), metavar="NAME",
                       help=f"some of {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="rounds of each server (5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="seconds of each round (2; quick: 1)")
    parser.add_argument("--contexts", type=int, help="contexts in the file (200,000; quick: 5,000)")
    parser.add_argument("--json", type=Path, help="file for the numbers (benchmarks/results/TIME.json)")
    options = parser.parse_args(arguments)
    base = _QUICK if options.quick else Amount()
    asked = {key: getattr(options, key) for key in ("rounds", "seconds", "contexts")}
    amount = replace(base, **{key: value for key, value in asked.items() if value})
    wanted = options.only or [name for name in BENCHMARKS if options.all or name not in _LONG]
    return _run([name for name in BENCHMARKS if name in wanted], amount, options.json or _results_file())


def _run(names: Sequence[str], amount: Amount, file: Path) -> int:
    machine = describe_machine()
    print("\n".join(f"{key:10} {value}" for key, value in machine.items()), flush=True)
    reports = {}
    failed = 0
    for name in names:
        began = perf_counter()
        try:
            reports[name] = BENCHMARKS[name](amount)
        except (BenchmarkError, OSError) as error:
            failed += 1
            print(f"\n{name}: not measured: {error}", flush=True)
        else:
            print(f"\n{reports[name]}\n({name}: {perf_counter() - began:.0f} s)", flush=True)
    numbers = {
        "machine": machine,
        "amount": asdict(amount),
        "reports": {name: report.as_json() for name, report in reports.items()},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"\nThe numbers are in {os.path.relpath(file)}")
    return 1 if failed else 0


def _results_file() -> Path:
    return _RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"


if __name__ == "__main__":
    sys.exit(main())
