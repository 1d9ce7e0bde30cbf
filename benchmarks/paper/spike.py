"""A spike of three times what the accurate model can do: by itself, with a cheaper one, and with `prefer_in_time`.

    python -m benchmarks.paper.spike [--quick]

The measure, answers that are right and in time, is that of Model-Switching (Zhang et al. 2020), which was built inside
Clipper.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.paper.client import Client
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, drive, main, started
from benchmarks.paper.openloop import Asked, arrivals, ask_when_due, quantile
from benchmarks.paper.trained import Split, halves, model_tables, replay, train
from benchmarks.report import Goal, table
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

__all__ = ["ALONE", "EXPERIMENT", "WITH", "WITHOUT", "Run", "Window"]

_SLO = 0.1
_CAPACITY = 200
_RATES = (0.5, 3.0, 0.5)
"""Of the capacity: calm, the spike, calm again."""

_SECONDS, _QUICK_SECONDS = (4.0, 6.0, 5.0), (1.5, 2.0, 2.5)
_SEEDS, _QUICK_SEEDS = 2, 1
_SETTLED = 1.0
"""Seconds after the spike from which it is to be as before."""

_STEP = 0.5
"""Seconds of a point of the curves."""

_DELAY = f"""
_EACH = {{"big": {1 / _CAPACITY}, "small": 0.0002}}


class Model(Replay):
    def delay(self, rows):
        time.sleep(_EACH[type(self).__name__] * len(rows))
"""

ALONE, WITHOUT, WITH = "big alone", "without", "with"

_APPS = {
    ALONE: 'models = ["big"]',
    WITHOUT: 'models = ["big", "small"]',
    WITH: 'models = ["big", "small"]\nprefer_in_time = true',
}
"""What is compared: the big model alone, and both without and with the setting."""

_APP = f"""
[apps.digits]
policy = "single"
slo = "{_SLO * 1e3:.0f}ms"
default = -1
cache = false
"""

_METHOD = """\
Two models of the digits, trained on one half of them and asked about the other: support vectors and a decision tree,
right on {big:.1%} and {small:.1%}. Their workers replay what they say, and sleep 5 ms and 0.2 ms a row, so the big one
can do 200 rows a second, in batches of any size. The policy `single` prefers it; the objective is 100 ms; nothing is
cached. Queries come at random (Poisson) at half the big model's capacity, then at three times it, then at half again,
for {seconds} s, whether or not the server keeps up; a latency is counted from when a query was due. An answer counts if
it is right and has come within the objective; a default never does. Each of {seeds} seeds is run with the big model
alone, with both models without the setting, and with it, each time on a server just started. Without the setting a
query that the big model's queue refuses is put to the small one at once; only what was let in and is late is lost. So
what the setting can gain over that is bounded: with the big model busy throughout, and the small one answering all
else, {best:.3f} would be right and in time."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Queries of one stretch of a run."""

    queries: int
    """How many there were."""

    effective: float
    """Share of them answered right and in time."""

    big: float
    """Share of them answered by the big model."""

    p99: float
    """Seconds that 99 of 100 answers took at most, from when they were due."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of one run's queries, and which label each should have had."""

    asked: list[Asked]
    labels: list[int]
    told: float
    """Effective accuracy as `/status` has it, once it was told the labels."""

    def window(self, since: float, until: float) -> Window:
        """The queries that were due in a stretch of time."""
        inside = [(a, label) for a, label in zip(self.asked, self.labels, strict=True) if since <= a.due < until]
        return Window(
            queries=len(inside),
            effective=mean(_effective(asked, label) for asked, label in inside),
            big=mean(_answered_by_big(asked) for asked, _ in inside),
            p99=quantile([asked.latency for asked, _ in inside], 0.99),
        )


def _effective(asked: Asked, label: int) -> bool:
    return asked.status == 200 and asked.latency <= _SLO and asked.answer["output"] == label


def _answered_by_big(asked: Asked) -> bool:
    answer = asked.answer
    return asked.status == 200 and not answer["default"] and _used(answer["models"], answer["missing"]) == ["big"]


def _used(models: Sequence[str], missing: Sequence[str]) -> list[str]:
    return [model.partition("@")[0] for model in models if model not in missing]


def _run(quick: bool) -> Result:
    half = halves("digits", 0)
    models = train({"big": SVC(), "small": DecisionTreeClassifier(random_state=0)}, half)
    said = {name: model.predict(half.test).tolist() for name, model in models.items()}
    split = Split(name="digits", labels=half.test_labels.tolist(), said=said)
    seconds = _QUICK_SECONDS if quick else _SECONDS
    seeds = range(_QUICK_SEEDS if quick else _SEEDS)
    runs = {name: [_serve(split, app, seed, seconds) for seed in seeds] for name, app in _APPS.items()}
    right = {name: 1.0 - split.errors(name) / len(split.labels) for name in said}
    best = right["small"] + (right["big"] - right["small"]) / _RATES[1]
    method = _METHOD.format(**right, best=best, seconds=", ".join(f"{s:.0f}" for s in seconds), seeds=len(seeds))
    return _result(runs, seconds, best, method)


