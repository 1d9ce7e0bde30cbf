"""From 4 models to 4,000 in one application: what selecting and learning cost, by themselves and through the server.

python -m benchmarks.paper.scale [--quick]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.micro import cost
from benchmarks.paper.client import Client
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, drive, main, started
from benchmarks.report import BenchmarkError, Goal, table
from benchmarks.servers import Skysail

from skysail.selection.base import Policy
from skysail.selection.table import POLICIES, make_loss, make_policy
from skysail.testing.streams import Stream, decide, judge
from skysail.types import Query

__all__ = ["EXPERIMENT", "LIMITS", "Amount", "goals", "isolated", "run"]

LIMITS = {4: 15.0, 64: 15.0, 512: 60.0, 4_000: 60.0}
"""For a number of models, the most µs that `select` and `update` may take together."""

_LEARN_NOTHING = ("single", "static")

_QUERY = Query("00-000001-00000000", b"[]", False, None, 0.0, 0.1, 0.5)

_MODEL = '''
def predict(rows):
    """The same for every row: what is left to measure is the server."""
    return [1] * len(rows)
'''

_METHOD = """\
In isolation: `select` with the state as it was at the last query, plus `update`, which makes the delta of one feedback,
in one process; µs per call, the least of {repeats} repetitions of {calls} calls; models right with probabilities from
.5 to .9, each policy having learned from {learned} feedbacks (fewer above 64 models). Policies that ask one model and
learn are held to the limits; an ensemble asks every model, and must look at every one's loss to learn. "after feedback"
is a `select` whose state is new, so that weights have to be made. Through the server: {most} no-op models, each a
worker process with one replica, applications of the first {sizes} of them by the two default policies, `cache = false`;
ten rows to a request, one request after the other, then their labels; µs of the frontend's processor time per query
with its feedback, and the client's milliseconds for a request."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is run."""

    sizes: tuple[int, ...] = (4, 64, 512, 4_000)
    """Models, in isolation."""

    calls: int = 50
    """Calls of each repetition."""

    repeats: int = 5
    """Repetitions."""

    learned: int = 200
    """Feedbacks before costs are taken."""

    served: tuple[int, ...] = (4, 16, 64)
    """Models, through the server."""

    requests: int = 200
    """Requests of ten rows to each application."""


_QUICK = Amount(sizes=(4, 64, 4_000), calls=20, repeats=3, learned=64, served=(2, 4), requests=20)


def isolated(name: str, models: int, amount: Amount) -> dict[str, float]:
    """µs of one policy with so many models: `select`, `update`, and `after feedback`."""
    accuracies = {f"m{place}": 0.5 + 0.4 * place / models for place in range(models)}
    policy: Policy = make_policy(name, {}, loss=make_loss("zero_one", {}), models=tuple(accuracies))
    rng, world = Random(1), Random(2)
    state = policy.initial(tuple(accuracies))
    learned = []
    for label, outputs in Stream(accuracies=accuracies, length=_feedbacks(models, amount)).rounds(world):
        decision = decide(policy, state, _QUERY, outputs, rng)
        learned.append((decision, judge(decision, label)))
        state = state.plus(policy.update(*learned[-1]), policy.forget)
    seen = (learned * amount.calls)[: amount.calls]
    fresh = min(amount.calls, 20)
    return {
        "select": cost(lambda query: policy.select(state, query, rng), lambda: [_QUERY] * amount.calls, amount.repeats),
        "update": cost(lambda it: policy.update(*it), lambda: seen, amount.repeats),
        "after feedback": cost(
            lambda new: policy.select(new, _QUERY, rng),
            lambda: [state.scaled(1.0) for _ in range(fresh)],
            amount.repeats,
        ),
    }


