"""What replicas and frontends add: a second worker, a second process of the data plane, and how soon it knows.

The servers of a comparison run side by side, and are loaded by turns; one that is not loaded takes next to nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from benchmarks.load import sample_bodies
from benchmarks.report import BenchmarkError, Goal, Report, spread, table
from benchmarks.servers import Skysail, serve
from benchmarks.usage import Usage, load_once

__all__ = ["measure_frontends"]

_GAIN = 1.8
_SEEN_MS = 100.0
_BUSY_CONNECTIONS = 16
_CONNECTIONS = 64
_TRIES = 200

_MODELS = '''
import time

def spinner(rows):
    """Five milliseconds of processor time for each row, however many come together."""
    end = time.thread_time() + 0.005 * len(rows)
    while time.thread_time() < end:
        pass
    return [1] * len(rows)

def constant(rows):
    """The same for every row: what is left to measure is the server."""
    return [1] * len(rows)

def contrary(rows):
    """Never what `constant` says."""
    return [2] * len(rows)
'''

_CONFIG = """
[server]
port = 0
admin_port = 0
frontends = {frontends}

[models]
spinner = {{ path = "models.py:spinner", input = "float32[*]", replicas = {replicas} }}
constant = {{ path = "models.py:constant", input = "float32[*]" }}
contrary = {{ path = "models.py:contrary", input = "float32[*]" }}

[apps]
busy = {{ models = ["spinner"], policy = "single", slo = "5s" }}
noop = {{ models = ["constant"], policy = "single", slo = "100ms" }}
both = {{ models = ["constant", "contrary"], policy = "adahedge", slo = "1s" }}
"""

_METHOD = """\
Replicas: a model that takes 5 ms of processor time for each row, {busy} connections in a closed loop, one and two
replicas. Frontends: a no-op model with one worker, 64 floats, {many} connections in a closed loop, one and two of them;
the full path, all inputs distinct. The ceiling is what the frontends' processor time for a query allows where each has
a core to itself. News: from the acknowledgement of feedback by one frontend until the other answers by what it taught,
asked again and again. By id: feedback to one frontend, at once, on a prediction of the other, beside feedback to the
one that made it; acknowledged means synced to the disk."""


def measure_frontends(rounds: int, seconds: float) -> Report:
    """The gain of a second replica, the ceilings of one and two frontends, and how soon one knows of the other."""
    with ExitStack() as stack:
        servers = {
            (frontends, replicas): stack.enter_context(_server(frontends, replicas))
            for frontends, replicas in ((1, 1), (1, 2), (2, 1))
        }
        bodies = sample_bodies(64)
        busy: dict[int, list[Usage]] = {1: [], 2: []}
        noop: dict[int, list[Usage]] = {1: [], 2: []}
        for number in range(rounds):
            for count in (1, 2) if number % 2 == 0 else (2, 1):
                one = servers[1, count]
                busy[count].append(load_once(one, "busy", bodies, connections=_BUSY_CONNECTIONS, seconds=seconds))
                one = servers[count, 1]
                noop[count].append(load_once(one, "noop", bodies, connections=_CONNECTIONS, seconds=seconds))
        with _clients(servers[2, 1], 2) as clients:
            news = _news(clients, 20 * rounds)
            elsewhere, here = _by_id(clients, 20 * rounds)
    gain = median(it.rate for it in busy[2]) / median(it.rate for it in busy[1])
    return Report(
        title="Replicas and frontends",
        method=_METHOD.format(busy=_BUSY_CONNECTIONS, many=_CONNECTIONS)
        + f"\nGenerator: {noop[1][0].load.tool}. Median (least–greatest) of {rounds} rounds of {seconds:g} s.",
        lines=[
            *_replicas(busy, gain),
            "",
            *_ceilings(noop),
            "",
            *table(
                ["ms, median and p99", "", ""],
                [
                    ["news of one frontend with the other", *_quantiles(news)],
                    ["feedback by id to the other", *_quantiles(elsewhere)],
                    ["feedback by id to its own", *_quantiles(here)],
                ],
            ),
            "",
        ],
        data={
            "replicas": {count: [_data(it) for it in seen] for count, seen in busy.items()},
            "frontends": {count: [_data(it) for it in seen] for count, seen in noop.items()},
            "news_ms": news,
            "by_id_ms": {"other": elsewhere, "own": here},
        },
        goals=[
            Goal(what="rate of two replicas / of one", value=gain, limit=_GAIN, least=True),
            Goal(what="news with the other frontend, p99", value=_quantile(news, 0.99), limit=_SEEN_MS, unit="ms"),
        ],
    )


@contextmanager
def _server(frontends: int, replicas: int) -> Iterator[Skysail]:
    """A server with all the applications; its state is in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="skysail-bench-") as name:
        folder = Path(name)
        (folder / "models.py").write_text(_MODELS)
        (folder / "skysail.toml").write_text(_CONFIG.format(frontends=frontends, replicas=replicas))
        with serve(folder) as server:
            yield server


# What is printed.


