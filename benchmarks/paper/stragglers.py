"""Ensembles whose models are slow now and then: what waiting for all of them would take, and what the answer takes.

    python -m benchmarks.paper.stragglers [--quick]

Clipper's figure is of random forests too, whose tails were those of an overloaded machine; here they are injected.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from benchmarks.paper.client import Client
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, drive, main, started
from benchmarks.paper.openloop import Arrival, Asked, arrivals, ask_when_due, quantile
from benchmarks.paper.trained import Split, halves, model_tables, replay, train
from benchmarks.report import BenchmarkError, Goal, table
from sklearn.ensemble import RandomForestClassifier

__all__ = ["EXPERIMENT", "Ensemble", "summed"]

_SLO = 0.04
_USUAL, _STALL = 0.003, 0.21
_SIZES = (1, 2, 4, 8, 16)
_RATE, _ONE_IN, _QUERIES = 10.0, 50, 400
_HARD_RATE, _HARD_ONE_IN, _HARD_QUERIES = 30.0, 24, 1000
"""What leaves out a quarter of all outputs: more queries for each second that a model stalls."""

_QUICK_SIZES, _QUICK_QUERIES, _QUICK_HARD_QUERIES = (1, 16), 150, 150

_DELAY = f"""
class Model(Replay):
    def __init__(self):
        self.random = random.Random(type(self).__name__)
        self.coming = {{}}

    def delay(self, rows):
        one_in = rows[0]["one_in"]
        coming = self.coming.setdefault(one_in, [])
        if not coming:
            coming += [{_STALL}] + [{_USUAL}] * (one_in - 1)
            self.random.shuffle(coming)
        time.sleep(coming.pop())
"""

_METHOD = """\
Sixteen small random forests of the digits, of five trees each, are trained on one half of them and asked about the
other. Their workers replay what they say, in 3 ms; but one batch in {one_in}, at random places, takes 210 ms. The first
1, 2, … of them are an application's ensemble under the policy `vote`, with an objective of 40 ms and nothing cached.
Queries come at random (Poisson), {rate:.0f} a second, {queries} for each size, whether or not the server keeps up; a
latency is counted from when a query was due, at the client, and from its arrival, at the server. "Blocking" is the
latency of the slowest model, as `GET /predictions/ID` tells it, late outputs included. A query that a stalled model
never came to counts for it with the other models alone, though blocking would have waited; so blocking is flattered.
For the last line one batch in {hard_one_in} stalls, at {hard_rate:.0f} queries a second. Accuracy is compared with what
the same vote says of the same rows when no model is missing; with one model, missing means the default."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """One ensemble's run, in seconds and shares."""

    size: int
    mean: float
    p99: float
    server_p99: float
    blocking_mean: float
    blocking_p99: float
    missing: float
    """Share of all outputs asked for that were not used."""

    late: float
    """Share of the queries that lacked at least one."""

    accuracy: float
    full_accuracy: float
    """With no model missing."""

    @property
    def loss(self) -> float:
        """Points of accuracy lost to missing outputs."""
        return 100 * (self.full_accuracy - self.accuracy)


def summed(
    asked: Sequence[Asked], decisions: Sequence[dict[str, Any]], labels: Sequence[int], full: Sequence[int]
) -> Ensemble:
    """One run's numbers; `full` is what the ensemble says with no model missing."""
    answers = [one.answer for one in asked]
    size = len(answers[0]["models"])
    latencies = [one.latency for one in asked]
    slowest = [max(known) for d in decisions if (known := _model_seconds(d))]
    return Ensemble(
        size=size,
        mean=mean(latencies),
        p99=quantile(latencies, 0.99),
        server_p99=quantile([d["latency_ms"] / 1e3 for d in decisions], 0.99),
        blocking_mean=mean(slowest),
        blocking_p99=quantile(slowest, 0.99),
        missing=sum(len(answer["missing"]) for answer in answers) / (size * len(answers)),
        late=mean(bool(answer["missing"]) for answer in answers),
        accuracy=mean(answer["output"] == label for answer, label in zip(answers, labels, strict=True)),
        full_accuracy=mean(said == label for said, label in zip(full, labels, strict=True)),
    )


