"""What is done to a system, one step at a time: each starts it, measures, ends it, and returns records."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import joblib
from benchmarks.load import MARK, first_number, measure
from benchmarks.machine import MIB, MemorySampler
from benchmarks.openloop import OpenLoop, Phase, Window
from benchmarks.peers.processes import Running, checked, started
from benchmarks.peers.records import Closed, Idle, Limit, OpenRate, Overload
from benchmarks.peers.systems import System
from benchmarks.peers.workloads import Workload
from benchmarks.report import BenchmarkError

from skysail.inputs import InputSpec
from skysail.worker.decode import make_decoder

__all__ = ["OBJECTIVES", "Step", "idle", "in_process", "load", "overload", "recovery", "search"]

OBJECTIVES = {"closed": "100ms", "open": "50ms", "overload": "40ms", "idle": "50ms"}
"""Skysail's objective in each kind of step; in an overload, with 10 ms of the limit left for the way."""

OPEN_LIMIT = 0.020
"""What the 99th percentile of an open loop is held to, in seconds."""

OVERLOAD_LIMIT = 0.050
"""Within how many seconds of its due time an answer is of use in an overload."""

OVERLOAD = ((0.5, 3.0), (3.0, 10.0), (0.5, 5.0))
"""The overload: multiples of the capacity, and seconds of each."""

_CAPACITY_CONNECTIONS = 64
_OVERLOAD_CONNECTIONS = 2_000
_RIGHT = 40
_HIGHEST = 1.2
_NARROW = 0.03
_DEATHS = 3
_LEAD = 0.5
_NORMAL_MS = 10.0
_CALM_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """How much of one step is done."""

    round: int = 0
    """Which round it is of."""

    seconds: float = 3.0
    """How long each load takes."""

    warmup: float = 1.0
    """How long the load before that takes, which does not count."""


def load(system: System, workload: Workload, connections: Sequence[int], step: Step) -> tuple[list[Closed], str]:
    """Closed loops of so many clients, one after the other; and how many of the answers were right before."""
    with started(system, workload, slo=OBJECTIVES["closed"]) as running:
        right = _all_right(running, workload)
        _closed(running, workload, _CAPACITY_CONNECTIONS, step, step.warmup)
        return [_closed(running, workload, count, step, step.seconds) for count in connections], right


def in_process(workload: Workload, batch: int, step: Step) -> Limit:
    """The same rows, decoded as our worker does and predicted in batches of so many, in a loop in this process."""
    model = joblib.load(workload.file.with_suffix(".joblib"))
    decoder = make_decoder(InputSpec.parse(f"float32[{workload.rows[0].count(',') + 1}]"))
    rows = [row.encode() for row in workload.rows]
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < step.seconds:
        start = done % (len(rows) - batch)
        (group,) = decoder.decode(rows[start : start + batch], bytes(batch)).groups
        done += len(model.predict(group.batch).tolist())
    return Limit(workload=workload.name, round=step.round, batch=batch, rate=done / took)


def search(system: System, workload: Workload, step: Step) -> OpenRate:
    """The highest rate of random arrivals with its 99th percentile in the limit and no failure, found by halving, up to
    1.2 times the rate of a closed loop, to 3 % of that. A rate that fails is tried once more. A system that does not
    answer any more is started again.
    """
    low, high, deaths = 0.0, math.inf, -1
    capacity = 0.0
    tried: list[dict[str, float | None]] = []
    while (high == math.inf or high - low > _NARROW * capacity) and deaths < _DEATHS:
        deaths += 1
        with started(system, workload, slo=OBJECTIVES["open"]) as running:
            if high == math.inf:
                capacity = _closed(running, workload, _CAPACITY_CONNECTIONS, step, max(1.0, step.warmup)).rate
                high = _HIGHEST * capacity
            while high - low > _NARROW * capacity and _calm(running, workload):
                rate = (low + high) / 2
                if _in_time(running, workload, rate, step, tried) or _in_time(running, workload, rate, step, tried):
                    low = rate
                else:
                    high = rate
    return OpenRate(
        system=system.name, workload=workload.name, round=step.round, rate=low, deaths=max(deaths, 0), tried=tried
    )


