"""What the cache is worth: hits, misses and joined evaluations through the server, and policies on traces."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

import uvloop
from benchmarks.bare import NOOP
from benchmarks.load import MARK
from benchmarks.paper.client import Client
from benchmarks.report import BenchmarkError, Goal, Report, spread, table
from benchmarks.servers import Skysail, serve
from benchmarks.usage import Usage, load_once
from benchmarks.zoo import ZOO, rows, tables, train

from skysail.cache.table import CACHES
from skysail.clock import SystemClock
from skysail.testing.caches import TRACES, hit_rate

__all__ = ["hit_bodies", "measure_cache"]

_HITS = (0, 50, 90, 100)
_SWEEP = 5.0
_JOIN = 1.5
_LIST = 64
_CONNECTIONS = 64
_KINDS = ("miss", "joined", "hit")
_JOINED = "kernel"
_MODELS = ("linear", _JOINED, "large")
_DEAR = "crowd"
_SWEPT = ("large", _DEAR)
_ENTRIES = 1_000
_ENTRY = 230
"""Bytes of budget for an entry of a trace."""

_CONFIG = """
[server]
port = 0
admin_port = 0

[models.noop]
path = "noop.py:predict"
input = "float32[*]"

[apps.noop-asked]
models = ["noop"]
slo = "500ms"

{tables}
{apps}"""

_APP = """
[apps.{name}-asked]
models = ["{name}"]
slo = "1s"

[apps.{name}-told]
models = ["{name}"]

