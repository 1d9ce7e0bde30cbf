"""Batch sizes that follow the objective: what they gain, by the model's own time, and that they keep it.

python -m benchmarks.paper.batching [--quick]
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import joblib
import numpy as np
from benchmarks.load import measure, sample_bodies
from benchmarks.openloop import OpenLoop, Phase, Window
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, main, started
from benchmarks.report import Goal, table
from benchmarks.servers import Skysail
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

__all__ = ["EXPERIMENT", "Closed", "Half", "Model", "goals"]

_SLO = 0.02
_SIZINGS = {"none": "max = 1", "aimd": 'sizing = "aimd"', "quantile": 'sizing = "quantile"'}
_FEW = 4
"""Connections that keep a worker busy with a row or two at a time."""
_MANY = 128
_RUNGS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the closed loop's rate among which the capacity is looked for."""
_ROUNDS = 5
"""How often each open loop is run: a stall of the machine in one of them is no p99 of the server's."""
_SHARES = (0.5, 0.8)

_METHOD = """\
Each model in turn is served three times, in processes of their own, with an SLO of {slo:.0f} ms: with batches of one
row (`max = 1`), with sizes by `aimd` and by `quantile`. A closed loop of clients keeps it busy for {seconds:.0f} s,
after a second of warm-up: {few} connections for batches of one and for the kernel SVM, {many} else. Rows are random
numbers in JSON, no two alike, 64 of them, for the kernel SVM 784. The model call is what the worker itself counts, from
rows decoded to outputs. The p99 is that of all batches since the start, from the frontend to the worker and back, and
its budget the part of the SLO that a batch may take. Then the model with `quantile` gets Poisson loads. A closed loop
sends when it has been answered, and so does more than can be done at random moments: so first {rungs} of its
rate, for a second each; the most that a second of these had answered within the SLO, from when a query was due, is the
capacity. Half of that, and four fifths, by turns for {seconds:.0f} s each, medians of {rounds} rounds: the p99 is the
client's, and the mean the server's."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One of the models."""

    name: str
    """Its name in the table."""

    floats: int
    """Numbers in a row."""

    connections: int
    """Clients that its adaptive batches are measured with: no more than it answers within the SLO."""

    make: Callable[[], Any] | None
    """Trains it; `None` for the function that does nothing."""


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What a closed loop saw of one sizing."""

    rate: float
    """Answers a second."""

    call: float
    """Rows for each second of the model call."""

    batch: float
    """Rows of the mean batch."""

    p99: float
    """Seconds that 99 of 100 batches took at most."""

    budget: float
    """Seconds that they might take."""

    errors: int
    """Requests without an answer."""


@dataclass(frozen=True, kw_only=True)
class Half:
    """What open loops at one load saw, in the median; named after the first of the two loads."""

    share: float
    """The load, as a share of the capacity."""

    rate: float
    """The load, in queries a second."""

    offered: int
    """Queries."""

    mean: float
    """Mean latency at the server, in seconds."""

    p99: float
    """p99 of the client's, from when a query was due."""

    refused: float
    """Share of the queries that were refused."""


def _digits(model: Any) -> Callable[[], Any]:
    def make() -> Any:
        rows, labels = load_digits(return_X_y=True)
        return model.fit(rows / 16, labels)

    return make


def _kernel() -> Any:
    """Support vectors as many as rows, since the labels are random: about two milliseconds for each row predicted."""
    rng = np.random.default_rng(1)
    return SVC(gamma=1.0).fit(rng.random((2_000, 784)), rng.integers(0, 2, 2_000))


_MODELS = (
    Model(name="no-op", floats=64, connections=_MANY, make=None),
    Model(name="linear SVM", floats=64, connections=_MANY, make=_digits(LinearSVC())),
    Model(name="logistic regression", floats=64, connections=_MANY, make=_digits(LogisticRegression(max_iter=2000))),
    Model(name="random forest", floats=64, connections=_MANY, make=_digits(RandomForestClassifier(random_state=1))),
    Model(name="kernel SVM", floats=784, connections=_FEW, make=_kernel),
)


