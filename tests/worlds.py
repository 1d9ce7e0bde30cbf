"""A world for tests of the engine: one application of hand-driven models, and time that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from skysail.applications import Application
from skysail.calls import Call
from skysail.config.schema import LedgerConfig
from skysail.deadlines import Deadlines
from skysail.engine import Engine, Feedback, Prediction, Verdict
from skysail.feedback.ledger import Ledger
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.ids import IdSource
from skysail.selection.base import Policy
from skysail.selection.contexts import blend
from skysail.selection.single import Single
from skysail.selection.vote import Vote
from skysail.stats.application import ApplicationCounters
from skysail.stores.memory import MemoryStore
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Failure, Outcome, Output

MODELS = ("x", "y", "z")


class Model:
    """A model that keeps its calls until it is told what to say."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.ready = True
        self.cached = self
        self.direct = self
        self.calls: list[Call] = []
        self.forgotten: list[Call] = []
        self.at_once: Outcome | None = None
        self.is_full = False
        self.known: set[bytes] = set()
        self.turned_away = 0

    def ask(self, call: Call) -> None:
        self.calls.append(call)
        if self.at_once is not None:
            call.settle(self.at_once, call.arrived)

    def forget(self, call: Call) -> None:
        call.over = True
        self.forgotten.append(call)

    def hurry(self, call: Call, deadline: float) -> None: ...

    def full(self, now: float, deadline: float) -> bool:
        return self.is_full

    def knows(self, row: bytes, binary: bool) -> bool:
        return row in self.known

    def turn_away(self) -> None:
        self.turned_away += 1

    def say(self, outcome: Outcome, now: float) -> None:
        """Answer the oldest call."""
        self.calls.pop(0).settle(outcome, now)


class World:
    """An engine with one application `a` of three models, and everything below them made of hand-driven parts."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        self.policy = policy
        self.options = options
        self.clock = ManualClock()
        self.models = {name: Model(f"{name}@1") for name in ("x", "y", "z")}
        self.store = MemoryStore()
        self.told: list[Prediction] = []
        self.verdicts: list[Verdict] = []

    async def open(self) -> None:
        self.store.open()
        self.ledger = Ledger(self.store, self.clock, LedgerConfig())
        await self.ledger.start()
        self.engine = Engine(clock=self.clock, rng=Random(1), ids=IdSource(0, self.ledger.boot), ledger=self.ledger)
        counters, reads = ApplicationCounters(), Reads(asyncio.get_running_loop(), self.clock)
        settings: dict[str, Any] = {
            "name": "a",
            "models": ("x", "y", "z"),
            "policy": self.policy,
            "fallback": Single(model="x"),
            "slo": 0.02,
            "default": None,
            "min_confidence": 0.0,
            "cache": True,
            "deadlines": Deadlines(asyncio.get_running_loop(), self.clock),
            "states": States("a", self.policy, self.store, blend, reads=reads, counters=counters),
            "counters": counters,
            "served": self.models,
        }
        self.app = self.engine.apps["a"] = Application(**{**settings, **self.options})

    def predict(self, row: bytes = b"1", **options: Any) -> Any:
        return self.engine.predict(self.app, row, self.told.append, **options)

    def say(self, model: str, text: str | Failure) -> None:
        outcome = text if isinstance(text, Failure) else Output(text.encode())
        self.models[model].say(outcome, self.clock.monotonic())

    async def observe(self, **feedback: Any) -> Verdict:
        """Give feedback, and wait until it is durable."""
        done = asyncio.get_running_loop().create_future()
        self.engine.observe(self.app, Feedback(**feedback), done.set_result)
        verdict: Verdict = await done
        return verdict


def play(scenario: Callable[[World], Awaitable[None]], policy: Policy | None = None, **options: Any) -> World:
    """Run a scenario in a world whose time jumps."""
    world = World(policy or Vote(), **options)

    async def main() -> None:
        await world.open()
        try:
            await scenario(world)
        finally:
            await world.ledger.aclose()

    run(main(), clock=world.clock)
    return world
