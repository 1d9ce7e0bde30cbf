"""What Skysail is held to beside its peers, computed from the records of one run; and the tables that show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.peers.records import Closed, OpenRate, Overload, Results
from benchmarks.peers.systems import SYSTEMS
from benchmarks.report import Goal, Measure, spread, table

__all__ = ["OURS", "goals", "measures", "tables"]

OURS = "skysail"

_CLOSED = {
    ("noop784", 64): 2.5,
    ("noop784", 256): 2.5,
    ("linear64", 64): 2.0,
    ("linear64", 256): 2.0,
    ("linear784", 64): 2.0,
    ("linear784", 256): 2.0,
    ("forest784", 64): 1.4,
    ("forest784", 256): 2.0,
}
"""How many times the rate of the best peer, by model and connections."""

_OF_LIMIT = 0.8
_OPEN = 1.8
_OF_UNBATCHED = 1.2
_GOODPUT = {"forest784": 0.9, "linear784": 0.6}
_REFUSED_MS = 5.0
_RECOVERED_SECONDS = 1.0
_WATCHED_SECONDS = 5.0
_GROWTH = 1.1
_IDLE_PERCENT = 0.5
_LONE = "linear784"


def goals(results: Results) -> list[Goal]:
    """Each goal for which both sides were measured, met or missed."""
    return [
        *_closed(results),
        *_of_limit(results),
        *_open(results),
        *_lone(results),
        *_overload(results),
        *_idle(results),
    ]


def _peers(results: Results) -> list[str]:
    return [name for name in results.systems() if name != OURS]


def _closed(results: Results) -> Iterator[Goal]:
    for (workload, connections), least in _CLOSED.items():
        ours = results.loops(OURS, workload, connections)
        theirs = {name: results.rates(name, workload, connections) for name in _peers(results)}
        best = _best(theirs)
        if ours and best:
            what = f"{workload}, {connections} connections: rate beside {best}'s"
            ratio = median(it.rate for it in ours) / median(theirs[best])
            yield Goal(what=what, value=ratio, limit=least, least=True)
            errors = sum(it.errors for it in ours)
            yield Goal(what=f"{workload}, {connections} connections: errors", value=errors, limit=1)


def _of_limit(results: Results) -> Iterator[Goal]:
    for connections in (64, 256):
        ours = results.rates(OURS, "forest784", connections)
        limits = [it.rate for it in results.limits if it.batch == connections]
        if ours and limits:
            what = (
                f"forest784, {connections} connections: rate beside a loop in one process with batches of {connections}"
            )
            yield Goal(what=what, value=median(ours) / median(limits), limit=_OF_LIMIT, least=True)


def _open(results: Results) -> Iterator[Goal]:
    for workload in _GOODPUT:
        rates = _open_rates(results, workload)
        best = _best({name: rates[name] for name in rates if name != OURS})
        if OURS in rates and best and median(rates[best]):
            what = f"{workload}: highest open-loop rate with p99 ≤ 20 ms beside {best}'s"
            yield Goal(what=what, value=median(rates[OURS]) / median(rates[best]), limit=_OPEN, least=True)


def _lone(results: Results) -> Iterator[Goal]:
    p50 = {name: [it.p50_ms for it in results.loops(name, _LONE, 1)] for name in results.systems()}
    medians = {name: median(values) for name, values in p50.items() if values}
    if OURS not in medians:
        return
    batching = {name: value for name, value in medians.items() if name != OURS and SYSTEMS[name].batches}
    if batching:
        best = min(batching, key=lambda name: batching[name])
        what = f"{_LONE}: p50 of one connection, beside {best}'s, the best that batches"
        yield Goal(what=what, value=medians[OURS], limit=batching[best], unit="ms")
    if "fastapi" in medians:
        what = f"{_LONE}: p50 of one connection, beside 1.2 times that of fastapi, which does not batch"
        yield Goal(what=what, value=medians[OURS], limit=_OF_UNBATCHED * medians["fastapi"], unit="ms")


def _overload(results: Results) -> Iterator[Goal]:
    for workload, least in _GOODPUT.items():
        seen = [it for it in results.overloads if (it.system, it.workload) == (OURS, workload)]
        if not seen:
            continue
        what = f"{workload}, 3 × capacity: "
        share = median(it.goodput / it.capacity for it in seen)
        yield Goal(what=what + "answers within 50 ms, beside capacity", value=share, limit=least, least=True)
        refused = [it.refused_p99_ms for it in seen if it.refused_p99_ms is not None]
        if refused:
            yield Goal(what=what + "p99 of a refusal", value=median(refused), limit=_REFUSED_MS, unit="ms")
        recovered = max(_WATCHED_SECONDS if it.recovered_s is None else it.recovered_s for it in seen)
        limit = _RECOVERED_SECONDS + 0.001  # whole seconds: 1 is in time
        yield Goal(what=what + "normal latency again after, or later", value=recovered, limit=limit, unit="s")
        growth = median(it.memory_after_mib / it.memory_before_mib for it in seen)
        yield Goal(what=what + "memory afterwards, beside before", value=growth, limit=_GROWTH)


def _idle(results: Results) -> Iterator[Goal]:
    for it in results.idle:
        if it.system == OURS:
            what = f"processor when idle, all processes with {it.workers} workers"
            yield Goal(what=what, value=it.percent, limit=_IDLE_PERCENT, unit="% of a core")


def _best(rates: Mapping[str, Sequence[float]]) -> str:
    """Whose median is the highest; empty where there is none."""
    measured = {name: median(values) for name, values in rates.items() if values}
    return max(measured, key=lambda name: measured[name], default="")


def _open_rates(results: Results, workload: str) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {}
    for it in results.open:
        if it.workload == workload:
            rates.setdefault(it.system, []).append(it.rate)
    return rates


# Measures: what two runs can be compared by


def measures(results: Results) -> list[Measure]:
    """Skysail beside the contenders, round by round: ratios within a run, which another day's machine changes least."""
    return [*_closed_measures(results), *_open_measures(results), *_overload_measures(results)]


