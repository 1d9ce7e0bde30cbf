"""How fast: the whole server against the bare yardstick, both up all the time and loaded by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.load import Load, measure, sample_bodies
from benchmarks.report import BenchmarkError, Goal, Measure, Report, spread, table
from benchmarks.servers import Server, Skysail, start_bare, start_skysail

__all__ = ["Round", "compare", "error_line", "fill_cache", "measure_latency", "measure_throughput"]

_CONNECTIONS = 64
_RATIO = 0.5
_P99_MS = 5.0
_WARMUP = 1.0

_METHOD = """\
A no-op model behind the bare yardstick (benchmarks/bare.py: the same HTTP class, the same frames to the same worker, no
engine) and behind Skysail: admission, policy `single`, cache lookup, batching, metrics and a decision record in SQLite
for each query. The worker decodes every row into an array. A closed loop, all inputs distinct, the cache full. Both
servers are up and one is loaded at a time, in changing order.
The generator shares the cores with what it measures. A closed loop sends less while the server is slow, so its
percentiles flatter. Frontend and worker: processor time (user and kernel) of the process per query, in µs, which other
work on the machine disturbs least."""

_LATENCY_METHOD = "As for throughput, with one connection in place of 64: how long a lone query takes."


@dataclass(frozen=True, kw_only=True)
class Round:
    """One server loaded once."""

    load: Load
    """What its clients saw."""

    cpu: dict[str, float]
    """Processor seconds of each of its processes."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.load.requests / self.load.seconds

    def cpu_micros(self, process: str) -> float:
        """Processor time of a process per query, in µs."""
        return self.cpu[process] / self.load.requests * 1e6


def measure_throughput(rounds: int, seconds: float, cache: str) -> Report:
    """Rate and latency of 64 connections, for rows of 64 and of 784 floats; the goals are for 64."""
    with start_bare() as bare, start_skysail(cache=cache) as skysail:
        lines, data, goals, measures = [], {}, [], []
        for floats in (64, 784):
            seen = _interleaved((bare, skysail), floats, _CONNECTIONS, rounds, seconds)
            lines += [f"{floats} floats, {_CONNECTIONS} connections", *compare(seen["bare"], seen["skysail"]), ""]
            data[f"{floats} floats"] = _data(seen)
            measures += _measures(seen, f"{floats} floats, {_CONNECTIONS} connections")
            if floats == 64:
                goals = _goals(seen["bare"], seen["skysail"])
        _check(skysail)
        lines.append(error_line(skysail))
    return Report(
        title="Throughput",
        method=f"{_METHOD}\n{_amount(seen, seconds)}",
        lines=lines,
        data=data,
        goals=goals,
        measures=measures,
    )


def measure_latency(rounds: int, seconds: float, cache: str) -> Report:
    """Latency of one connection that has both servers to itself."""
    with start_bare() as bare, start_skysail(cache=cache) as skysail:
        seen = _interleaved((bare, skysail), 64, 1, rounds, seconds)
        _check(skysail)
        errors = error_line(skysail)
    return Report(
        title="Latency of one connection",
        method=f"{_LATENCY_METHOD}\n{_amount(seen, seconds)}",
        lines=[*compare(seen["bare"], seen["skysail"]), errors],
        data=_data(seen),
        measures=_measures(seen, "64 floats, one connection"),
    )


def fill_cache(server: Skysail, floats: int, connections: int = _CONNECTIONS) -> int:
    """Ask until the cache has begun to forget, as it is in a server that has run for a while; the number of queries."""
    asked, evicted = 0, server.status()["cache"]["evicted"]
    for _ in range(60):
        load = measure(server.url, sample_bodies(floats), connections=connections, seconds=1.0, warmup=0)
        asked += load.requests
        if server.status()["cache"]["evicted"] > evicted:
            return asked
    raise BenchmarkError(f"{asked} queries did not fill the cache: {server.status()['cache']}")


def error_line(server: Skysail) -> str:
    """What a server refused or failed since it started, by code."""
    errors = server.status()["apps"]["bench"]["errors"]
    return "errors of Skysail, warm-ups included: " + (", ".join(f"{n} {code}" for code, n in errors.items()) or "none")