def _model_seconds(decision: dict[str, Any]) -> list[float]:
    """How long each model took that said something, in time or late."""
    return [model["latency_ms"] / 1e3 for model in decision["models"] if model["output"] is not None]


def _run(quick: bool) -> Result:
    sizes = _QUICK_SIZES if quick else _SIZES
    half = halves("digits", 0)
    forests = {f"forest{n}": RandomForestClassifier(n_estimators=5, random_state=n) for n in range(max(sizes))}
    said = {name: model.predict(half.test).tolist() for name, model in train(forests, half).items()}
    split = Split(name="digits", labels=half.test_labels.tolist(), said=said)
    config = model_tables(list(said)) + "".join(_app(list(said)[:size]) for size in sizes)
    with started(config, replay([split], _DELAY)) as server:
        runs = [
            _measure(server.url, server.admin_url, split, size, _RATE, _ONE_IN, _QUICK_QUERIES if quick else _QUERIES)
            for size in sizes
        ]
        queries = _QUICK_HARD_QUERIES if quick else _HARD_QUERIES
        hard = _measure(server.url, server.admin_url, split, max(sizes), _HARD_RATE, _HARD_ONE_IN, queries)
    return _result(runs, hard, _QUICK_QUERIES if quick else _QUERIES)


def _app(models: Sequence[str]) -> str:
    return (
        f'[apps.of{len(models)}]\nmodels = {list(models)}\npolicy = "vote"\nslo = "{_SLO * 1e3:.0f}ms"\n'
        "default = -1\ncache = false\n\n"
    )


def _measure(url: str, admin_url: str, split: Split, size: int, rate: float, one_in: int, queries: int) -> Ensemble:
    """Ask one ensemble so many times, then have its decisions told."""
    rows = [{"split": split.name, "row": place, "one_in": one_in} for place in range(len(split.labels))]
    planned = arrivals(random.Random(size), rows, [(queries / rate, rate)])
    asked, decisions = drive(_ask(url, admin_url, f"of{size}", planned))
    places = [arrival.row["row"] for arrival in planned]
    said = [split.said[model] for model in list(split.said)[:size]]
    full = [_vote([outputs[place] for outputs in said]) for place in places]
    return summed(asked, decisions, [split.labels[place] for place in places], full)


async def _ask(
    url: str, admin_url: str, app: str, planned: Sequence[Arrival]
) -> tuple[list[Asked], list[dict[str, Any]]]:
    """What became of the queries, and what the server has on record of each."""
    async with Client(url) as client, Client(admin_url) as admin:
        asked = await ask_when_due(client, app, planned)
        if wrong := [one for one in asked if one.status != 200]:
            raise BenchmarkError(f"{len(wrong)} of {len(asked)} queries failed, the first with {wrong[0].answer}")
        await asyncio.sleep(2 * _STALL + 0.5)  # the last late outputs come, and are on record
        return asked, [await _decision(admin, one.answer["prediction_id"]) for one in asked]


async def _decision(admin: Client, prediction: str) -> dict[str, Any]:
    status, decision = await admin.get(f"/predictions/{prediction}")
    if status != 200:
        raise BenchmarkError(f"why {prediction} answered {status}: {decision}")
    return decision


def _vote(said: Sequence[int]) -> int:
    """What most say; on a tie the earliest of them, as the policy has it."""
    return max(said, key=said.count)


