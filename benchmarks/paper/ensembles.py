"""Ensembles of real models, on real data: how much less wrong than the best of their models?

    python -m benchmarks.paper.ensembles [--quick]

Clipper's figure: an ensemble of five networks errs 5.2 % less often on ImageNet than the best of them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.paper.client import Client
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, drive, main, started
from benchmarks.paper.trained import DATA, FIVE, Split, ask_and_tell, model_tables, replay, split_of_five
from benchmarks.report import BenchmarkError, Goal, table

__all__ = ["EXPERIMENT", "POLICIES", "Pooled", "pooled"]

POLICIES = ("stacking", "vote", "adahedge")
"""The ensembles that are tried."""

_GOAL = 0.95
_SPLITS, _QUICK_SPLITS = 20, 4
_METHOD = """\
Five models of scikit-learn (support vectors, logistic regression, nearest neighbours, random forest, neural network),
each with the library's defaults on standardised values, are trained on a random half of each data set, and asked about
the other half, in {splits} splits. One server replays them: a worker looks up what its trained model said of a row, so
answers take less time than they would, and are else the same. Each split and policy is an application that has learned
nothing yet; it is asked about all rows in turn, and told the right labels after every ten answers; what it gets wrong
while it learns counts. The best single model is the one with the fewest errors over all splits of the data set, which
one knows only afterwards. Splits of the same data share rows, so their errors are not independent."""


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Errors on one data set, over all splits."""

    rows: int
    """Rows asked about."""

    single: dict[str, int]
    """Errors of each model."""

    ensemble: dict[str, int]
    """Errors of each policy."""

    better: dict[str, tuple[int, int]]
    """In how many splits a policy had fewer errors than the best single model, and in how many it had more."""

    @property
    def best(self) -> str:
        """The best single model."""
        return min(self.single, key=self.single.__getitem__)


def pooled(splits: Sequence[Split], errors: Mapping[str, Sequence[int]]) -> Pooled:
    """The splits of one data set together; `errors` has those of each policy, split by split."""
    single = {model: sum(split.errors(model) for split in splits) for model in splits[0].said}
    best = min(single, key=single.__getitem__)
    bars = [split.errors(best) for split in splits]
    better = {
        policy: (
            sum(error < bar for error, bar in zip(counts, bars, strict=True)),
            sum(error > bar for error, bar in zip(counts, bars, strict=True)),
        )
        for policy, counts in errors.items()
    }
    ensemble = {policy: sum(counts) for policy, counts in errors.items()}
    return Pooled(rows=sum(len(s.labels) for s in splits), single=single, ensemble=ensemble, better=better)


def _run(quick: bool) -> Result:
    count = _QUICK_SPLITS if quick else _SPLITS
    splits = {data: [split_of_five(data, seed) for seed in range(count)] for data in DATA}
    every = [split for some in splits.values() for split in some]
    with started(model_tables(FIVE) + "".join(map(_apps, every)), replay(every)) as server:
        errors = drive(_ask(server.url, every))
    found = {
        data: pooled(some, {policy: [errors[policy, split.name] for split in some] for policy in POLICIES})
        for data, some in splits.items()
    }
    return _result(found, count)


def _apps(split: Split) -> str:
    return "".join(
        f'[apps."{policy}.{split.name}"]\nmodels = {list(FIVE)}\npolicy = "{policy}"\nslo = "30s"\n\n'
        for policy in POLICIES
    )


async def _ask(url: str, splits: Sequence[Split]) -> dict[tuple[str, str], int]:
    """The errors of each policy in each split. All run side by side, each a query after the other."""
    async with Client(url) as client:
        runs = [(policy, split) for split in splits for policy in POLICIES]
        errors = await asyncio.gather(*[_errors(client, f"{policy}.{split.name}", split) for policy, split in runs])
    return {(policy, split.name): count for (policy, split), count in zip(runs, errors, strict=True)}


async def _errors(client: Client, app: str, split: Split) -> int:
    answers = await ask_and_tell(client, app, split)
    if missing := [answer for answer in answers if answer.get("missing") or "error" in answer]:
        raise BenchmarkError(f"{app}: {len(missing)} answers lack a model, the first is {missing[0]}")
    return sum(answer["output"] != label for answer, label in zip(answers, split.labels, strict=True))


def _result(found: dict[str, Pooled], splits: int) -> Result:
    bar = sum(data.single[data.best] for data in found.values())
    ratios = {policy: sum(data.ensemble[policy] for data in found.values()) / bar for policy in POLICIES}
    best = min(ratios, key=ratios.__getitem__)
    lines = [line for name, data in found.items() for line in [*_table(name, data), ""]]
    lines.append("both, to the best single models: " + ", ".join(f"{p} {ratio:.3f}" for p, ratio in ratios.items()))
    return Result(
        title="Ensembles: errors beside those of the best single model",
        method=_METHOD.format(splits=splits),
        lines=lines,
        data={name: _data(data) for name, data in found.items()} | {"ratios": ratios, "best": best},
        goals=[Goal(what=f"errors of {best}, to those of the best single models", value=ratios[best], limit=_GOAL)],
        figures=[
            Figure(
                what="errors of the ensemble, less than the best model's by",
                published="5.2 % (ImageNet, top 5; five deep networks)",
                ours=f"{1 - ratios[best]:.1%} ({best})",
            )
        ],
        plot=_plot(found),
    )


def _table(name: str, data: Pooled) -> list[str]:
    bar = data.single[data.best]
    rows = [
        (model, count, f"{count / data.rows:.2%}", f"{count / bar:.3f}", "") for model, count in data.single.items()
    ]
    rows += [
        (policy, count, f"{count / data.rows:.2%}", f"{count / bar:.3f}", "{} / {}".format(*data.better[policy]))
        for policy, count in data.ensemble.items()
    ]
    return table([f"{name}, {data.rows:,} rows", "errors", "rate", "to the best", "splits better / worse"], rows)


def _data(data: Pooled) -> dict[str, Any]:
    return {
        "rows": data.rows, "single": data.single, "ensemble": data.ensemble, "best": data.best, "splits": data.better,
    }  # fmt: skip


def _plot(found: dict[str, Pooled]) -> Plot:
    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(found), squeeze=False)[0]
        for panel, (name, data) in zip(panels, found.items(), strict=True):
            bars = data.single | data.ensemble
            colours = ["tab:gray"] * len(data.single) + ["tab:blue"] * len(data.ensemble)
            panel.barh(list(bars), [100 * count / data.rows for count in bars.values()], color=colours)
            panel.axvline(100 * data.single[data.best] / data.rows, color="tab:red", linestyle="--")
            panel.invert_yaxis()
            panel.set(title=name, xlabel="errors, %; dashed: the best single model")

    return draw


EXPERIMENT = Experiment(name="ensembles", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