def _feedbacks(models: int, amount: Amount) -> int:
    """Fewer where each is dear: what is learned does not change what learning costs."""
    return max(10, amount.learned * 64 // max(64, models))


def goals(costs: Mapping[str, Mapping[int, Mapping[str, float]]], asks_one: Mapping[str, bool]) -> list[Goal]:
    """`select` and `update` together, for each policy that asks one model and learns."""
    return [
        Goal(what=f"{name}, {models:,} models: select + update", value=of[models]["select"] + of[models]["update"],
             limit=limit, unit="µs")
        for name, of in costs.items() if asks_one[name] and name not in _LEARN_NOTHING
        for models, limit in LIMITS.items() if models in of
    ]  # fmt: skip


def _config(amount: Amount) -> str:
    most = max(amount.served)
    tables = [f'[models.m{place}]\npath = "noop.py:predict"\ninput = "json"\n' for place in range(most)]
    for policy in ("thompson", "adahedge"):
        for size in amount.served:
            listed = ", ".join(f'"m{place}"' for place in range(size))
            tables.append(
                f'[apps.{policy}-{size}]\nmodels = [{listed}]\npolicy = "{policy}"\nslo = "2s"\ncache = false\n'
            )
    return "\n".join(tables)


async def _served(server: Skysail, app: str, requests: int) -> dict[str, float]:
    """What queries and their feedback cost one application."""
    async with Client(server.url) as client:
        await _ask(client, app)
        before, began = server.cpu()["frontend"], time.perf_counter()
        answered = [await _ask(client, app) for _ in range(requests)]
        took, cpu = time.perf_counter() - began, server.cpu()["frontend"] - before
    return {
        "frontend_us": cpu * 1e6 / (10 * requests),
        "request_ms": took * 1e3 / requests,
        "answered": sum(answered) / (10 * requests),
    }


async def _ask(client: Client, app: str) -> int:
    """Ten rows and their labels; how many were answered by a model."""
    answers: list[dict[str, Any]] = await client.predict(app, list(range(10)))
    answers = [answer for answer in answers if "error" not in answer]
    said = [{"prediction_id": answer["prediction_id"], "label": 1} for answer in answers]
    kept = await client.observe(app, said)
    if kept["accepted"] != len(said):
        raise BenchmarkError(f"{app}: of {len(said)} observations {kept} were kept")
    return sum(not answer["default"] for answer in answers)


async def _drive(server: Skysail, amount: Amount) -> dict[str, dict[int, dict[str, float]]]:
    found: dict[str, dict[int, dict[str, float]]] = {}
    for policy in ("thompson", "adahedge"):
        found[policy] = {}
        for size in amount.served:
            found[policy][size] = await _served(server, f"{policy}-{size}", amount.requests)
            await asyncio.sleep(0)
    return found


def _run(quick: bool) -> Result:
    return run(_QUICK if quick else Amount())


def run(amount: Amount) -> Result:
    """The experiment at a given size."""
    costs = {name: {models: isolated(name, models, amount) for models in amount.sizes} for name in POLICIES}
    asks_one = {name: _asks_one(name) for name in POLICIES}
    with started(_config(amount), {"noop.py": _MODEL}) as server:
        served = drive(_drive(server, amount))
        memory = sum(server.memory().values())
    answered = min(of["answered"] for sizes in served.values() for of in sizes.values())
    return Result(
        title=f"Scale: {amount.sizes[0]} to {amount.sizes[-1]:,} models in one application",
        method=_METHOD.format(
            repeats=amount.repeats, calls=amount.calls, learned=_feedbacks(1, amount), most=max(amount.served),
            sizes=", ".join(map(str, amount.served)),
        ),
        lines=[*_tables(costs, served), "", f"Memory of all processes: {memory / 2**30:.1f} GiB"],
        data={"isolated_us": costs, "served": served, "memory_bytes": memory},
        goals=[
            *goals(costs, asks_one),
            Goal(what=f"share of queries answered by a model, up to {max(amount.served)} models", value=answered,
                 limit=1.0, least=True),
        ],
        figures=[
            Figure(what="models in one application, measured", published="20 (paper, stragglers)",
                   ours=f"{amount.sizes[-1]:,}; served: {max(amount.served)}")
        ],
        plot=_plot(costs, asks_one),
    )  # fmt: skip


def _asks_one(name: str) -> bool:
    return make_policy(name, {}, loss=make_loss("zero_one", {}), models=("a", "b")).asks_one


def _tables(
    costs: Mapping[str, Mapping[int, Mapping[str, float]]], served: Mapping[str, Mapping[int, Mapping[str, float]]]
) -> list[str]:
    sizes = list(next(iter(costs.values())))
    parts: Sequence[tuple[str, Sequence[str]]] = (
        ("select + update", ("select", "update")),
        ("after feedback", ("after feedback",)),
    )
    lines: list[str] = []
    for title, keys in parts:
        rows = [[name, *[f"{sum(of[size][key] for key in keys):,.1f}" for size in sizes]] for name, of in costs.items()]
        lines += [*table([f"{title}, µs", *[f"{size:,}" for size in sizes]], rows), ""]
    rows = [
        [f"{policy}, {size} models", f"{of['frontend_us']:,.0f}", f"{of['request_ms']:.1f}", f"{of['answered']:.0%}"]
        for policy, by_size in served.items()
        for size, of in by_size.items()
    ]
    return [*lines, *table(["through the server", "µs a query", "ms a request", "answered"], rows)]


def _plot(costs: Mapping[str, Mapping[int, Mapping[str, float]]], asks_one: Mapping[str, bool]) -> Plot:
    """Cost by number of models."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for name, of in costs.items():
            spent = [cost["select"] + cost["update"] for cost in of.values()]
            axes.loglog(list(of), spent, "o-" if asks_one[name] else "s--", label=name)
        axes.plot(list(LIMITS), list(LIMITS.values()), "k_", markersize=20, label="limits")
        axes.set(xlabel="models", ylabel="select + update, µs (dashed: all models are asked)")
        axes.legend()

    return draw


EXPERIMENT = Experiment(name="scale", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
