"""An ensemble of five models: how near the whole comes to what the models' own work allows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Goal, Report, spread, table
from benchmarks.servers import serve
from benchmarks.usage import Usage, load_once
from benchmarks.zoo import Alone, bodies, described, run_alone, tables, train

__all__ = ["FIVE", "allowed", "measure_ensemble"]

FIVE = ("linear", "forest", "knn", "mlp", "boosted")
"""The five, of `benchmarks.zoo`."""

_CONNECTIONS = 64
_SHARE = 0.7
_ASKED = 0.99
_ALONE_SECONDS = 0.3

_CONFIG = """
[server]
port = 0
admin_port = 0

{tables}
[apps.five]
models = {models}
policy = "adahedge"
slo = "1s"
"""

_METHOD = """\
{models}
Each in a process of its own, trained on the digits of scikit-learn; rows of 64 floats as JSON, all distinct. One
application asks all five under `adahedge`; 64 connections, a closed loop. After each round, in one process and thread,
each model alone predicts rows in batches of the size that the server had on average: its own processor time for a row.
What the five allow is the number of cores, divided by the sum of these. All else has to come out of what is left: HTTP,
the engine, frames to five processes and back, decoding every row five times, and the generator. "By processor time" is
the share that the models have of all the time that was taken: what they would reach with the whole machine."""


def measure_ensemble(rounds: int, seconds: float) -> Report:
    """The rate of the ensemble, beside what its models allow, and where the processors' time goes."""
    with tempfile.TemporaryDirectory(prefix="skysail-bench-") as name:
        folder = Path(name)
        train(folder, FIVE)
        models = "[" + ", ".join(f'"{it}"' for it in FIVE) + "]"
        (folder / "skysail.toml").write_text(_CONFIG.format(tables=tables(FIVE), models=models))
        seen: list[Usage] = []
        alone: list[dict[str, Alone]] = []
        with serve(folder) as server:
            requests = bodies()
            for _ in range(rounds):
                used = load_once(server, "five", requests, connections=_CONNECTIONS, seconds=seconds)
                seen.append(used)
                alone.append({it: run_alone(folder, it, used.models[it].batch, _ALONE_SECONDS) for it in FIVE})
            errors = server.status()["apps"]["five"]["errors"]
    shares = [used.rate / allowed(costs) for used, costs in zip(seen, alone, strict=True)]
    asked = min(used.models[it].rows / used.load.requests for used in seen for it in FIVE)
    return Report(
        title="An ensemble of five",
        method=f"{_METHOD.format(models=described(FIVE))}\nGenerator: {seen[0].load.tool}. Median (least–greatest) of "
        f"{rounds} rounds of {seconds:g} s.",
        lines=_lines(seen, alone, shares, errors),
        data={
            "rounds": [_data(used, costs) for used, costs in zip(seen, alone, strict=True)],
            "shares": shares,
            "errors": errors,
        },
        goals=[
            Goal(what="rate, of what the five models allow", value=median(shares), limit=_SHARE, least=True),
            Goal(what="queries that the least asked model evaluated", value=asked, limit=_ASKED, least=True),
        ],
    )


def allowed(costs: dict[str, Alone]) -> float:
    """Queries per second that all cores could predict, if they did nothing else."""
    return (os.cpu_count() or 1) / sum(cost.predict for cost in costs.values())


def _lines(
    seen: Sequence[Usage], alone: Sequence[dict[str, Alone]], shares: Sequence[float], errors: dict[str, int]
) -> list[str]:
    models = []
    for it in FIVE:
        worker = [used.workers[it] / max(1, used.models[it].rows) * 1e6 for used in seen]
        models.append(
            [
                it,
                spread([used.models[it].rows / max(1, used.models[it].batches) for used in seen], 1),
                spread([costs[it].predict * 1e6 for costs in alone], 1),
                spread([costs[it].decode * 1e6 for costs in alone], 1),
                spread(worker, 1),
            ]
        )
    predict = [sum(cost.predict for cost in costs.values()) * 1e6 for costs in alone]
    whole = [used.busy * used.load.seconds / used.load.requests * 1e6 for used in seen]
    by_cpu = [own / all_of_it for own, all_of_it in zip(predict, whole, strict=True)]
    parts = {
        "the five models, alone": predict,
        "the rest of their workers": [
            sum(used.workers.values()) / used.load.requests * 1e6 - own for used, own in zip(seen, predict, strict=True)
        ],
        "frontend": [used.frontend / used.load.requests * 1e6 for used in seen],
        "control and parent": [used.rest / used.load.requests * 1e6 for used in seen],
        "generator": [used.generator / used.load.requests * 1e6 for used in seen],
    }
    latencies = [spread([getattr(used.load, it) * 1e3 for used in seen], 1) for it in ("p50", "p99")]
    rates = (
        f"queries/s {spread([used.rate for used in seen])}, p50 {latencies[0]} ms, p99 {latencies[1]} ms; "
        f"the five allow {spread([allowed(costs) for costs in alone])}; share {spread(shares, 2)}, "
        f"by processor time {spread(by_cpu, 2)}; "
        f"processors busy {spread([used.busy for used in seen], 2)} of {os.cpu_count()}"
    )
    return [
        *table(["µs a row", "rows a batch", "predict, alone", "decode, alone", "its worker"], models),
        "",
        *table(["processor time", "µs a query"], [[what, spread(values, 1)] for what, values in parts.items()]),
        "",
        rates,
        "errors: " + (", ".join(f"{n} {code}" for code, n in errors.items()) or "none"),
    ]


def _data(used: Usage, costs: dict[str, Alone]) -> dict[str, Any]:
    return used.load.report() | {
        "cpu": {"frontend": used.frontend, "rest": used.rest, "generator": used.generator} | used.workers,
        "models": {
            it: {
                "rows": used.models[it].rows,
                "batches": used.models[it].batches,
                "predict_us": costs[it].predict * 1e6,
                "decode_us": costs[it].decode * 1e6,
            }
            for it in FIVE
        },
    }