def _config(model: Model, artifact: Path) -> str:
    path = "noop.py:predict" if model.make is None else str(artifact)
    tables = [
        f'[models.{sizing}]\npath = "{path}"\ninput = "float32[{model.floats}]"\nbatch = {{ {batch} }}\n\n'
        f'[apps.{sizing}-app]\nmodels = ["{sizing}"]\nslo = "{_SLO * 1e3:.0f}ms"\n'
        for sizing, batch in _SIZINGS.items()
    ]
    return "\n".join(tables)


def _run(quick: bool) -> Result:
    seconds, rounds, rungs = (1.0, 1, _RUNGS[::3]) if quick else (3.0, _ROUNDS, _RUNGS)
    closed: dict[str, dict[str, Closed]] = {}
    halves: dict[str, list[Half]] = {}
    for model in (_MODELS[1], _MODELS[4]) if quick else _MODELS:
        with tempfile.TemporaryDirectory(prefix="skysail-models-") as folder:
            artifact = Path(folder, "model.joblib")
            if model.make is not None:
                with threadpool_limits(1):
                    joblib.dump(model.make(), artifact)
            noop = {"noop.py": "def predict(batch):\n    return [0] * len(batch)\n"}
            with started(_config(model, artifact), noop) as server:
                closed[model.name] = {sizing: _closed(server, model, sizing, seconds) for sizing in _SIZINGS}
                rate = closed[model.name]["quantile"].rate
                capacity = max(_load(server, model, rung * rate, 1.0).goodput for rung in rungs)
                seen = [[_open(server, model, capacity, share, seconds) for share in _SHARES] for _ in range(rounds)]
                halves[model.name] = [_middle(one) for one in zip(*seen, strict=True)]
    return _result(closed, halves, _method(seconds, rounds, rungs))


def _closed(server: Skysail, model: Model, sizing: str, seconds: float) -> Closed:
    connections = _FEW if sizing == "none" else model.connections
    url, bodies = f"{server.url}/apps/{sizing}-app/predict", sample_bodies(model.floats)
    measure(url, bodies, connections=connections, seconds=1.0, warmup=0.0)
    before = server.status()["models"][sizing]
    load = measure(url, bodies, connections=connections, seconds=seconds, warmup=0.0)
    after = server.status()["models"][sizing]
    rows = after["rows"] - before["rows"]
    return Closed(
        rate=(load.requests - load.errors) / load.seconds,
        call=rows / (after["predict_seconds"] - before["predict_seconds"]),
        batch=rows / (after["batches"] - before["batches"]),
        p99=after["batch"]["p99_ms"] / 1e3,
        budget=after["batch"]["budget_ms"] / 1e3,
        errors=load.errors,
    )


def _load(server: Skysail, model: Model, rate: float, seconds: float) -> Window:
    url, bodies = f"{server.url}/apps/quantile-app/predict", sample_bodies(model.floats)
    return OpenLoop.run(url, bodies, [Phase(rate=rate, seconds=seconds)], limit=_SLO).phases[0]


def _open(server: Skysail, model: Model, capacity: float, share: float, seconds: float) -> Half:
    before = _latencies(server)
    seen = _load(server, model, share * capacity, seconds)
    after = _latencies(server)
    return Half(
        share=share,
        rate=share * capacity,
        offered=seen.offered,
        mean=(after[0] - before[0]) / max(1.0, after[1] - before[1]),
        p99=seen.p99_ms / 1e3,
        refused=seen.refused / max(1, seen.offered),
    )


def _middle(rounds: Sequence[Half]) -> Half:
    """The medians of rounds at one load."""
    return Half(
        share=rounds[0].share,
        rate=rounds[0].rate,
        offered=sum(it.offered for it in rounds),
        mean=median(it.mean for it in rounds),
        p99=median(it.p99 for it in rounds),
        refused=median(it.refused for it in rounds),
    )


def _latencies(server: Skysail) -> tuple[float, float]:
    """The sum of the application's latencies at the server so far, and their number."""
    text = httpx.get(f"{server.admin_url}/metrics").raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {sample.name: sample.value for sample in samples if sample.labels.get("app") == "quantile-app"}
    return found["skysail_latency_seconds_sum"], found["skysail_latency_seconds_count"]