def _serve(split: Split, app: str, seed: int, seconds: Sequence[float]) -> Run:
    with started(f"{model_tables(list(split.said))}{_APP}{app}\n", replay([split], _DELAY)) as server:
        asked, labels = drive(_drive(server.url, split, seed, seconds))
        told = server.status()["apps"]["digits"]["effective_accuracy"]
    return Run(asked=asked, labels=labels, told=told)


async def _drive(url: str, split: Split, seed: int, seconds: Sequence[float]) -> tuple[list[Asked], list[int]]:
    phases = [(length, share * _CAPACITY) for length, share in zip(seconds, _RATES, strict=True)]
    rows = [{"split": split.name, "row": place} for place in range(len(split.labels))]
    planned = arrivals(random.Random(seed), rows, phases)
    labels = [split.labels[arrival.row["row"]] for arrival in planned]
    async with Client(url) as client:
        asked = await ask_when_due(client, "digits", planned)
        judged = [
            {"prediction_id": a.answer["prediction_id"], "label": label}
            for a, label in zip(asked, labels, strict=True)
            if a.status == 200
        ]
        for first in range(0, len(judged), 1000):
            await client.observe("digits", judged[first : first + 1000])
    return asked, labels


def _result(runs: dict[str, list[Run]], seconds: Sequence[float], best: float, method: str) -> Result:
    calm, spike, total = seconds[0], seconds[0] + seconds[1], sum(seconds)
    stretches = {
        "calm": (0.0, calm),
        "spike": (calm, spike),
        "calm again": (spike + _SETTLED, total),
        "all": (0.0, total),
    }
    found = {name: {of: _mean(some, *stretch) for of, stretch in stretches.items()} for name, some in runs.items()}
    told = {name: mean(run.told for run in some) for name, some in runs.items()}
    return Result(
        title="A spike to three times the capacity, without and with prefer_in_time",
        method=method,
        lines=[*_table(found), "", "/status says of all: " + ", ".join(f"{n} {said:.3f}" for n, said in told.items())],
        data={
            name: {
                "stretches": {of: vars(window) for of, window in windows.items()},
                "told": told[name],
                "curves": {what: _curve(runs[name], total, what) for what in ("effective", "big")},
            }
            for name, windows in found.items()
        },
        goals=_goals(found, best),
        figures=[Figure(what="effective accuracy in the spike: " + ", ".join(_APPS), published="–",
                        ours=", ".join(f"{found[name]['spike'].effective:.3f}" for name in _APPS))],
        plot=_plot(runs, seconds),
    )  # fmt: skip


def _table(found: dict[str, dict[str, Window]]) -> list[str]:
    columns: dict[str, Callable[[Window], str]] = {
        "queries": lambda w: f"{w.queries:,}",
        "effective accuracy": lambda w: f"{w.effective:.3f}",
        "by the big model": lambda w: f"{w.big:.2f}",
        "p99 ms": lambda w: f"{1e3 * w.p99:.0f}",
    }
    rows = [
        (f"{of}, {name}", *[show(windows[of]) for show in columns.values()])
        for of in found[WITH]
        for name, windows in found.items()
    ]
    return table(["", *columns], rows)


def _goals(found: dict[str, dict[str, Window]], best: float) -> list[Goal]:
    effective = {name: windows["spike"].effective for name, windows in found.items()}
    return [
        Goal(what="effective accuracy in the spike, with over the big model alone",
             value=100 * (effective[WITH] - effective[ALONE]), limit=15.0, least=True, unit="points"),
        Goal(what=f"share of what is lost without, of the {best:.3f} that could be, that the setting saves",
             value=(effective[WITH] - effective[WITHOUT]) / (best - effective[WITHOUT]), limit=0.5, least=True),
        Goal(what=f"the big model's share from {_SETTLED:.0f} s after the spike, with",
             value=found[WITH]["calm again"].big, limit=0.9, least=True),
    ]  # fmt: skip


def _mean(runs: Sequence[Run], since: float, until: float) -> Window:
    windows = [run.window(since, until) for run in runs]
    return Window(
        queries=sum(window.queries for window in windows),
        effective=mean(window.effective for window in windows),
        big=mean(window.big for window in windows),
        p99=mean(window.p99 for window in windows),
    )


def _curve(runs: Sequence[Run], total: float, what: str) -> list[float]:
    """A share of the queries over time, one value for each step, the mean over the runs."""
    starts = [step * _STEP for step in range(int(total / _STEP))]
    return [round(mean(getattr(run.window(t, t + _STEP), what) for run in runs), 4) for t in starts]


def _plot(runs: dict[str, list[Run]], seconds: Sequence[float]) -> Plot:
    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(2, 1, sharex=True)
        names = {"effective": "right and in time", "big": "answered by the big model"}
        for panel, (what, name) in zip(panels, names.items(), strict=True):
            for label, some in runs.items():
                values = _curve(some, sum(seconds), what)
                panel.plot([step * _STEP for step in range(len(values))], values, label=label, drawstyle="steps-post")
            panel.axvspan(seconds[0], seconds[0] + seconds[1], color="tab:red", alpha=0.1)
            panel.set(ylabel=f"share {name}", ylim=(0, 1.02))
        panels[0].legend(loc="lower right")
        panels[-1].set(xlabel="seconds; shaded: three times the big model's capacity")

    return draw


EXPERIMENT = Experiment(name="spike", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