def _closed_measures(results: Results) -> Iterator[Measure]:
    for workload, connections in _CLOSED:
        others = _by_round([it for it in results.closed if (it.workload, it.connections) == (workload, connections)])
        ours = others.pop(OURS, {})
        ratios = [rate / best for turn, rate in ours.items() if (best := _best_of_round(others, turn))]
        if ratios:
            yield Measure(what=f"{workload}, {connections} connections: rate beside the best peer's", values=ratios)
        costs = [it.cpu_us for it in results.loops(OURS, workload, connections)]
        if costs:
            what = f"{workload}, {connections} connections: processor time of an answer, µs"
            yield Measure(what=what, values=costs, more_is_worse=True)


def _open_measures(results: Results) -> Iterator[Measure]:
    for workload in _GOODPUT:
        others = _by_round([it for it in results.open if it.workload == workload])
        ours = others.pop(OURS, {})
        ratios = [rate / best for turn, rate in ours.items() if (best := _best_of_round(others, turn))]
        if ratios:
            yield Measure(what=f"{workload}: highest open-loop rate beside the best peer's", values=ratios)


def _overload_measures(results: Results) -> Iterator[Measure]:
    for workload in _GOODPUT:
        seen = [it for it in results.overloads if (it.system, it.workload) == (OURS, workload)]
        if seen:
            shares = [it.goodput / it.capacity for it in seen]
            yield Measure(what=f"{workload}, 3 × capacity: answers within 50 ms, beside capacity", values=shares)


def _by_round(records: Sequence[Closed | OpenRate]) -> dict[str, dict[int, float]]:
    rates: dict[str, dict[int, float]] = {}
    for it in records:
        rates.setdefault(it.system, {})[it.round] = it.rate
    return rates


