"""What it costs to run a model in a process of its own: the server's worker beside a loop that calls the same model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Goal, Report, spread, table
from benchmarks.servers import serve
from benchmarks.usage import Usage, load_once
from benchmarks.zoo import Alone, bodies, described, run_alone, tables, train

__all__ = ["MODELS", "Pair", "measure_modularity"]

MODELS = {"forest": True, "wide": True, "boosted": True, "linear": False}
"""The models, of `benchmarks.zoo`, and whether their batches are expensive: the others have no goal."""

_CONNECTIONS = 256
"""Enough that the batch is what was learned, and not what there are clients for."""
_SHARE = 0.9

_CONFIG = """
[server]
port = 0
admin_port = 0

{tables}
{apps}"""

_APP = """
[apps.{name}-app]
models = ["{name}"]
policy = "single"
slo = "200ms"
"""

_METHOD = """\
{models}
Rows of 64 floats as JSON, all distinct. Served: `skysail serve`, one worker each, one application at a time, 256
connections in a closed loop. In process: a loop that decodes rows and predicts them in batches of the size that the
server had on average, with the worker's own decoder and runtime, in one thread; it runs after each round of the server.
By processor time: rows per processor second, the loop's and the worker's, all that the worker does included (reading
frames, decoding, predicting, encoding, writing). By the clock: rows per second of the two, which says what a worker
loses only where it has a core to itself, and frontend and generator another: a share well below the other means that
they had not, or that the clients did not ask for more."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A round of the server, and the loop after it."""

    served: Usage
    """The server."""

    alone: Alone
    """The loop."""

    name: str
    """The model."""

    @property
    def worker(self) -> float:
        """Processor seconds of the worker for a row."""
        return self.served.workers[self.name] / max(1, self.served.models[self.name].rows)

    @property
    def by_cpu(self) -> float:
        """What the worker keeps of the loop's rows per processor second."""
        return self.alone.cpu / self.worker

    @property
    def by_clock(self) -> float:
        """What the server keeps of the loop's rows per second."""
        return self.served.rate * self.alone.wall


def measure_modularity(rounds: int, seconds: float) -> Report:
    """Rows per processor second and per second, served and in process."""
    with tempfile.TemporaryDirectory(prefix="skysail-bench-") as name:
        folder = Path(name)
        train(folder, list(MODELS))
        apps = "".join(_APP.format(name=it) for it in MODELS)
        (folder / "skysail.toml").write_text(_CONFIG.format(tables=tables(list(MODELS)), apps=apps))
        seen: dict[str, list[Pair]] = {it: [] for it in MODELS}
        with serve(folder) as server:
            requests = bodies()
            for _ in range(rounds):
                for it, pairs in seen.items():
                    served = load_once(server, f"{it}-app", requests, connections=_CONNECTIONS, seconds=seconds)
                    alone = run_alone(folder, it, served.models[it].batch, seconds)
                    pairs.append(Pair(served=served, alone=alone, name=it))
    return Report(
        title="Modularity",
        method=f"{_METHOD.format(models=described(list(MODELS)))}\nGenerator: "
        f"{seen['linear'][0].served.load.tool}. Median (least–greatest) of {rounds} rounds of {seconds:g} s.",
        lines=_lines(seen),
        data={it: [_data(pair) for pair in pairs] for it, pairs in seen.items()},
        goals=[
            Goal(
                what=f"{it}, rows per processor second, worker / in process",
                value=median(pair.by_cpu for pair in seen[it]),
                limit=_SHARE,
                least=True,
            )
            for it, expensive in MODELS.items()
            if expensive
        ],
    )


def _lines(seen: dict[str, list[Pair]]) -> list[str]:
    costs, rates = [], []
    for it, pairs in seen.items():
        batches = [pair.served.models[it].rows / max(1, pair.served.models[it].batches) for pair in pairs]
        costs.append(
            [
                it,
                spread(batches, 1),
                spread([pair.alone.cpu * 1e6 for pair in pairs], 1),
                spread([pair.worker * 1e6 for pair in pairs], 1),
                spread([pair.by_cpu for pair in pairs], 2),
            ]
        )
        rates.append(
            [
                it,
                spread([1 / pair.alone.wall for pair in pairs]),
                spread([pair.served.rate for pair in pairs]),
                spread([pair.by_clock for pair in pairs], 2),
                spread([pair.served.busy for pair in pairs], 2),
                str(sum(pair.served.load.errors for pair in pairs)),
            ]
        )
    return [
        *table(["by processor time, µs a row", "rows a batch", "in process", "worker", "share"], costs),
        "",
        *table(["by the clock, rows/s", "in process", "served", "share", f"busy of {os.cpu_count()}", "errors"], rates),
        "",
    ]


def _data(pair: Pair) -> dict[str, Any]:
    counted: Sequence[int] = pair.served.models[pair.name]
    return pair.served.load.report() | {
        "rows": counted[0],
        "batches": counted[1],
        "worker_us": pair.worker * 1e6,
        "alone_us": pair.alone.cpu * 1e6,
        "alone_wall_us": pair.alone.wall * 1e6,
        "share_cpu": pair.by_cpu,
        "share_clock": pair.by_clock,
    }
