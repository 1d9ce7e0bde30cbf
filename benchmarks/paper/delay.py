"""Feedback that comes late, or never, or twice: what it costs, and that a second time changes nothing.

python -m benchmarks.paper.delay [--quick]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot
from statistics import mean
from typing import Any

from benchmarks.paper.client import Client
from benchmarks.paper.failure import ACCURACIES
from benchmarks.paper.harness import Canvas, Experiment, Plot, Result, curve, drive, main, standard_error, started
from benchmarks.paper.models import Expert, Row, chance, declared, row
from benchmarks.report import BenchmarkError, Goal, table
from benchmarks.servers import Skysail

__all__ = ["EXPERIMENT", "GAP", "Amount", "Run", "arrivals", "goals", "run"]

GAP = mean(1.0 - accuracy for accuracy in ACCURACIES) - (1.0 - max(ACCURACIES))
"""What a query costs on average while nothing is known: the error of a uniform draw, less the best model's."""

_POLICIES = ("adahedge", "thompson")
_CHUNK = 20
_LOST, _TWICE = 0.3, 0.05
_SECOND = 500
_ONCE = "once"

_METHOD = """\
The five models of the failure experiment, none of them broken, {queries:,} queries, {seeds} seeds. `skysail serve` with
the defaults and `cache = false`; each policy, delay and seed is an application of its own. Each query's label is sent
when the given number of further queries have been answered (and what is still outstanding at the end not at all);
{lost:.0%} of labels, chosen by chance, are never sent, and {twice:.0%} of those that are sent are sent again up to
{second} queries later. Queries and labels go {chunk} to a request. A loss is the number of wrong answers of
`adahedge`; of `thompson`, which asks one model, the sum of the asked models' error rates, which is the same but for
chance. `adahedge` without delay runs a second time with each label sent once: since it draws nothing, the same worlds
must get the same answers and end with the very same weights."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is run."""

    queries: int = 20_000
    """Length of the stream."""

    delays: tuple[int, ...] = (0, 1_000, 10_000)
    """Queries that feedback is late; the first is none."""

    seeds: int = 4
    """Streams of each kind."""


@dataclass
class Run:
    """What one application did with one stream."""

    outputs: list[Any] = field(default_factory=list)
    """What was answered."""

    losses: list[float] = field(default_factory=list)
    """What that lost: 1 for a wrong answer of several models; the error rate of a model that was asked alone."""

    sent: int = 0
    """Observations sent."""

    accepted: int = 0
    """How many of them counted."""

    duplicates: int = 0
    """How many were told to be duplicates."""

    weights: dict[str, float] = field(default_factory=dict)
    """The weights at the end."""

    @property
    def loss(self) -> float:
        """What was lost in all."""
        return sum(self.losses)


def arrivals(seed: int, t: int, delay: int, *, twice: bool) -> list[int]:
    """After how many queries of the stream the label of one of them is sent: never, once or twice."""
    if chance(seed, t, "lost") < _LOST:
        return []
    first = t + delay
    if not twice or chance(seed, t, "twice") >= _TWICE:
        return [first]
    return [first, first + 1 + int(chance(seed, t, "second") * _SECOND)]


async def _learn(client: Client, admin: Client, app: str, seed: int, queries: int, delay: int) -> Run:
    """Queries in order; before each chunk of them, the labels that have arrived by then."""
    run = Run()
    due: dict[int, list[dict[str, Any]]] = {}
    last = ""
    for start in range(0, queries, _CHUNK):
        rows = [row(seed, t) for t in range(start, min(start + _CHUNK, queries))]
        answers = await client.predict(app, rows)
        for answer, asked in zip(answers, rows, strict=True):
            said = {"prediction_id": answer["prediction_id"], "label": asked["label"]}
            for at in arrivals(seed, asked["t"], delay, twice=not app.startswith(_ONCE)):
                due.setdefault(max(start, at - at % _CHUNK), []).append(said)
        run.outputs += [answer["output"] for answer in answers]
        run.losses += [_loss(answer, asked) for answer, asked in zip(answers, rows, strict=True)]
        last = answers[0]["prediction_id"]
        if arrived := due.pop(start, []):
            kept = await client.observe(app, arrived)
            if kept["rejected"]:
                raise BenchmarkError(f"{app}: observations were rejected: {kept['rejected'][0]}")
            run.sent += len(arrived)
            run.accepted += kept["accepted"]
            run.duplicates += kept["duplicates"]
    run.weights = await _weights(client, admin, app, last)
    return run


def _loss(answer: dict[str, Any], asked: Row) -> float:
    if len(answer["models"]) > 1:
        return float(answer["output"] != asked["label"])
    return 1.0 - ACCURACIES[int(answer["models"][0].partition("@")[0].removeprefix("m"))]


async def _weights(client: Client, admin: Client, app: str, last: str) -> dict[str, float]:
    """The weights of the last chunk's decisions, as `skysail why` tells them."""
    await client.observe(app, [{"prediction_id": last, "reward": 0.0}])  # with its feedback a decision is on record
    status, why = await admin.get(f"/predictions/{last}")
    if status != 200:
        raise BenchmarkError(f"why {last} answered {status}: {why}")
    return {model: float(weight) for model, weight in why["weights"].items()}


def _plan(amount: Amount) -> dict[str, tuple[str, int]]:
    """Kinds of streams: their policy and delay."""
    kinds = {f"{policy}-{delay}": (policy, delay) for policy in _POLICIES for delay in amount.delays}
    return kinds | {_ONCE: ("adahedge", 0)}


