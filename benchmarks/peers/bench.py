"""The run as a whole: every step on every system, by turns, within the time; what fails or is cut is put on record."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.peers.environments import interpreter
from benchmarks.peers.plan import Amount, Budget, turns
from benchmarks.peers.records import Failure, Results
from benchmarks.peers.steps import Step, idle, in_process, load, overload, search
from benchmarks.peers.systems import System
from benchmarks.peers.workloads import Workload
from benchmarks.report import BenchmarkError

__all__ = ["DYNAMIC", "Bench", "installed"]

DYNAMIC = ("linear784", "forest784")
"""The models with which open loops are run."""

_LONE = "linear784"
_LIMITED = "forest784"
_CONNECTIONS = (64, 256)
_IDLE_WORKERS = 5
_OPEN_SHARE = 2 / 3
"""How long a rate of an open loop is held, of the time of a closed loop."""

_PATIENCE = 2
"""After so many failures at one kind of step with one model a system is not asked for it again."""


def installed(systems: Sequence[System], results: Results, budget: Budget) -> list[System]:
    """The systems whose environments there are, or could be made."""
    ready = []
    for system in systems:
        try:
            if system.environment:
                began = time.monotonic()
                interpreter(system.environment, max(60.0, budget.left / 2))
                if (took := time.monotonic() - began) > 1:
                    _say(f"environment {system.environment} made in {took:.0f} s")
        except (BenchmarkError, OSError) as error:
            results.failures.append(Failure(system=system.name, step="install", reason=str(error)))
            _say(f"{system.name} could not be installed: {error}")
        else:
            ready.append(system)
    return ready


class Bench:
    """One run."""

    def __init__(
        self, systems: Sequence[System], workloads: Sequence[Workload], amount: Amount, budget: Budget, results: Results
    ) -> None:
        self._systems = systems
        self._workloads = workloads
        self._amount = amount
        self._budget = budget
        self._results = results
        self._failed: Counter[tuple[str, str, str]] = Counter()

    def run(self, kinds: Sequence[str]) -> None:
        """Do these kinds of steps: `closed`, `overload`, `open`, `idle`."""
        for kind in kinds:
            {"closed": self._closed, "overload": self._overload, "open": self._open, "idle": self._idle}[kind]()

    def _closed(self) -> None:
        amount, results = self._amount, self._results
        for number in range(max(amount.rounds, amount.others)):
            step = Step(round=number, seconds=amount.seconds)
            for workload in self._workloads:
                for system in turns(self._systems, number):
                    if number < amount.rounds_of(system):
                        self._attempt(system, workload, "closed", partial(self._load, system, workload, step))
                if workload.name == _LIMITED:
                    for batch in _CONNECTIONS:
                        results.limits.append(in_process(workload, batch, step))

    def _load(self, system: System, workload: Workload, step: Step) -> str:
        connections = (1, *_CONNECTIONS) if workload.name == _LONE else _CONNECTIONS
        seen, right = load(system, workload, connections, step)
        self._results.closed += seen
        self._results.right[f"{system.name}, {workload.name}"] = right
        return "; ".join(
            f"{it.connections}: {it.rate:,.0f}/s, p99 {it.p99_ms:.1f} ms"
            + (f", {it.errors} errors" if it.errors else "")
            for it in seen
        )

    def _open(self) -> None:
        for number in range(self._amount.searches):
            step = Step(round=number, seconds=max(1.0, self._amount.seconds * _OPEN_SHARE))
            for workload in self._dynamic():
                for system in turns(self._systems, number):
                    if number < self._amount.searches_of(system):
                        self._attempt(system, workload, "open", partial(self._search, system, workload, step))

    def _search(self, system: System, workload: Workload, step: Step) -> str:
        found = search(system, workload, step)
        self._results.open.append(found)
        return f"{found.rate:,.0f}/s with p99 ≤ 20 ms" + (f", started again {found.deaths} ×" if found.deaths else "")

    def _overload(self) -> None:
        for number in range(self._amount.overloads):
            step = Step(round=number, seconds=self._amount.seconds)
            for place, workload in enumerate(self._dynamic()):
                for system in turns(self._systems, number):
                    if number < self._amount.overloads_of(system, place == 0):
                        self._attempt(system, workload, "overload", partial(self._flood, system, workload, step))

    def _flood(self, system: System, workload: Workload, step: Step) -> str:
        seen = overload(system, workload, step)
        self._results.overloads.append(seen)
        return f"capacity {seen.capacity:,.0f}/s, {seen.goodput:,.0f}/s within 50 ms, normal after {seen.recovered_s} s"

    def _idle(self) -> None:
        step = Step(seconds=self._amount.idle)
        for system in self._systems:
            if system.contender:
                workers = 1 if system.environment else _IDLE_WORKERS
                workload = self._workloads[0]
                self._attempt(system, workload, "idle", partial(self._watch, system, workload, workers, step))

    def _watch(self, system: System, workload: Workload, workers: int, step: Step) -> str:
        seen = idle(system, workload, workers, step)
        self._results.idle.append(seen)
        return f"{seen.percent:.2f} % of a core, {workers} workers"

    def _dynamic(self) -> list[Workload]:
        return [workload for workload in self._workloads if workload.name in DYNAMIC]

    def _attempt(self, system: System, workload: Workload, kind: str, do: Callable[[], str]) -> None:
        what, key = f"{kind} {workload.name}", (system.name, workload.name, kind)
        if self._failed[key] >= _PATIENCE:
            return
        if self._budget.left < self._seconds(system, kind):
            self._results.cut.append(f"{what} {system.name}")
            return
        try:
            _say(f"{what} {system.name}: {do()}")
        except (BenchmarkError, OSError, subprocess.SubprocessError) as error:
            self._failed[key] += 1
            self._results.failures.append(Failure(system=system.name, step=what, reason=str(error)))
            _say(f"{what} {system.name}: FAILED: {error}")

    def _seconds(self, system: System, kind: str) -> float:
        """What a step may take."""
        once = Amount(
            rounds=kind == "closed", others=kind == "closed", searches=kind == "open", others_searches=kind == "open",
            overloads=kind == "overload", others_overloads=kind == "overload", seconds=self._amount.seconds,
            idle=self._amount.idle,
        )  # fmt: skip
        return once.cost([system], 1, 1)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