def _replicas(seen: dict[int, list[Usage]], gain: float) -> list[str]:
    columns = ["replicas", "queries/s", "p99 ms", "worker cores", f"busy of {os.cpu_count()}", "errors"]
    rows = [
        [
            str(count),
            spread([it.rate for it in uses]),
            spread([it.load.p99 * 1e3 for it in uses], 1),
            spread([it.workers["spinner"] / it.load.seconds for it in uses], 2),
            spread([it.busy for it in uses], 2),
            str(sum(it.load.errors for it in uses)),
        ]
        for count, uses in seen.items()
    ]
    return [*table(columns, rows), f"ratio of the median rates {gain:.2f}"]


def _ceilings(seen: dict[int, list[Usage]]) -> list[str]:
    columns = ["frontends", "queries/s", "p99 ms", "µs a query", "ceiling/s", f"busy of {os.cpu_count()}", "errors"]
    rows = []
    for count, uses in seen.items():
        costs = [it.frontend / it.load.requests * 1e6 for it in uses]
        rows.append(
            [
                str(count),
                spread([it.rate for it in uses]),
                spread([it.load.p99 * 1e3 for it in uses], 1),
                spread(costs, 1),
                spread([count * 1e6 / cost for cost in costs]),
                spread([it.busy for it in uses], 2),
                str(sum(it.load.errors for it in uses)),
            ]
        )
    return [*table(columns, rows), _shown(seen)]


def _shown(seen: dict[int, list[Usage]]) -> str:
    """What the cores at hand can show of a second frontend."""
    cores, ratio = os.cpu_count() or 1, median(it.rate for it in seen[2]) / median(it.rate for it in seen[1])
    rest = median(it.busy - it.frontend / it.load.seconds for it in seen[1])
    said = f"ratio of the median rates {ratio:.2f}. Beside one frontend, worker and generator take {rest:.2f} cores"
    if 2 + rest <= cores:
        return f"{said}: there are {cores}, so each of two has one of its own"
    return f"{said} of {cores}: two have not a core each here, and only the ceiling says what they would do with them"


def _data(it: Usage) -> dict[str, Any]:
    return it.load.report() | {"frontend_cpu": it.frontend, "worker_cpu": it.workers, "busy": it.busy}


# What one frontend knows of the other.


@contextmanager
def _clients(server: Skysail, frontends: int) -> Iterator[Sequence[httpx.Client]]:
    """A connection to each frontend: the first digits of a prediction's id say which made it."""
    found: dict[str, httpx.Client] = {}
    with ExitStack() as stack:
        for _ in range(_TRIES):
            client = stack.enter_context(httpx.Client(base_url=f"{server.url}/apps/both", timeout=30.0))
            found.setdefault(_predict(client)["prediction_id"][:2], client)
            if len(found) == frontends:
                yield [found[name] for name in sorted(found)]
                return
        raise BenchmarkError(f"{_TRIES} connections met {len(found)} of {frontends} frontends")


def _news(clients: Sequence[httpx.Client], count: int) -> list[float]:
    """Milliseconds from an acknowledgement until the other frontend's answer is another, each teaching by turns."""
    took = []
    for n in range(count):
        teacher, learner = clients[n % 2], clients[1 - n % 2]
        before = _said(learner)
        _observe(teacher, _predict(teacher)["prediction_id"], n)
        acknowledged = time.perf_counter()
        while _said(learner) == before:
            if time.perf_counter() - acknowledged > 10.0:
                raise BenchmarkError("one frontend does not see what the other has learned")
        took.append((time.perf_counter() - acknowledged) * 1e3)
    return took


def _said(client: httpx.Client) -> tuple[Any, Any]:
    answer = _predict(client)
    return answer["output"], answer["confidence"]


def _by_id(clients: Sequence[httpx.Client], count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of feedback on a prediction just made, given to the other frontend, and to its own."""
    took: tuple[list[float], list[float]] = ([], [])
    for n in range(2 * count):
        maker, own = clients[n // 2 % 2], n % 2
        told = maker if own else clients[1 - n // 2 % 2]
        id = _predict(maker)["prediction_id"]
        began = time.perf_counter()
        _observe(told, id, n)
        took[own].append((time.perf_counter() - began) * 1e3)
    return took


def _predict(client: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = _asked(client.post, "/predict", {"input": [0.5] * 64})
    return answer


def _observe(client: httpx.Client, id: str, n: int) -> None:
    # Now one model is right, now the other: if it were mostly the same, the weights would be 1 and 0, and nothing new.
    told = _asked(client.post, "/observe", {"prediction_id": id, "label": 1 + n // 2 % 2})
    if told["accepted"] != 1:
        raise BenchmarkError(f"feedback on {id} was not accepted: {told}")


def _asked(post: Callable[..., httpx.Response], path: str, body: dict[str, Any]) -> Any:
    response = post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    if response.is_error:
        raise BenchmarkError(f"{path} was answered {response.status_code}: {response.text}")
    return response.json()


def _quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def _quantiles(values: Sequence[float]) -> list[str]:
    return [f"{_quantile(values, q):.1f}" for q in (0.5, 0.99)]