def compare(bare: Sequence[Round], skysail: Sequence[Round]) -> list[str]:
    """The table of two servers, and how their rates and their frontends' processor times compare."""
    columns = ["", "queries/s", "p50 ms", "p99 ms", "frontend µs", "worker µs", "errors"]
    rows = [[name, *_row(seen)] for name, seen in (("bare", bare), ("skysail", skysail))]
    pairs = [ours.rate / theirs.rate for theirs, ours in zip(bare, skysail, strict=True)]
    costs = [median(it.cpu_micros("frontend") for it in seen) for seen in (bare, skysail)]
    ratios = (
        f"ratio of the median rates {_ratio(bare, skysail):.2f}; of each pair {' '.join(f'{r:.2f}' for r in pairs)}; "
        f"of the frontends' processor times, bare to Skysail, {costs[0] / costs[1]:.2f}"
    )
    return [*table(columns, rows), ratios]


def _row(seen: Sequence[Round]) -> list[str]:
    return [
        spread([it.rate for it in seen]),
        spread([it.load.p50 * 1e3 for it in seen], 2),
        spread([it.load.p99 * 1e3 for it in seen], 2),
        *[spread([it.cpu_micros(process) for it in seen], 1) for process in ("frontend", "worker")],
        str(sum(it.load.errors for it in seen)),
    ]


def _interleaved(
    servers: tuple[Server, Skysail], floats: int, connections: int, rounds: int, seconds: float
) -> dict[str, list[Round]]:
    """Rounds of each server by turns; who begins changes from round to round."""
    bodies = sample_bodies(floats)
    fill_cache(servers[1], floats)
    seen: dict[str, list[Round]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            seen[server.name].append(_round(server, bodies, connections, seconds))
    return seen


def _round(server: Server, bodies: Sequence[str], connections: int, seconds: float) -> Round:
    measure(server.url, bodies, connections=connections, seconds=_WARMUP, warmup=0)
    before = server.cpu()
    load = measure(server.url, bodies, connections=connections, seconds=seconds, warmup=0)
    if not load.requests:
        raise BenchmarkError(f"{server.name} answered nothing in {seconds:g} s")
    return Round(load=load, cpu={name: now - before[name] for name, now in server.cpu().items()})


def _check(skysail: Skysail) -> None:
    """That the full path was measured: no answer came from the cache, and each was put on record."""
    status = skysail.status()
    if status["cache"]["hits"]:
        raise BenchmarkError(f"{status['cache']['hits']} queries were answered by the cache: they were not distinct")
    if status["ledger"]["dropped"]:
        raise BenchmarkError(f"{status['ledger']['dropped']} decisions were not written: the store was too slow")


def _ratio(bare: Sequence[Round], skysail: Sequence[Round]) -> float:
    return median(it.rate for it in skysail) / median(it.rate for it in bare)


def _goals(bare: Sequence[Round], skysail: Sequence[Round]) -> list[Goal]:
    p99 = median(it.load.p99 for it in skysail) * 1e3
    return [
        Goal(what="rate at 64 floats, Skysail / bare", value=_ratio(bare, skysail), limit=_RATIO, least=True),
        Goal(what="p99 at 64 floats", value=p99, limit=_P99_MS, unit="ms"),
    ]


def _measures(seen: dict[str, list[Round]], where: str) -> list[Measure]:
    """Each pair of rounds by itself: the machine is about the same for both."""
    pairs = list(zip(seen["bare"], seen["skysail"], strict=True))
    rates = [ours.rate / theirs.rate for theirs, ours in pairs]
    costs = [ours.cpu_micros("frontend") / theirs.cpu_micros("frontend") for theirs, ours in pairs]
    return [
        Measure(what=f"{where}: rate beside the yardstick's", values=rates),
        Measure(what=f"{where}: the frontend's time beside the yardstick's", values=costs, more_is_worse=True),
    ]


def _amount(seen: dict[str, list[Round]], seconds: float) -> str:
    rounds = seen["bare"]
    return (
        f"Generator: {rounds[0].load.tool}. Median (least–greatest) of {len(rounds)} rounds of {seconds:g} s, with "
        f"{_WARMUP:g} s before each that does not count."
    )


def _data(seen: dict[str, list[Round]]) -> dict[str, Any]:
    return {name: [it.load.report() | {"cpu": it.cpu} for it in rounds] for name, rounds in seen.items()}
