"""A model fails and recovers: which policies notice, how fast, and what it costs.

The stream of Clipper's figure 8: five models with the accuracies of its CIFAR-10 ones, 20,000 queries, the best model
broken from 5,000 to 10,000. Clipper drew its curves with a simulation beside the server; here every query and every
observation goes through the server. The same five models for 2,400 queries with the best broken from 1,000 on give the
one curve whose published numbers are known.

    python -m benchmarks.paper.failure [--quick]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import mean

import numpy as np
from benchmarks.paper.client import Client
from benchmarks.paper.harness import (
    Canvas,
    Experiment,
    Figure,
    Plot,
    Result,
    curve,
    drive,
    main,
    standard_error,
    started,
)
from benchmarks.paper.models import Expert, declared, row
from benchmarks.report import BenchmarkError, Goal, table
from benchmarks.servers import Skysail

__all__ = ["ACCURACIES", "EXPERIMENT", "POLICIES", "Amount", "Run", "goals", "regained"]

ACCURACIES = (0.7575, 0.654, 0.832, 0.54, 0.9085)
"""How often each model is right; the last one breaks."""

POLICIES = {
    "exp3": '{ name = "exp3", eta = 0.05 }',
    "exp4": '{ name = "exp4", eta = 0.2 }',
    "adahedge": '"adahedge"',
    "thompson": '"thompson"',
    "exp3ix": '"exp3ix"',
}
"""The policies compared, as a config file names them: Clipper's two with the constants of its figure, ours as they are
by default.
"""

_CHUNK = 10
_SAMPLE = 100
_CURVE = "curve"
_PROMPT = "prompt"
_SHORT = 2_400
_SHORT_BREAK = 1_000
_WINDOW = 50

_METHOD = """\
Five models, each right with its accuracy, independently, with ten labels; while broken, the best one is always wrong
(Clipper's gave random vectors, right one time in ten). `skysail serve` with the defaults and `cache = false`; each
policy and seed is an application of its own, and all run at once. Every query and observation goes over HTTP: {chunk}
rows in one request, then their labels in one request, so feedback is behind by {chunk} queries at most (checked below:
the same worlds one query at a time). An error is an answer that is not the label. Worlds follow from their seeds and
are the same for all policies; the server's own draws are not seeded."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is run."""

    queries: int = 20_000
    """Length of the stream; the best model is broken from its first quarter to its half."""

    seeds: Mapping[str, int] = field(
        default_factory=lambda: {"exp3": 30, "exp4": 10, "adahedge": 10, "thompson": 10, "exp3ix": 10}
    )
    """Streams for each policy. Exp3's losses differ most from run to run, so it has more."""

    short: int = 100
    """Streams of the published curve, which was of as many."""

    prompt: int = 8
    """Streams that are run with prompt feedback too."""

    @property
    def broken(self) -> tuple[int, int]:
        """When the best model is broken."""
        return self.queries // 4, self.queries // 2


_QUICK = Amount(queries=4_000, seeds=dict.fromkeys(POLICIES, 2), short=5, prompt=1)


@dataclass
class Run:
    """What one application did with one stream."""

    wrong: list[bool] = field(default_factory=list)
    """For each query, whether the answer was wrong."""

    asked: list[str] = field(default_factory=list)
    """For each query, the model that was asked, or the first of them."""

    weights: dict[int, float] = field(default_factory=dict)
    """Now and then, at the decision of that query: the weight of the best model."""

    @property
    def loss(self) -> int:
        """Wrong answers."""
        return sum(self.wrong)


async def _learn(client: Client, admin: Client, app: str, seed: int, queries: int, chunk: int) -> Run:
    """Queries in order, each chunk's labels before the next chunk; weights are asked for at round numbers."""
    run = Run()
    for start in range(0, queries, chunk):
        rows = [row(seed, t) for t in range(start, min(start + chunk, queries))]
        answers = await client.predict(app, rows)
        said = [{"prediction_id": a["prediction_id"], "label": r["label"]} for a, r in zip(answers, rows, strict=True)]
        kept = await client.observe(app, said)
        if kept["accepted"] != len(rows):
            raise BenchmarkError(f"{app}: of {len(rows)} observations {kept} were kept")
        run.wrong += [a["output"] != r["label"] for a, r in zip(answers, rows, strict=True)]
        run.asked += [a["models"][0].partition("@")[0] for a in answers]
        if start % _SAMPLE == 0 and app.startswith("adahedge"):
            run.weights[start] = await _weight(admin, answers[0]["prediction_id"])
    return run


async def _weight(admin: Client, prediction: str) -> float:
    """The best model's weight in a decision, as `skysail why` tells it."""
    status, why = await admin.get(f"/predictions/{prediction}")
    if status != 200:
        raise BenchmarkError(f"why {prediction} answered {status}: {why}")
    return float(why["weights"][_best()])


def _best() -> str:
    return f"m{len(ACCURACIES) - 1}"


def _apps(amount: Amount) -> dict[str, tuple[str, list[str]]]:
    """Every application: its policy as the config file has it, and its models."""
    models = [f"m{place}" for place in range(len(ACCURACIES))]
    short = [*models[:-1], "m4short"]
    apps = {f"{p}-{seed}": (POLICIES[p], models) for p, count in amount.seeds.items() for seed in range(count)}
    apps |= {f"{_CURVE}-{seed}": ('"exp3"', short) for seed in range(amount.short)}
    apps |= {f"{_PROMPT}-{c}-{seed}": ('"adahedge"', short) for c, seed in product((1, _CHUNK), range(amount.prompt))}
    return apps


def _config(amount: Amount) -> tuple[str, str]:
    """The server's tables, and its models."""
    experts = [
        Expert(name=f"m{place}", accuracy=accuracy, broken=(0, 0) if f"m{place}" != _best() else amount.broken)
        for place, accuracy in enumerate(ACCURACIES)
    ]
    experts.append(Expert(name="m4short", accuracy=ACCURACIES[-1], broken=(_SHORT_BREAK, _SHORT)))
    tables, zoo = declared(experts)
    for name, (policy, models) in _apps(amount).items():
        listed = ", ".join(f'"{model}"' for model in models)
        tables += f'\n[apps.{name}]\nmodels = [{listed}]\npolicy = {policy}\nslo = "10s"\ncache = false\n'
    return tables, zoo


async def _drive(server: Skysail, amount: Amount) -> dict[str, list[Run]]:
    """All streams, by what they are of."""
    plan: dict[str, list[tuple[str, int, int, int]]] = {
        policy: [(f"{policy}-{seed}", seed, amount.queries, _CHUNK) for seed in range(count)]
        for policy, count in amount.seeds.items()
    }
    plan[_CURVE] = [(f"{_CURVE}-{seed}", seed, _SHORT, _CHUNK) for seed in range(amount.short)]
    later = {
        f"{_PROMPT}-{chunk}": [(f"{_PROMPT}-{chunk}-{seed}", seed, _SHORT, chunk) for seed in range(amount.prompt)]
        for chunk in (_CHUNK, 1)
    }
    async with Client(server.url) as client, Client(server.admin_url) as admin:
        runs: dict[str, list[Run]] = {}
        for stage in (plan, later):  # small chunks by themselves: beside many loops each would wait for all of them
            streams = [stream for kind in stage.values() for stream in kind]
            done = iter(await asyncio.gather(*[_learn(client, admin, *stream) for stream in streams]))
            runs |= {kind: [next(done) for _ in streams] for kind, streams in stage.items()}
    return runs


def regained(run: Run, broken: tuple[int, int]) -> float:
    """How many queries after its recovery the best model has over half of the weight it had before it broke; for ever
    where it never has.
    """
    start, stop = broken
    before = mean(weight for t, weight in run.weights.items() if start // 2 <= t < start)
    return next((float(t - stop) for t, weight in run.weights.items() if t >= stop and weight > before / 2), np.inf)


def _rate(runs: Sequence[Run], start: float, stop: float) -> float:
    """The share of wrong answers between two points of the stream, given as fractions of it."""
    length = len(runs[0].wrong)
    return float(np.mean([np.mean(run.wrong[int(start * length) : int(stop * length)]) for run in runs]))


def goals(runs: Mapping[str, Sequence[Run]], broken: tuple[int, int]) -> list[Goal]:
    """What the issue of the paper's figure asks: Clipper's policies fail and recover, ours do better."""
    loss = {policy: mean(run.loss for run in of) for policy, of in runs.items()}
    found = []
    for policy, name in (("exp3", "Exp3"), ("exp4", "Exp4")):
        of = runs[policy]
        before, first, settled, end = (
            _rate(of, *part) for part in ((0.125, 0.25), (0.25, 0.275), (0.375, 0.5), (0.875, 1.0))
        )
        found += [
            Goal(what=f"{name} fails: error just after the break over that before", value=first / before,
                 limit=1.5, least=True),
            Goal(what=f"{name} turns to the second best: error while broken, later half", value=settled,
                 limit=1.0 - ACCURACIES[2] + 0.05),
            Goal(what=f"{name} recovers: error in the last eighth over that while broken", value=end / settled,
                 limit=0.8),
        ]  # fmt: skip
    slowest = max(regained(run, broken) for run in runs["adahedge"])
    return [
        *found,
        Goal(what="adahedge's loss over Exp4's", value=loss["adahedge"] / loss["exp4"], limit=1.0),
        Goal(what="queries until adahedge's recovered model has half its weight, slowest seed", value=slowest,
             limit=1_000.0),
        *[_no_more(policy, runs) for policy in ("thompson", "exp3ix")],
    ]  # fmt: skip


def _no_more(policy: str, runs: Mapping[str, Sequence[Run]]) -> Goal:
    """A policy loses at most 1.1 times what Exp3 does, as far as so many streams can tell.

    Exp3's loss has a standard deviation of a tenth of it from stream to stream, so the ratio comes with an error that
    is not small beside the margin: it is missed when the streams show that it is above the limit.
    """
    ours, theirs = ([run.loss for run in runs[name]] for name in (policy, "exp3"))
    ratio = mean(ours) / mean(theirs)
    error = ratio * float(np.hypot(standard_error(ours) / mean(ours), standard_error(theirs) / mean(theirs)))
    what = f"{policy}'s loss over Exp3's ({ratio:.3f}), less two standard errors of {error:.3f}"
    return Goal(what=what, value=ratio - 2.0 * error, limit=1.1)


def _accuracy(runs: Sequence[Run], at: int) -> float:
    """The chosen models' accuracy when they are not broken, in the queries up to this one: what the published curve
    shows. Those after it would be after the break, where that is what is asked about.
    """
    by_name = {f"m{place}": accuracy for place, accuracy in enumerate(ACCURACIES)} | {"m4short": ACCURACIES[-1]}
    return mean(by_name[model] for run in runs for model in run.asked[max(0, at - _WINDOW) : at])


def _run(quick: bool) -> Result:
    return run(_QUICK if quick else Amount())


def run(amount: Amount) -> Result:
    """The experiment at a given size."""
    config, zoo = _config(amount)
    with started(config, {"zoo.py": zoo}) as server:
        runs = drive(_drive(server, amount))
    prompt = [mean(run.loss for run in runs.pop(f"{_PROMPT}-{chunk}")) for chunk in (_CHUNK, 1)]
    short = runs.pop(_CURVE)
    seen = {at: _accuracy(short, at) for at in (500, 1_000, 1_200, 2_400)}
    lag = abs(prompt[0] - prompt[1])
    return Result(
        title=f"Model failure: {amount.queries:,} queries, the best of five models broken from "
        f"{amount.broken[0]:,} to {amount.broken[1]:,}",
        method=_METHOD.format(chunk=_CHUNK),
        lines=_lines(runs, amount),
        data=_data(runs, amount) | {"curve": seen, "prompt": {"chunks": prompt[0], "prompt": prompt[1]}},
        goals=[
            *goals(runs, amount.broken),
            Goal(what="Exp3's published curve (.891) at 500", value=seen[500], limit=0.885, least=True),
            Goal(what="Exp3's published curve (.897) at 1,000", value=seen[1_000], limit=0.895, least=True),
            Goal(what="Exp3's published curve (.821) at 2,400", value=seen[2_400], limit=0.815, least=True),
            Goal(what=f"errors in {_SHORT:,} that sending chunks of {_CHUNK} adds or saves", value=lag, limit=_CHUNK),
        ],
        figures=_figures(runs, seen),
        plot=_plot(runs, amount),
    )


def _figures(runs: Mapping[str, Sequence[Run]], seen: Mapping[int, float]) -> list[Figure]:
    """The numbers that are known of Clipper's curves: the figure itself is an image."""
    loss = {policy: mean(run.loss for run in of) for policy, of in runs.items()}
    published = {500: ".891", 1_000: ".897", 1_200: ".798", 2_400: ".821"}
    return [
        *[Figure(what=f"Exp3 (η .1), accuracy of the chosen model at {at:,}", published=published[at],
                 ours=f"{accuracy:.3f}") for at, accuracy in seen.items()],
        Figure(what="Exp3 (η .05), errors in the run", published="2,857 of 20,000 (simulated)",
               ours=f"{loss['exp3']:,.0f}"),
        Figure(what="Exp4 (η .2), errors in the run", published="2,685 of 20,000 (simulated)",
               ours=f"{loss['exp4']:,.0f}"),
    ]  # fmt: skip


def _lines(runs: Mapping[str, Sequence[Run]], amount: Amount) -> list[str]:
    rows = []
    for policy, of in runs.items():
        losses = [run.loss for run in of]
        parts = [f"{_rate(of, *part):.3f}" for part in ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))]
        rows.append([policy, len(of), f"{mean(losses):,.0f} ± {standard_error(losses):.0f}", *parts])
    quarters = ["before", "broken", "recovered", "last quarter"]
    return table(["", "seeds", f"errors of {amount.queries:,}", *[f"error {part}" for part in quarters]], rows)


