"""The demo's client: sends the planned traffic to a running server, teaches it late labels, and lets things happen to
it.

Queries go out at their planned moments, however long earlier ones take. Labels are sent back by prediction id, in
lists, once each one's delay has passed. Everything that is measured is kept here for the live view and the report.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from skysail.client import AsyncClient
from skysail.clock import Clock
from skysail.demo.models import APP
from skysail.demo.score import Result, Scores
from skysail.demo.sender import Answer, Observed
from skysail.demo.traffic import Traffic
from skysail.errors import SkysailError

__all__ = ["Drive", "Incident", "Requests"]

_TEACH_EVERY = 0.05
_WATCH_EVERY = 0.25


@dataclass(frozen=True)
class Incident:
    """Something done to the server from outside while it is under load."""

    at: float
    """When, in seconds from the start."""

    act: Callable[[], Awaitable[object]]
    """What."""


class Requests(Protocol):
    """Who carries queries and labels to the data plane."""

    async def predict(self, app: str, row: object) -> Answer:
        """One prediction; raises `SkysailError`."""
        ...

    async def observe(self, app: str, observations: list[dict[str, Any]]) -> Observed:
        """A list of observations; raises `SkysailError`."""
        ...


class Drive:
    """One run of the traffic against a server."""

    def __init__(self, sender: Requests, client: AsyncClient, traffic: Traffic, scores: Scores, clock: Clock) -> None:
        """Queries and labels go by `sender`; `client` looks at the control plane."""
        self.scores = scores
        self.traffic = traffic
        self.weights: list[tuple[float, dict[str, float]]] = []
        """The models' weights over time, as the server states them."""
        self.status: dict[str, Any] = {}
        """The server's latest status."""
        self.failures: list[str] = []
        """What went wrong, in words; it should stay empty."""
        self.taught = 0
        """How many labels the server has accepted."""
        self.defaults = 0
        """How many answers were the application's default."""
        self._sender = sender
        self._client = client
        self._clock = clock
        self._start = clock.monotonic()
        self._answered = False
        self._labels: list[tuple[float, str, int]] = []  # a heap: when known, of which prediction, the label

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run."""
        return self._clock.monotonic() - self._start

    async def run(self, incidents: Iterable[Incident] = ()) -> None:
        """Send everything, and return when every query is answered and every label taught.

        A request that fails is noted in `failures`; an incident that fails ends the run with its error, in a group.
        """
        self._start = self._clock.monotonic()
        async with asyncio.TaskGroup() as helpers:
            helpers.create_task(self._teach())
            helpers.create_task(self._watch())
            async with asyncio.TaskGroup() as foreground:
                foreground.create_task(self._happen(incidents))
                for query, at in enumerate(self.traffic.at.tolist()):
                    await self._until(at)
                    foreground.create_task(self._ask(query))
            self._answered = True

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.elapsed))

    async def _happen(self, incidents: Iterable[Incident]) -> None:
        """Let one thing happen after another, each at its time or once the one before is done."""
        for incident in incidents:
            await self._until(incident.at)
            await incident.act()

    async def _teach(self) -> None:
        """Send labels as they become known, to the last one."""
        while self._labels or not self._answered:
            await asyncio.sleep(_TEACH_EVERY)
            await self._teach_due()

    async def _watch(self) -> None:
        """Ask for the server's status again and again, and once more at the end."""
        answered = False
        while not answered:
            answered = self._answered
            await self._look()
            await asyncio.sleep(_WATCH_EVERY)

    async def _ask(self, query: int) -> None:
        """One query, its result, and its label put aside until it is due."""
        sent, taught = self.elapsed, self.taught
        try:
            answer = await self._sender.predict(APP, self.traffic.images[query].tolist())
        except SkysailError as error:
            self.failures.append(f"query {query}: {error.code}: {error.message}")
            self.scores.add(Result(query=query, at=self.elapsed, latency=self.elapsed - sent, taught=taught))
            return
        now = self.elapsed
        self.defaults += answer.default
        self.scores.add(
            Result(
                query=query,
                at=now,
                latency=now - sent,
                id=answer.prediction_id,
                output=answer.output,
                refs=answer.models,
                default=answer.default,
                taught=taught,
            )
        )
        label = int(self.traffic.labels[query])
        heapq.heappush(self._labels, (now + float(self.traffic.delays[query]), answer.prediction_id, label))

    async def _teach_due(self) -> None:
        """Send the labels whose time has come, as one list."""
        now = self.elapsed
        due = []
        while self._labels and self._labels[0][0] <= now:
            _, prediction, label = heapq.heappop(self._labels)
            due.append({"prediction_id": prediction, "label": label})
        if not due:
            return
        try:
            reply = await self._sender.observe(APP, due)
        except SkysailError as error:
            self.failures.append(f"{len(due)} labels: {error.code}: {error.message}")
            return
        self.taught += reply.accepted
        self.failures += [f"a label: {fault.code}: {fault.message}" for fault in reply.rejected]

    async def _look(self) -> None:
        """Ask the server for its status."""
        try:
            self.status = await self._client.status()
        except SkysailError as error:
            self.failures.append(f"status: {error.code}: {error.message}")
            return
        self.weights.append((self.elapsed, dict(self.status["apps"][APP]["weights"] or {})))
