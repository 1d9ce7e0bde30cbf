"""Waiting a little for more rows: what it gains where a batch has a fixed cost, and where it has none.

python -m benchmarks.paper.delayed [--quick]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.load import measure, sample_bodies
from benchmarks.openloop import OpenLoop, Phase
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, main, started
from benchmarks.report import Goal, table
from benchmarks.servers import Skysail

__all__ = ["EXPERIMENT", "Run", "goals"]

_RATE = 2000.0
_FIXED, _ROW = 0.0005, 0.0001
_SLOW, _SLOW_ROW = 0.0035, 0.00001
_CLIENTS = 64
_HOLDS = {"never": "0ms", "1 ms": "1ms", "2 ms": "2ms", "4 ms": "4ms", "learned": ""}
_CONVOYS = ("never", "learned")

_MODELS = """
from time import perf_counter


def spin(seconds):
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def fixed(batch):
    spin({fixed})
    return [0] * len(batch)


def byrow(batch):
    spin({row} * len(batch))
    return [0] * len(batch)


def slow(batch):
    spin({slow} + {slow_row} * len(batch))
    return [0] * len(batch)
"""

_METHOD = """\
Two models that do nothing but take time: one half a millisecond for a batch of any size, the other a tenth for each
row. Each is served with a hold of 0 (never), 1, 2 and 4 ms, and with the one that is learned, and asked at random
moments (Poisson), {rate:,.0f} times a second for {seconds:.0f} s after a warm-up. At such a load the queue is never
long, so a replica that takes what is there takes a row or two. What is gained is counted as rows for each second of the
model's own time, which is what it could carry. Then {clients} clients that ask again as soon as they are answered, and
a model of 3.5 ms and a hundredth for each row, like a forest of a hundred trees: answers a second."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one load saw of one model with one hold."""

    model: str
    hold: str

    rate: float
    """Answers a second."""

    call: float
    """Rows for each second of the model's time."""

    batch: float
    """Rows of the mean batch."""

    p50: float
    """Median latency of the client, in seconds."""

    p99: float
    """p99 of it."""

    held: int
    """Batches that were held back."""


def _run(quick: bool) -> Result:
    seconds = 1.0 if quick else 4.0
    models = {"fixed": _HOLDS, "byrow": _HOLDS, "slow": {name: _HOLDS[name] for name in _CONVOYS}}
    config = "".join(_tables(model, name, hold) for model, holds in models.items() for name, hold in holds.items())
    text = _MODELS.format(fixed=_FIXED, row=_ROW, slow=_SLOW, slow_row=_SLOW_ROW)
    with started(config, {"models.py": text}) as server:
        runs = [_open(server, model, name, seconds) for model in ("fixed", "byrow") for name in _HOLDS]
        convoys = [_closed(server, name, seconds) for name in _CONVOYS]
    return _result(runs, convoys, seconds)


def _name(model: str, hold: str) -> str:
    return f"{model}-{hold.replace(' ', '')}"


def _tables(model: str, name: str, hold: str) -> str:
    batch = f'batch = {{ hold = "{hold}" }}\n' if hold else ""
    return (
        f'[models.{_name(model, name)}]\npath = "models.py:{model}"\ninput = "float32[4]"\n{batch}\n'
        f'[apps.{_name(model, name)}-app]\nmodels = ["{_name(model, name)}"]\nslo = "100ms"\n\n'
    )


def _open(server: Skysail, model: str, hold: str, seconds: float) -> Run:
    url, bodies = f"{server.url}/apps/{_name(model, hold)}-app/predict", sample_bodies(4)
    OpenLoop.run(url, bodies, [Phase(rate=_RATE, seconds=0.5)])
    before = server.status()["models"][_name(model, hold)]
    seen = OpenLoop.run(url, bodies, [Phase(rate=_RATE, seconds=seconds)], seed=2).phases[0]
    return _summed(server, model, hold, before, seen.answered / seconds, seen.p50_ms / 1e3, seen.p99_ms / 1e3)