def _data(runs: Mapping[str, Sequence[Run]], amount: Amount) -> dict[str, object]:
    return {
        "queries": amount.queries,
        "broken": amount.broken,
        "losses": {policy: [run.loss for run in of] for policy, of in runs.items()},
        "cumulative": {policy: curve(_cumulative(of)) for policy, of in runs.items()},
        "regained": [regained(run, amount.broken) for run in runs["adahedge"]],
    }


def _cumulative(runs: Sequence[Run]) -> list[float]:
    """The share of wrong answers so far, on average."""
    wrong = np.mean([run.wrong for run in runs], axis=0)
    averages: list[float] = (np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).tolist()
    return averages


def _plot(runs: Mapping[str, Sequence[Run]], amount: Amount) -> Plot:
    """Average error so far, and the error of late, of each policy."""

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=True)
        window = max(1, amount.queries // 40)
        for policy, of in runs.items():
            left.plot(_cumulative(of), label=policy)
            late = np.convolve(np.mean([run.wrong for run in of], axis=0), np.ones(window) / window, "valid")
            right.plot(np.arange(window - 1, amount.queries), late)
        for axes, title in ((left, "average error so far"), (right, f"error over the last {window} queries")):
            axes.axvspan(*amount.broken, color="0.9")
            axes.set(title=title, xlabel="queries (shaded: the best model is broken)")
            axes.set(xticks=[amount.queries * part // 4 for part in range(5)])
        left.set(ylim=(0.05, 0.35))
        left.legend()

    return draw


EXPERIMENT = Experiment(name="failure", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