def overload(system: System, workload: Workload, step: Step) -> Overload:
    """Three times the system's own capacity, between two times of half of it."""
    with started(system, workload, slo=OBJECTIVES["overload"]) as running:
        _closed(running, workload, _CAPACITY_CONNECTIONS, step, step.warmup)
        capacity = _closed(running, workload, _CAPACITY_CONNECTIONS, step, step.seconds).rate
        memory = running.memory()["all"]
        phases = [Phase(rate=times * capacity, seconds=seconds) for times, seconds in OVERLOAD]
        with MemorySampler(running.memory, 1.0) as sampler:
            seen = OpenLoop.run(
                running.url, workload.bodies(system.shape), phases,
                limit=OVERLOAD_LIMIT, connections=_OVERLOAD_CONNECTIONS, seed=1 + step.round,
            )  # fmt: skip
        alive = running.answers(_fresh(workload.bodies(system.shape)[0]))
        before, during, _ = seen.phases
        ended = round(sum(seconds for _, seconds in OVERLOAD[:2]))
        return Overload(
            system=system.name,
            workload=workload.name,
            round=step.round,
            capacity=capacity,
            goodput=during.goodput,
            before_p99_ms=_number(before.p99_ms),
            p99_ms=_number(during.p99_ms),
            refused=during.refused,
            refused_p99_ms=_number(during.refused_p99_ms),
            errors=during.errors,
            timeouts=during.timeouts + during.unsent,
            recovered_s=recovery(seen.seconds[ended:], before.p99_ms),
            memory_before_mib=memory / MIB,
            memory_peak_mib=max(sampler.peak["all"], memory) / MIB,
            memory_after_mib=running.memory()["all"] / MIB,
            late_p99_ms=_number(during.late_p99_ms),
            statuses=seen.statuses,
            alive=alive,
        )


def recovery(seconds: Sequence[Window], before_p99_ms: float) -> float | None:
    """How many seconds after an overload the first second began in which nothing failed and the 99th percentile was at
    most twice that of before; but 10 ms is normal, and beyond the limit of an overload nothing is.
    """
    twice = 0.0 if math.isnan(before_p99_ms) else 2 * before_p99_ms
    normal = max(_NORMAL_MS, min(twice, OVERLOAD_LIMIT * 1e3))
    for start, window in enumerate(seconds):
        if window.offered and not window.failed and window.p99_ms <= normal:
            return float(start)
    return None


def idle(system: System, workload: Workload, workers: int, step: Step) -> Idle:
    """The processor time of all processes of a system that has answered one query, and then nobody asks anything."""
    with started(system, workload, slo=OBJECTIVES["idle"], models=workers) as running:
        time.sleep(max(1.0, step.warmup))  # what follows a start is over
        before, began = running.cpu_seconds(), time.monotonic()
        time.sleep(step.seconds)
        spent, took = running.cpu_seconds() - before, time.monotonic() - began
        memory = running.memory()["all"] / MIB
    return Idle(system=system.name, workers=workers, percent=100 * spent / took, memory_mib=memory)


def _all_right(running: Running, workload: Workload) -> str:
    right = checked(running, workload, _RIGHT)
    if right < _RIGHT - 1:  # one may be a tie
        raise BenchmarkError(f"only {right} of {_RIGHT} answers were right")
    return f"{right}/{_RIGHT}"


def _closed(running: Running, workload: Workload, connections: int, step: Step, seconds: float) -> Closed:
    bodies = workload.bodies(running.system.shape)
    before = running.cpu_seconds()
    seen = measure(running.url, bodies, connections=connections, seconds=seconds, warmup=0)
    spent = running.cpu_seconds() - before
    good = seen.requests - seen.errors
    if good <= 0:
        raise BenchmarkError(f"no good answer in {seconds:g} s over {connections} connections, {seen.errors} errors")
    return Closed(
        system=running.system.name,
        workload=workload.name,
        round=step.round,
        connections=connections,
        rate=good / seen.seconds,
        p50_ms=seen.p50 * 1e3,
        p99_ms=seen.p99 * 1e3,
        errors=seen.errors,
        cpu_us=spent / good * 1e6,
        memory_mib=running.memory()["all"] / MIB,
    )


def _in_time(
    running: Running, workload: Workload, rate: float, step: Step, tried: list[dict[str, float | None]]
) -> bool:
    """Whether a system keeps the limit at a rate; a short time of it before is not judged."""
    if not _calm(running, workload):
        return False
    phases = [Phase(rate=rate, seconds=_LEAD), Phase(rate=rate, seconds=step.seconds)]
    bodies = workload.bodies(running.system.shape)
    seen = OpenLoop.run(running.url, bodies, phases, limit=OPEN_LIMIT, seed=len(tried) + 1).phases[1]
    tried.append(
        {
            "rate": rate,
            "failed": seen.failed,
            "p50_ms": _number(seen.p50_ms),
            "p99_ms": _number(seen.p99_ms),
            "late_p99_ms": _number(seen.late_p99_ms),
        }
    )
    return seen.offered > 0 and not seen.failed and seen.p99_ms <= OPEN_LIMIT * 1e3


def _calm(running: Running, workload: Workload) -> bool:
    """Whether a lone query is answered at once, now or in a while: what was too much before is then worked off."""
    limit = time.monotonic() + _CALM_SECONDS
    while (began := time.monotonic()) < limit:
        if running.answers(_fresh(workload.bodies(running.system.shape)[0])) and time.monotonic() - began < OPEN_LIMIT:
            return True
        time.sleep(0.1)
    return False


def _fresh(body: str) -> str:
    """A body with a number that nobody used yet."""
    return body.replace(MARK, f"0.2{first_number():011d}")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
