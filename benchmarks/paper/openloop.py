"""An open loop: queries are sent when they are due, whether or not the server has kept up.

A latency is counted from when the query was due, not from when it was sent, so that neither a slow server nor a slow
client hides waiting (coordinated omission). Use it for latency at a given rate; for capacity see `benchmarks.load`.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.paper.client import Client

__all__ = ["Arrival", "Asked", "arrivals", "ask_when_due", "quantile"]

_SPIN = 0.002
"""Seconds before a query is due from which the clock is watched: timers are late by up to a millisecond."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A query to be sent."""

    due: float
    """When, in seconds from the start."""

    row: Any
    """Its input."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What became of a query."""

    due: float
    """When it was due, in seconds from the start."""

    latency: float
    """Seconds from then to its answer."""

    status: int
    """HTTP status."""

    answer: dict[str, Any]
    """The answer's body."""


def arrivals(rng: random.Random, rows: Sequence[Any], phases: Sequence[tuple[float, float]]) -> list[Arrival]:
    """Random arrivals (a Poisson process), phase after phase of so many seconds at a rate a second; rows in turn."""
    made: list[Arrival] = []
    began = 0.0
    for seconds, rate in phases:
        due = began + rng.expovariate(rate)
        while due < began + seconds:
            made.append(Arrival(due=due, row=rows[len(made) % len(rows)]))
            due += rng.expovariate(rate)
        began += seconds
    return made


async def ask_when_due(client: Client, app: str, planned: Sequence[Arrival]) -> list[Asked]:
    """Send each query when it is due, on a connection of its own where others wait; the outcomes in order.

    Python's garbage is left meanwhile: a full collection beside the libraries that train models takes a fifth of a
    second, which would look as if the server had taken it.
    """
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        tasks = []
        async with asyncio.TaskGroup() as group:
            for arrival in planned:
                await _wait_until(began + arrival.due)
                tasks.append(group.create_task(_ask(client, app, arrival, began)))
        return [task.result() for task in tasks]
    finally:
        gc.enable()


async def _wait_until(moment: float) -> None:
    if (left := moment - time.perf_counter()) > _SPIN:
        await asyncio.sleep(left - _SPIN)
    while time.perf_counter() < moment:  # noqa: ASYNC110 - for a moment, not an event; what arrives is handled
        await asyncio.sleep(0)


async def _ask(client: Client, app: str, arrival: Arrival, began: float) -> Asked:
    status, answer = await client.post(f"/apps/{app}/predict", {"input": arrival.row})
    latency = time.perf_counter() - began - arrival.due
    return Asked(due=arrival.due, latency=latency, status=status, answer=answer)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so great a share of all stays at or below.

    >>> quantile([4, 1, 3, 2], 0.5), quantile([1, 2], 0.99)
    (2, 2)
    """
    ranked = sorted(values)
    return ranked[max(1, math.ceil(share * len(ranked))) - 1]