def _result(runs: Sequence[Ensemble], hard: Ensemble, queries: int) -> Result:
    columns = [
        "models", "mean ms", "p99", "at the server", "blocking mean", "p99", "queries lacking", "outputs missing",
        "accuracy", "with all",
    ]  # fmt: skip
    return Result(
        title="Stragglers: ensembles that answer by the deadline",
        method=_METHOD.format(
            one_in=_ONE_IN, rate=_RATE, queries=queries, hard_one_in=_HARD_ONE_IN, hard_rate=_HARD_RATE
        ),
        lines=table(columns, [_row(run) for run in (*runs, hard)]),
        data={"sizes": [vars(run) for run in runs], "quarter": vars(hard), "slo": _SLO},
        goals=_goals(runs, hard),
        figures=_figures(runs[-1], hard),
        plot=_plot(runs),
    )


def _row(run: Ensemble) -> list[str]:
    times = (run.mean, run.p99, run.server_p99, run.blocking_mean, run.blocking_p99)
    shares = (run.late, run.missing, run.accuracy, run.full_accuracy)
    return [str(run.size), *[f"{1e3 * seconds:.1f}" for seconds in times], *[f"{share:.1%}" for share in shares]]


def _goals(runs: Sequence[Ensemble], hard: Ensemble) -> list[Goal]:
    return [
        Goal(what="p99 of the answer, at the worst size", value=max(run.p99 for run in (*runs, hard)) / _SLO,
             limit=1.1, unit="SLO"),
        Goal(what="p99 of blocking, at the best size", value=min(run.blocking_p99 for run in runs) / _SLO,
             limit=5.0, least=True, unit="SLO"),
        Goal(what="mean of the answer, at the worst size", value=max(run.mean for run in runs) / _SLO, limit=0.75,
             unit="SLO"),
        Goal(what=f"outputs missing of {hard.size} models, where a quarter is meant to be", value=100 * hard.missing,
             limit=20.0, least=True, unit="%"),
        Goal(what="accuracy lost to it", value=hard.loss, limit=1.0, unit="points"),
    ]  # fmt: skip


def _figures(large: Ensemble, hard: Ensemble) -> list[Figure]:
    return [
        Figure(what="p99 of the answer, and of blocking, 16 models, in SLOs",
               published="1.15 and 8.1 (random forests, SLO 20 ms)",
               ours=f"{large.p99 / _SLO:.2f} and {large.blocking_p99 / _SLO:.1f}"),
        Figure(what="mean of the answer, and of blocking, in SLOs", published="0.88 and 3.3",
               ours=f"{large.mean / _SLO:.2f} and {large.blocking_mean / _SLO:.1f}"),
        Figure(what="points of accuracy lost with outputs missing",
               published="0.1 with 2 of 8, 2.4 with 7 of 8 (TIMIT)",
               ours=f"{hard.loss:.1f} with {hard.missing:.0%} of {hard.size}"),
    ]  # fmt: skip


def _plot(runs: Sequence[Ensemble]) -> Plot:
    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        sizes = [run.size for run in runs]
        curves = {
            "blocking, p99": ([run.blocking_p99 for run in runs], "tab:gray", "-"),
            "blocking, mean": ([run.blocking_mean for run in runs], "tab:gray", ":"),
            "the answer, p99": ([run.p99 for run in runs], "tab:blue", "-"),
            "the answer, mean": ([run.mean for run in runs], "tab:blue", ":"),
        }
        for label, (values, colour, style) in curves.items():
            left.plot(sizes, [1e3 * v for v in values], label=label, color=colour, linestyle=style, marker="o")
        left.axhline(1e3 * _SLO, color="tab:red", linestyle="--", label="SLO")
        left.set(xlabel="models in the ensemble", ylabel="ms", yscale="log")
        left.legend()
        right.plot(sizes, [run.full_accuracy for run in runs], label="with all models", color="tab:gray", marker="o")
        right.plot(sizes, [run.accuracy for run in runs], label="by the deadline", color="tab:blue", marker="o")
        right.set(xlabel="models in the ensemble", ylabel="accuracy")
        right.legend()

    return draw


EXPERIMENT = Experiment(name="stragglers", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
