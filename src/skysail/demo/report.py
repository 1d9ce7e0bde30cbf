"""What the demo says at the end: the errors in a table, the recovery, and whether Skysail did better than every
model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from rich.table import Table

from skysail.demo.drive import Drive
from skysail.demo.findings import Findings
from skysail.demo.models import APP, BEST
from skysail.demo.recovery import Recovery
from skysail.demo.score import SKYSAIL, VOTE, Scores
from skysail.serving import Addresses

__all__ = ["bounds", "commands", "conclusions", "error_table", "verdict"]


_MANY_DEFAULTS = 0.01


def bounds(findings: Findings, seconds: float) -> tuple[float, float]:
    """When the break and the mending were live, in seconds from the start; where one never was, when it was asked
    for.
    """
    broken, mended = findings.broken.live, findings.mended.live
    return (seconds / 3 if broken is None else broken, seconds * 2 / 3 if mended is None else mended)


def _thirds(scores: Scores, between: tuple[float, float]) -> list[Mapping[str, float]]:
    """Everybody's error before the break, during it, and after the mending; parts without an answer are left out."""
    wrong = scores.wrong
    parts: list[Mapping[str, float]] = []
    for start, end in ((-math.inf, between[0]), between, (between[1], math.inf)):
        rows = [i for i, result in enumerate(scores.results) if start <= result.sent < end]
        parts.append(dict(zip(scores.names, wrong[rows].mean(axis=0).tolist(), strict=True)) if rows else {})
    return parts


def error_table(scores: Scores, between: tuple[float, float]) -> Table:
    """The error of each model alone, of the majority vote and of Skysail, by part of the run and over all of it."""
    table = Table(title="Share of wrong answers", title_justify="left")
    table.add_column("")
    for heading in ("before the break", "while broken", "after", "whole run"):
        table.add_column(heading, justify="right")
    parts = [*_thirds(scores, between), scores.errors()]
    for name in (*scores.names[1:], SKYSAIL):
        if name == VOTE:
            table.add_section()
        cells = [f"{part[name]:.1%}" if name in part else "" for part in parts]
        table.add_row(name, *cells, style="bold" if name == SKYSAIL else "")
    return table


def verdict(errors: Mapping[str, float]) -> str:
    """Whether Skysail's error over the whole run is below that of every single model, in one plain sentence."""
    models = {name: share for name, share in errors.items() if name not in {SKYSAIL, VOTE}}
    best = min(models, key=models.__getitem__)
    ours = errors[SKYSAIL]
    relation = "is below" if ours < models[best] else "is NOT below"
    return (
        f"Skysail's error over the whole run, {ours:.1%}, {relation} that of every single model: the best of them, "
        f"{best}, has {models[best]:.1%}. Majority vote: {errors[VOTE]:.1%}."
    )


def conclusions(drive: Drive, findings: Findings) -> list[str]:
    """The verdict, the recoveries, what failed, and what the numbers rest on."""
    basis = (
        "The single models were scored in this process with the artifacts that are served, each version while it was "
        f"current; {findings.equal} of {findings.compared} outputs sampled from the server's records are the same."
    )
    return [
        verdict(drive.scores.errors()),
        _recovery("bad release", findings.broken, f"{BEST} no longer had the greatest weight"),
        _recovery("rollback", findings.mended, f"{BEST} had the greatest weight again"),
        "(Labels accepted from the first query put to the changed model to the first decision so weighted.)",
        f"{len(drive.scores.results)} queries, {drive.taught} labels taught; the default answered {_defaults(drive)}.",
        *_failures(drive.failures),
        *_advice(drive),
        basis,
    ]


def _recovery(what: str, recovery: Recovery, done: str) -> str:
    if recovery.live is None:
        return f"The {what} never became live."
    outcome = f"it never came to this: {done}" if recovery.labels is None else f"after {recovery.labels} labels {done}"
    return f"The {what} was live from {recovery.live:.1f} s: {outcome}."


def _defaults(drive: Drive) -> str:
    """How many, and why, as the server counts them."""
    reasons = drive.status.get("apps", {}).get(APP, {}).get("defaults") or {}
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"{drive.defaults} ({told})" if told else str(drive.defaults)


def _failures(failures: Sequence[str]) -> list[str]:
    if not failures:
        return ["No request failed."]
    return [f"{len(failures)} requests FAILED, the first few of them:", *(f"  {failure}" for failure in failures[:5])]


def _advice(drive: Drive) -> list[str]:
    """What to try where the machine could not keep up, so that defaults, which count as wrong, spoil the comparison."""
    share = drive.defaults / max(1, len(drive.scores.results))
    if share <= _MANY_DEFAULTS:
        return []
    return [
        f"{share:.1%} of the answers were defaults, which count as wrong: the machine was too busy for this rate.",
        "Try a lower one for longer, as --rate 100 --seconds 60.",
    ]


def commands(addresses: Addresses, row: Sequence[float], prediction: str | None) -> list[str]:
    """Lines to try on a server."""
    body = json.dumps({"input": [round(value) if value == round(value) else value for value in row]})
    lines = [
        f"curl {addresses.url}/apps/{APP}",
        f"curl {addresses.url}/apps/{APP}/predict -d '{body}'",
        f"curl {addresses.admin_url}/status",
    ]
    return lines if prediction is None else [*lines, f"curl {addresses.admin_url}/predictions/{prediction}"]