[apps.{name}-uncached]
models = ["{name}"]
cache = false
"""

_METHOD = """\
Costs: a no-op model, rows of 64 floats. Of one connection: the median latency of a query, and the frontend's processor
time for it (mostly that of waking up for a single query). In lists of 64 rows to a request, which leaves little but the
rows themselves: processor time for a row. A miss is a row that nobody sent before; joined are the 63 of 64 equal rows
that nobody sent before; a hit is a row that is in the cache.
Hit rates: two models whose rows are expensive in batches too: {swept}.
64 connections, a closed loop, of each hundred queries so many with an input that is in the cache, and all others new.
Feedback: labels by `input`, in lists of 64 that wait for their commit to disk, eight lists under way. The inputs were
asked about through another application with the same model, so none joins a decision: each is evaluated, through the
cache or, with `cache = false`, by the model.
Traces: as `skysail.testing.caches` has them, 10,000 popular inputs, room for {entries:,} in the cache; in one process,
exact for their seed."""


@dataclass(frozen=True, kw_only=True)
class _Lists:
    """Rows that were sent in lists."""

    rows: int
    frontend: float
    """Processor seconds of the frontend."""

    @property
    def micros(self) -> float:
        """µs of the frontend for a row."""
        return self.frontend / self.rows * 1e6


def measure_cache(rounds: int, seconds: float) -> Report:
    """Costs, the sweep of hit rates, feedback with and without, and hit rates of the policies."""
    with tempfile.TemporaryDirectory(prefix="skysail-bench-") as name:
        folder = Path(name)
        models = sorted({*_MODELS, *_SWEPT})
        train(folder, models)
        (folder / "noop.py").write_text(NOOP)
        apps = "".join(_APP.format(name=it) for it in models)
        (folder / "skysail.toml").write_text(_CONFIG.format(tables=tables(models), apps=apps))
        with serve(folder) as server:
            ones, lists = _costs(server, rounds, seconds)
            sweeps = {it: _sweep(server, it, rounds, seconds) for it in _SWEPT}
            told = {it: _feedback(server, it, rounds, seconds) for it in _MODELS}
    policies = _policies()
    gain = [most.rate / none.rate for none, most in zip(sweeps[_DEAR][0], sweeps[_DEAR][90], strict=True)]
    joins = [with_cache / without for with_cache, without in told[_JOINED]]
    return Report(
        title="The cache",
        method=f"{_METHOD.format(swept='; '.join(f'{it}, {ZOO[it].what}' for it in _SWEPT), entries=_ENTRIES)}\n"
        f"Generator: {sweeps[_DEAR][0][0].load.tool}, for lists and feedback one of ours. Median (least–greatest) of "
        f"{rounds} rounds of {seconds:g} s.",
        lines=[*_cost_lines(ones, lists), "", *[line for it in _SWEPT for line in [*_sweep_lines(it, sweeps[it]), ""]],
               *_told_lines(told), "", *_policy_lines(policies), ""],
        data={
            "one_connection": {it: [_data(used) for used in seen] for it, seen in ones.items()},
            "lists_us": {it: [seen.micros for seen in found] for it, found in lists.items()},
            "sweep": {it: {str(hits): [_data(used) for used in seen] for hits, seen in sweep.items()}
                      for it, sweep in sweeps.items()},
            "feedback_rates": told,
            "traces": policies,
        },
        goals=[
            Goal(what=f"rate at 90 % hits / at none, {_DEAR}", value=median(gain), limit=_SWEEP, least=True),
            Goal(what=f"feedback by input, {_JOINED}, cached / not", value=median(joins), limit=_JOIN, least=True),
        ],
    )  # fmt: skip


def hit_bodies(hits: int, seed: int = 1) -> list[str]:
    """A hundred requests, so many of which have an input that is always the same; evenly mixed.

    A body must differ from all others somewhere: these differ in a limit far above any objective, which has no effect.
    """
    found, due = [], 0
    for row in rows(100, seed):
        due += hits
        pixels = ",".join(f"{pixel:g}" for pixel in row[1:])
        if due >= 100:
            due -= 100
            found.append(f'{{"input":[0,{pixels}],"deadline_ms":9999{MARK}}}')
        else:
            found.append(f'{{"input":[{MARK},{pixels}],"deadline_ms":99990.1}}')
    return found


def _costs(server: Skysail, rounds: int, seconds: float) -> tuple[dict[str, list[Usage]], dict[str, list[_Lists]]]:
    """What a query costs that has a connection to itself, and a row among many, by turns."""
    ones: dict[str, list[Usage]] = {"miss": [], "hit": []}
    lists: dict[str, list[_Lists]] = {kind: [] for kind in _KINDS}
    for number in range(rounds):
        for kind, hits in (("miss", 0), ("hit", 100)):
            used = load_once(server, "noop-asked", hit_bodies(hits, 10 + number), connections=1, seconds=seconds)
            _check_hits(used, hits)
            ones[kind].append(used)
        for place, kind in enumerate(_KINDS):
            lists[kind].append(_lists(server, kind, seconds, seed=1_000 * number + place))
    return ones, lists


def _lists(server: Skysail, kind: str, seconds: float, seed: int) -> _Lists:
    """What the frontend takes for rows of a kind, in lists one after the other."""
    what = {"hit": "hits", "joined": "joined", "miss": "misses"}[kind]
    found, taken = server.status()["models"]["noop"]["cache"][what], _frontend(server)
    sent = uvloop.run(_send_lists(server.url, kind, seconds, seed))
    taken, found = _frontend(server) - taken, server.status()["models"]["noop"]["cache"][what] - found
    if found < 0.95 * sent:
        raise BenchmarkError(f"{found} of {sent} rows were '{kind}', not all")
    return _Lists(rows=sent, frontend=taken)


async def _send_lists(url: str, kind: str, seconds: float, seed: int) -> int:
    """Send lists for so long; how many rows they had."""
    known = rows(_LIST, seed)
    sent, until = 0, perf_counter() + seconds
    async with Client(url) as client:
        if kind == "hit":
            await client.predict("noop-asked", known)
        while perf_counter() < until:
            sent += _LIST
            corner = seed + sent / 1e9
            if kind == "hit":
                some = known
            elif kind == "joined":
                some = [[corner, *known[0][1:]]] * _LIST
            else:
                some = [[corner, *row[1:]] for row in known]
            await client.predict("noop-asked", some)
    return sent


def _sweep(server: Skysail, model: str, rounds: int, seconds: float) -> dict[int, list[Usage]]:
    """A model at each rate of hits, by turns."""
    seen: dict[int, list[Usage]] = {hits: [] for hits in _HITS}
    for _ in range(rounds):
        for hits, found in seen.items():
            used = load_once(server, f"{model}-asked", hit_bodies(hits), connections=_CONNECTIONS, seconds=seconds)
            _check_hits(used, hits)
            found.append(used)
    return seen


def _check_hits(used: Usage, hits: int) -> None:
    share = 100 * used.hits / used.load.requests
    if abs(share - hits) > 3:
        raise BenchmarkError(f"{share:.0f} % of the queries were answered by the cache, not {hits} %")


def _feedback(server: Skysail, model: str, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """Observations per second whose inputs are in the cache, and of those that have to be evaluated, by turns."""
    rates = []
    for number in range(rounds):
        told = uvloop.run(_tell(server.url, model, f"{model}-told", seconds, seed=2 * number))
        uncached = uvloop.run(_tell(server.url, model, f"{model}-uncached", seconds, seed=2 * number + 1))
        rates.append((told, uncached))
    return rates


async def _tell(url: str, model: str, app: str, seconds: float, seed: int) -> float:
    """Observations per second of an application, about inputs that another one with the same model was asked about."""
    accepted, took = 0, 0.0
    async with Client(url) as client:
        pictures, lists = rows(8 * _LIST, seed), 0
        while took < seconds:
            groups = []
            for first in range(0, len(pictures), _LIST):
                lists += 1
                groups.append([[seed + lists / 1e6, *row[1:]] for row in pictures[first : first + _LIST]])
            for group in groups:
                await client.predict(f"{model}-asked", group)
            started = perf_counter()
            accepted += await _tell_all(client, app, groups)
            took += perf_counter() - started
    if accepted != lists * _LIST:
        raise BenchmarkError(f"{lists * _LIST - accepted} of {lists * _LIST} observations of {app} were not accepted")
    return accepted / took


async def _tell_all(client: Client, app: str, groups: Sequence[Sequence[Any]]) -> int:
    """Send lists of observations at once; how many were accepted."""
    async with asyncio.TaskGroup() as tasks:
        sent = [
            tasks.create_task(client.observe(app, [{"input": row, "label": 1} for row in group])) for group in groups
        ]
    return sum(it.result()["accepted"] for it in sent)


def _policies() -> dict[str, dict[str, float]]:
    """The hit rate of each policy on each trace."""
    rates: dict[str, dict[str, float]] = {}
    for kind, make in TRACES.items():
        trace = make(Random(1))
        rates[kind] = {
            name: hit_rate(cache(_ENTRIES * _ENTRY, None, SystemClock()), trace) for name, cache in CACHES.items()
        }
    return rates


def _frontend(server: Skysail) -> float:
    return sum(taken for name, taken in server.cpu().items() if name.startswith("frontend"))


def _cost_lines(ones: dict[str, list[Usage]], lists: dict[str, list[_Lists]]) -> list[str]:
    single = {
        kind: [
            spread([used.load.p50 * 1e3 for used in seen], 3),
            spread([used.frontend / used.load.requests * 1e6 for used in seen], 1),
        ]
        for kind, seen in ones.items()
    }
    rows = [[kind, *single.get(kind, ["–", "–"]), spread([it.micros for it in lists[kind]], 1)] for kind in _KINDS]
    return table(["", "one connection, p50 ms", "frontend µs", "in lists, frontend µs a row"], rows)


def _sweep_lines(model: str, sweep: dict[int, list[Usage]]) -> list[str]:
    none = median(used.rate for used in sweep[0])
    rows = [
        [
            f"{hits} %",
            spread([used.rate for used in seen]),
            f"{median(used.rate for used in seen) / none:.1f}",
            spread([used.load.p50 * 1e3 for used in seen], 2),
            spread([used.load.p99 * 1e3 for used in seen], 2),
            spread([used.busy for used in seen], 2),
            str(sum(used.load.errors for used in seen)),
        ]
        for hits, seen in sweep.items()
    ]
    return table([f"{model}: hits", "queries/s", "times", "p50 ms", "p99 ms", "cores busy", "errors"], rows)


def _told_lines(told: dict[str, list[tuple[float, float]]]) -> list[str]:
    rows = [
        [
            ZOO[model].what,
            spread([cached for cached, _ in seen]),
            spread([not_cached for _, not_cached in seen]),
            spread([cached / not_cached for cached, not_cached in seen], 2),
        ]
        for model, seen in told.items()
    ]
    return table(["feedback by input, a second", "cached", "not cached", "ratio"], rows)


def _policy_lines(policies: dict[str, dict[str, float]]) -> list[str]:
    rows = [[kind, *[f"{100 * rates[name]:.1f}" for name in CACHES]] for kind, rates in policies.items()]
    return table(["hits on traces, %", *CACHES], rows)


def _data(used: Usage) -> dict[str, Any]:
    return used.load.report() | {"frontend": used.frontend, "hits": used.hits, "busy": used.busy}