def _config(amount: Amount) -> tuple[str, str]:
    tables, zoo = declared([Expert(name=f"m{place}", accuracy=a) for place, a in enumerate(ACCURACIES)])
    listed = ", ".join(f'"m{place}"' for place in range(len(ACCURACIES)))
    for kind, (policy, _) in _plan(amount).items():
        for seed in range(amount.seeds):
            name = f"{kind}-{seed}"
            tables += f'\n[apps.{name}]\nmodels = [{listed}]\npolicy = "{policy}"\nslo = "10s"\ncache = false\n'
    return tables, zoo


async def _drive(server: Skysail, amount: Amount) -> dict[str, list[Run]]:
    """All streams, by kind."""
    plan = _plan(amount)
    async with Client(server.url) as client, Client(server.admin_url) as admin:
        streams = [
            _learn(client, admin, f"{kind}-{seed}", seed, amount.queries, delay)
            for kind, (_, delay) in plan.items()
            for seed in range(amount.seeds)
        ]
        done = await asyncio.gather(*streams)
    return {kind: done[place * amount.seeds :][: amount.seeds] for place, kind in enumerate(plan)}


def goals(runs: Mapping[str, Sequence[Run]], delays: Sequence[int]) -> list[Goal]:
    """A delay costs no more than knowing nothing for so long, and a duplicate costs nothing.

    Ten per cent of a short delay's cost is less than what chance adds to a loss, so a goal is missed when the streams
    show that it is.
    """
    found = []
    for policy in _POLICIES:
        prompt = [run.loss for run in runs[f"{policy}-{delays[0]}"]]
        for delay in delays[1:]:
            late = [run.loss for run in runs[f"{policy}-{delay}"]]
            more, error = mean(late) - mean(prompt), hypot(standard_error(late), standard_error(prompt))
            what = f"{policy}, {delay:,} queries late: what it adds to the loss ({more:,.0f}), less two standard errors"
            found.append(Goal(what=f"{what} of {error:.0f}", value=more - 2.0 * error, limit=1.1 * delay * GAP))
    twice, once = runs[f"adahedge-{delays[0]}"], runs[_ONCE]
    every = [run for of in runs.values() for run in of]
    answers = sum(a != b for x, y in zip(twice, once, strict=True) for a, b in zip(x.outputs, y.outputs, strict=True))
    weights = max(abs(x.weights[m] - y.weights[m]) for x, y in zip(twice, once, strict=True) for m in x.weights)
    return [
        *found,
        Goal(what="answers that duplicates changed", value=float(answers), limit=1.0),
        Goal(what="the most that duplicates changed a weight at the end", value=weights, limit=1e-12),
        Goal(what="share of duplicates that were told", value=_told(every), limit=1.0, least=True),
    ]


def _told(runs: Sequence[Run]) -> float:
    """Of the observations that did not count, the share that the server called duplicates."""
    extra = sum(run.sent - run.accepted for run in runs)
    return sum(run.duplicates for run in runs) / extra if extra else 0.0


def _run(quick: bool) -> Result:
    return run(Amount(queries=2_000, delays=(0, 100, 1_000), seeds=1) if quick else Amount())


def run(amount: Amount) -> Result:
    """The experiment at a given size."""
    config, zoo = _config(amount)
    with started(config, {"zoo.py": zoo}) as server:
        runs = drive(_drive(server, amount))
    rows = [
        [kind, f"{mean(run.loss for run in of):,.0f}", sum(run.sent for run in of), sum(run.duplicates for run in of)]
        for kind, of in runs.items()
    ]
    return Result(
        title=f"Feedback delayed up to {max(amount.delays):,} queries, {_LOST:.0%} lost, {_TWICE:.0%} duplicated",
        method=_METHOD.format(
            queries=amount.queries, seeds=amount.seeds, lost=_LOST, twice=_TWICE, second=_SECOND, chunk=_CHUNK
        ),
        lines=table(["", f"loss of {amount.queries:,}", "labels sent", "duplicates"], rows),
        data={
            "losses": {kind: [run.loss for run in of] for kind, of in runs.items()},
            "excess": {kind: curve(_excess(of)) for kind, of in runs.items()},
            "gap": GAP,
        },
        goals=goals(runs, amount.delays),
        plot=_plot(runs, amount),
    )


def _excess(runs: Sequence[Run]) -> list[float]:
    """The loss so far beyond the best model's, on average."""
    total, found = 0.0, []
    for t in range(len(runs[0].losses)):
        total += mean(run.losses[t] for run in runs) - (1.0 - max(ACCURACIES))
        found.append(total)
    return found


def _plot(runs: Mapping[str, Sequence[Run]], amount: Amount) -> Plot:
    """Loss beyond the best model's, for each delay, and the line of knowing nothing."""

    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(_POLICIES), sharey=True)
        for axes, policy in zip(panels, _POLICIES, strict=True):
            for delay in amount.delays:
                axes.plot(_excess(runs[f"{policy}-{delay}"]), label=f"{delay:,} late")
            axes.plot([0, max(amount.delays)], [0, max(amount.delays) * GAP], "k:", label="a uniform draw")
            axes.set(title=policy, xlabel="queries", xticks=[amount.queries * part // 4 for part in range(5)])
            axes.legend()
        panels[0].set(ylabel="loss beyond the best model's")

    return draw


EXPERIMENT = Experiment(name="delay", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