def _best_of_round(rates: Mapping[str, Mapping[int, float]], turn: int) -> float:
    return max((by_round[turn] for by_round in rates.values() if turn in by_round), default=0.0)


# Tables


def tables(results: Results) -> list[str]:
    """The numbers, for people."""
    workloads = list(dict.fromkeys(it.workload for it in results.closed))
    lines = [line for workload in workloads for line in _closed_table(results, workload)]
    return [*lines, *_open_table(results), *_overload_table(results), *_idle_table(results)]


def _closed_table(results: Results, workload: str) -> list[str]:
    counts = sorted({it.connections for it in results.closed if it.workload == workload})
    columns = [f"{workload}, connections"]
    for count in counts:
        columns += [f"{count}: queries/s", "p50 ms", "p99 ms", "errors"]
    rows = []
    for name in results.systems():
        cells = [cell for count in counts for cell in _closed_cells(results.loops(name, workload, count))]
        rows.append([name, *cells, str(len(results.loops(name, workload, counts[0])))])
    limits = {
        count: [it.rate for it in results.limits if (it.workload, it.batch) == (workload, count)] for count in counts
    }
    if any(limits.values()):
        cells = [cell for count in counts for cell in _limit_cells(limits[count])]
        rows.append(["in process, such batches", *cells, str(max(map(len, limits.values())))])
    return [*table([*columns, "rounds"], rows), ""]


def _closed_cells(seen: Sequence[Closed]) -> list[str]:
    if not seen:
        return ["–"] * 4
    medians = [f"{median(it.p50_ms for it in seen):.2f}", f"{median(it.p99_ms for it in seen):.2f}"]
    return [spread([it.rate for it in seen]), *medians, f"{sum(it.errors for it in seen):,}"]


def _limit_cells(rates: Sequence[float]) -> list[str]:
    return [spread(rates) if rates else "–", "", "", ""]


def _open_table(results: Results) -> list[str]:
    workloads = list(dict.fromkeys(it.workload for it in results.open))
    if not workloads:
        return []
    rows = []
    for name in results.systems():
        rates = [_open_rates(results, workload).get(name, []) for workload in workloads]
        if any(rates):
            deaths = sum(it.deaths for it in results.open if it.system == name)
            rows.append([name, *[spread(it) if it else "–" for it in rates], max(map(len, rates)), deaths])
    return [*table(["open loop, p99 ≤ 20 ms, no error: queries/s", *workloads, "searches", "restarts"], rows), ""]


def _overload_table(results: Results) -> list[str]:
    columns = ["3 × capacity for 10 s", "capacity/s", "within 50 ms/s", "share", "p99 ms", "refused", "in p99 ms"]
    columns += ["errors", "timeouts", "normal after s", "MiB before", "peak", "after", "generator late p99 ms"]
    rows = [[f"{it.system}, {it.workload}", *_overload_cells(it)] for it in results.overloads]
    return [*table(columns, rows), ""] if rows else []


def _overload_cells(it: Overload) -> list[str]:
    after = "never" if it.recovered_s is None else f"{it.recovered_s:.0f}"
    return [
        f"{it.capacity:,.0f}",
        f"{it.goodput:,.0f}",
        f"{it.goodput / it.capacity:.0%}",
        _milliseconds(it.p99_ms),
        f"{it.refused:,}",
        _milliseconds(it.refused_p99_ms),
        f"{it.errors:,}",
        f"{it.timeouts:,}",
        after if it.alive else f"{after}; silent",
        *(f"{mib:,.0f}" for mib in (it.memory_before_mib, it.memory_peak_mib, it.memory_after_mib)),
        _milliseconds(it.late_p99_ms),
    ]


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _idle_table(results: Results) -> list[str]:
    rows = [[it.system, it.workers, f"{it.percent:.2f}", f"{it.memory_mib:,.0f}"] for it in results.idle]
    return [*table(["idle", "models", "% of a core", "MiB"], rows), ""] if rows else []
