"""What was measured, as JSON values for programs and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from skysail.bench.trial import Trial

__all__ = ["METHOD", "batch_curve", "notes", "trial_document", "view"]

METHOD = """\
Server and generator run on this machine and share its cores: on one of its own the server would do more.
One generator, a process of its own. Closed loop: {connections} connections, each sends its next query when it has the \
answer to the last.
Open loop: queries come at random (Poisson), {seconds:g} s at each rate; a latency is counted from when its query was \
due (no coordinated omission), and waiting for a free connection is part of it.
A rate is kept when the p99 is at most the objective and every query was answered by a model; one that is missed is \
tried twice. The server works to the same objective.
State is {state}, empty at the start. Before anything counts, a closed loop warms up models and estimates."""
"""How it was done, and what the numbers do not say."""


def trial_document(trial: Trial, slo: float) -> dict[str, Any]:
    """A trial as JSON values; times in milliseconds."""
    return {
        "offered": trial.offered,
        "rate": trial.rate,
        "kept": trial.within(slo),
        "sent": trial.sent,
        "p50_ms": trial.p50 * 1e3,
        "p90_ms": trial.p90 * 1e3,
        "p99_ms": trial.p99 * 1e3,
        "worst_ms": trial.worst * 1e3,
        "mean_ms": trial.mean * 1e3,
        "errors": trial.errors,
        "message": trial.message,
        "generator": {"lag_p99_ms": trial.lag * 1e3, "cpu": trial.cpu, "behind": trial.behind},
    }


def batch_curve(line: Mapping[str, float]) -> list[dict[str, float]]:
    """Points of the curve that a replica has learned: rows of a batch, and the milliseconds it takes.

    >>> [(p["rows"], p["ms"], p["p99_ms"]) for p in batch_curve(
    ...     {"cap": 6, "fixed_ms": 2.0, "row_ms": 0.5, "band_ms": 1.0})]
    [(1, 2.5, 3.5), (2, 3.0, 4.0), (4, 4.0, 5.0), (6, 5.0, 6.0)]
    """
    sizes = [1 << power for power in range(int(line["cap"]).bit_length()) if 1 << power < line["cap"]]
    curve = []
    for rows in [*sizes, max(1, int(line["cap"]))]:
        ms = line["fixed_ms"] + line["row_ms"] * rows
        curve.append({"rows": rows, "ms": ms, "p99_ms": ms + line["band_ms"]})
    return curve


def notes(document: Mapping[str, Any]) -> Iterator[str]:
    """What must be known to read the numbers of this run."""
    trials = [document["capacity"], *document["trials"]]
    behind = [trial for trial in trials if trial is not None and trial["generator"]["behind"]]
    if behind:
        rates = ["closed loop" if trial["offered"] is None else f"{trial['offered']:,.0f}" for trial in behind]
        yield (
            f"the generator itself did not keep up ({', '.join(dict.fromkeys(rates))}): it was over 1 ms late, or its "
            "core was full. These latencies are partly its own; with cores to spare the server does better"
        )
    rows, cache = document["rows"], document["cache"]
    if rows["distinct"] is not None:
        yield (
            f"there are {rows['distinct']:,} different inputs, which repeat: {cache['hits']:,.0f} of {cache['sent']:,} "
            "were answered from the cache, or with another's evaluation"
        )
    if document["search"] is not None and document["highest"] is None:
        yield "no rate was kept, down to the lowest that was tried; see what the missed ones say"
    if document["search"] is not None and document["search"]["missed"] is None:
        yield "no rate was missed: the highest that is kept lies above those tried"


def view(document: Mapping[str, Any]) -> RenderableType:
    """The whole, for a terminal."""
    objective = f"p99 ≤ {document['slo_ms']:g} ms, no error"
    parts: list[RenderableType] = [
        Text(f"{document['app']} of {document['file']}: {', '.join(document['models'])}", "bold"),
        Text("\n".join(f"{what}: {said}" for what, said in document["machine"].items())),
        Text(f"inputs: {document['rows']['origin']}\n"),
    ]
    if document["capacity"] is not None:
        parts.append(Text(f"capacity, closed loop: {document['capacity']['rate']:,.0f} queries/s", "bold"))
    if document["search"] is not None:
        highest = document["highest"]
        found = "none" if highest is None else f"{highest:,.0f} queries/s"
        parts.append(Text(f"highest rate with {objective}: {found}", "bold"))
    parts += [*_trials(document["trials"], objective), *_batches(document["batches"])]
    if document["time"] is not None:
        parts += _time(document["time"])
    parts += [Text(f"note: {note}", "yellow") for note in document["notes"]]
    return Group(*parts, Text("\nmethod\n" + "\n".join(f"- {line}" for line in document["method"])))


def _trials(trials: Sequence[Mapping[str, Any]], objective: str) -> Iterator[RenderableType]:
    yield Text(f"\nopen loop; kept is {objective}")
    table = Table("queries/s", "answered", "p50 ms", "p90", "p99", "worst", "kept")
    for column in table.columns[:-1]:
        column.justify = "right"
    for trial in sorted(trials, key=lambda trial: trial["offered"]):
        times = [f"{trial[f'{name}_ms']:.2f}" for name in ("p50", "p90", "p99", "worst")]
        table.add_row(f"{trial['offered']:,.0f}", f"{trial['rate']:,.0f}", *times, _verdict(trial))
    yield table


def _verdict(trial: Mapping[str, Any]) -> str:
    """Whether a rate was kept, and if not, why."""
    if trial["kept"]:
        return "yes"
    return "no: " + (", ".join(f"{count:,} {code}" for code, count in trial["errors"].items()) or "too slow")


def _batches(batches: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    for replica, batch in batches.items():
        took = f"{batch['fixed_ms']:.2f} ms and {batch['row_ms'] * 1e3:.1f} µs a row"
        yield Text(f"\nbatches of {replica}: {took}; at most {batch['cap']:.0f} rows now")
        table = Table("rows", "ms", "p99", "rows/s")
        for column in table.columns:
            column.justify = "right"
        for point in batch["curve"]:
            rate = f"{point['rows'] / point['ms'] * 1e3:,.0f}" if point["ms"] else "–"
            table.add_row(str(point["rows"]), f"{point['ms']:.2f}", f"{point['p99_ms']:.2f}", rate)
        yield table


def _time(time: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text(f"\nwhere a query's time goes, on average, at {time['rate']:,.0f} queries/s")
    table = Table("part", "ms", "share")
    for column in table.columns[1:]:
        column.justify = "right"
    whole = sum(time["steps"].values()) or 1.0
    for what, ms in time["steps"].items():
        table.add_row(what, f"{ms:.3f}", f"{ms / whole:.0%}")
    yield table
    busy = {name: used for name, used in time["cpu"].items() if used >= 0.005 and time["answered"]}
    each = [
        f"{name} {used / time['answered'] * 1e6:.0f} µs a query ({used:.0%} of a core)" for name, used in busy.items()
    ]
    cpu = ", ".join(each)
    if cpu:
        yield Text(f"processors: {cpu}")