def goals(closed: dict[str, dict[str, Closed]], halves: dict[str, list[Half]]) -> list[Goal]:
    """What the paper showed, and what it missed."""
    linear = closed["linear SVM"]
    return [
        Goal(what="linear SVM: model call with `quantile`, to batches of one",
             value=linear["quantile"].call / linear["none"].call, limit=10.0, least=True, unit="×"),
        Goal(what="p99 of a batch with `quantile`, to its budget, at the worst model",
             value=max(by["quantile"].p99 / by["quantile"].budget for by in closed.values()), limit=1.0, unit="×"),
        Goal(what="mean at half load, at the worst model",
             value=max(half.mean for half, _ in halves.values()) / _SLO, limit=0.5, unit="SLO"),
        Goal(what="client's p99 at four fifths, at the worst model",
             value=max(most.p99 for _, most in halves.values()) / _SLO, limit=1.0, unit="SLO"),
    ]  # fmt: skip


def _method(seconds: float, rounds: int, rungs: Sequence[float]) -> str:
    shares = ", ".join(f"{rung:.0%}" for rung in rungs)
    method = _METHOD.format(slo=_SLO * 1e3, seconds=seconds, few=_FEW, many=_MANY, rounds=rounds, rungs=shares)
    return textwrap.fill(method, 120)


def _result(closed: dict[str, dict[str, Closed]], halves: dict[str, list[Half]], method: str) -> Result:
    batches = [_row(name, sizing, one) for name, by in closed.items() for sizing, one in by.items()]
    loads = [_load_row(name, half) for name, both in halves.items() for half in both]
    return Result(
        title="Batching: sizes that follow the objective",
        method=method,
        lines=[
            *table(["model", "sizing", "answers/s", "rows/s of model call", "mean batch", "p99 of a batch ms",
                    "its budget", "errors"], batches),
            "",
            *table(["model", "load", "queries/s", "queries", "mean ms", "client's p99", "refused"], loads),
        ],
        data={
            "slo": _SLO,
            "closed": {name: {sizing: asdict(one) for sizing, one in by.items()} for name, by in closed.items()},
            "open": {name: [asdict(half) for half in both] for name, both in halves.items()},
        },
        goals=goals(closed, halves),
        figures=_figures(closed),
        plot=_plot(closed),
    )  # fmt: skip


def _row(name: str, sizing: str, one: Closed) -> list[str]:
    times = [f"{1e3 * one.p99:.2f}", f"{1e3 * one.budget:.2f}"]
    return [name, sizing, f"{one.rate:,.0f}", f"{one.call:,.0f}", f"{one.batch:.1f}", *times, str(one.errors)]


def _load_row(name: str, half: Half) -> list[str]:
    times = [f"{1e3 * half.mean:.1f}", f"{1e3 * half.p99:.1f}"]
    return [name, f"{half.share:.0%}", f"{half.rate:,.0f}", f"{half.offered:,}", *times, f"{half.refused:.1%}"]


def _figures(closed: dict[str, dict[str, Closed]]) -> list[Figure]:
    published = {
        "no-op": "48,386 / 46,085 / 8,964",
        "linear SVM": "48,934 / 47,879 / 1,921, p99 20.2 / 17.8 / .34 ms",
        "logistic regression": "47,220 / 43,954 / 1,921",
        "random forest": "22,859 / 19,904 / 317 (depth 16)",
        "kernel SVM": "198 / 189 / 203, p99 1.44 SLO",
    }
    return [
        Figure(what=f"{name}: rows/s with AIMD, by quantiles, without", published=published[name],
               ours=" / ".join(f"{by[sizing].call:,.0f}" for sizing in ("aimd", "quantile", "none")))
        for name, by in closed.items()
    ]  # fmt: skip


def _plot(closed: dict[str, dict[str, Closed]]) -> Plot:
    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        places = np.arange(len(closed))
        for offset, sizing in enumerate(_SIZINGS):
            ones: Sequence[Closed] = [by[sizing] for by in closed.values()]
            left.bar(places + 0.27 * (offset - 1), [one.call for one in ones], 0.25, label=sizing)
            right.bar(places + 0.27 * (offset - 1), [one.p99 / one.budget for one in ones], 0.25, label=sizing)
        left.set(ylabel="rows for each second of the model call", yscale="log")
        right.set(ylabel="p99 of a batch, to its budget")
        right.axhline(1.0, color="tab:red", linestyle="--")
        for axes in (left, right):
            axes.set_xticks(places, list(closed), rotation=30, ha="right")
            axes.legend()

    return draw


EXPERIMENT = Experiment(name="batching", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