def _closed(server: Skysail, hold: str, seconds: float) -> Run:
    url, bodies = f"{server.url}/apps/{_name('slow', hold)}-app/predict", sample_bodies(4)
    measure(url, bodies, connections=_CLIENTS, seconds=1.0, warmup=0.0)
    before = server.status()["models"][_name("slow", hold)]
    load = measure(url, bodies, connections=_CLIENTS, seconds=seconds, warmup=0.0)
    rate = (load.requests - load.errors) / load.seconds
    return _summed(server, "slow", hold, before, rate, load.p50, load.p99)


def _summed(
    server: Skysail, model: str, hold: str, before: dict[str, float], rate: float, p50: float, p99: float
) -> Run:
    after = server.status()["models"][_name(model, hold)]
    rows = after["rows"] - before["rows"]
    return Run(
        model=model,
        hold=hold,
        rate=rate,
        call=rows / (after["predict_seconds"] - before["predict_seconds"]),
        batch=rows / (after["batches"] - before["batches"]),
        p50=p50,
        p99=p99,
        held=after["batch"]["held"],
    )


def goals(runs: Sequence[Run], convoys: Sequence[Run]) -> list[Goal]:
    """What the paper showed, and what a hold that is learned is for."""
    call = {(run.model, run.hold): run.call for run in runs}
    rate = {run.hold: run.rate for run in convoys}
    return [
        Goal(what="fixed cost: rows for each second of the model with 2 ms of hold, to none",
             value=call["fixed", "2 ms"] / call["fixed", "never"], limit=2.5, least=True, unit="×"),
        Goal(what="no fixed cost: the same", value=call["byrow", "2 ms"] / call["byrow", "never"], limit=1.1, unit="×"),
        Goal(what="clients in two convoys: answers a second with the hold that is learned, to none",
             value=rate["learned"] / rate["never"], limit=1.2, least=True, unit="×"),
    ]  # fmt: skip


def _result(runs: Sequence[Run], convoys: Sequence[Run], seconds: float) -> Result:
    kinds = {"fixed": "fixed cost", "byrow": "by row", "slow": f"3.5 ms, {_CLIENTS} clients"}
    columns = ["model", "hold", "answers/s", "rows/s of model call", "mean batch", "p50 ms", "p99", "held"]
    rows = [
        [kinds[run.model], run.hold, f"{run.rate:,.0f}", f"{run.call:,.0f}", f"{run.batch:.1f}", f"{1e3 * run.p50:.2f}",
         f"{1e3 * run.p99:.2f}", f"{run.held:,}"]
        for run in (*runs, *convoys)
    ]  # fmt: skip
    checked = goals(runs, convoys)
    return Result(
        title="Delayed batching: waiting for more rows",
        method=_METHOD.format(rate=_RATE, seconds=seconds, clients=_CLIENTS),
        lines=table(columns, rows),
        data={"open": [asdict(run) for run in runs], "closed": [asdict(run) for run in convoys]},
        goals=checked,
        figures=[
            Figure(what="gain of 2 ms of hold, with a fixed cost and without",
                   published="3.35 (scikit-learn SVM) and 1.00 (Spark SVM)",
                   ours=f"{checked[0].value:.2f} and {checked[1].value:.2f}"),
        ],
        plot=_plot(runs),
    )  # fmt: skip


def _plot(runs: Sequence[Run]) -> Plot:
    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        for model, label in (("fixed", "fixed cost"), ("byrow", "by row")):
            mine = [run for run in runs if run.model == model and run.hold != "learned"]
            holds = [run.hold for run in mine]
            left.plot(holds, [run.call / mine[0].call for run in mine], label=label, marker="o")
            right.plot(holds, [1e3 * run.p50 for run in mine], label=f"{label}, p50", marker="o")
        left.set(xlabel="hold", ylabel="rows for each second of the model, to no hold")
        right.set(xlabel="hold", ylabel="ms")
        for axes in (left, right):
            axes.legend()

    return draw


EXPERIMENT = Experiment(name="delayed", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
