"""A query between its selection and its answer: who was asked, and what has come back."""

from __future__ import annotations

from typing import Protocol

from skysail.applications import Application
from skysail.calls import Call
from skysail.types import Failure, Outcome, Output, Query, Selection, State

__all__ = ["Ask", "Owner", "Pending"]


class Ask(Call):
    """One model asked about one query."""

    __slots__ = ("index", "pending")

    def __init__(self, pending: Pending, index: int, query: Query) -> None:
        super().__init__(query.input, query.binary, query.arrived, query.deadline)
        self.pending = pending
        self.index = index

    def settle(self, outcome: Outcome, now: float) -> None:
        """Hand the outcome to the query it belongs to."""
        self.over = True
        self.pending.arrived(self.index, outcome, now)


class Owner(Protocol):
    """Who made the query pending, and takes it up again."""

    def conclude(self, pending: Pending, now: float) -> None:
        """All that was asked is here, or a row was refused for what it holds, or the deadline has come."""
        ...

    def complete(self, pending: Pending, index: int, output: Output, latency: float) -> None:
        """An output came after the answer."""
        ...


class Pending:
    """Gathers what models say of one query.

    The lists are parallel to `asked`; an outcome is `None` until it is here. `picked` is how many of those asked the
    policy selected: any after them are fallbacks.
    """

    __slots__ = (
        "app",
        "asked",
        "asks",
        "deadline",
        "latencies",
        "outcomes",
        "over",
        "owner",
        "picked",
        "query",
        "recorded",
        "refs",
        "selection",
        "state",
        "waiting",
    )

    def __init__(self, owner: Owner, app: Application, query: Query, state: State, selection: Selection) -> None:
        self.owner = owner
        self.app = app
        self.query = query
        self.state = state
        self.selection = selection
        self.deadline = query.deadline
        self.over = False
        self.recorded = False
        self.picked = len(selection.asked)
        self.asked: tuple[str, ...] = ()
        self.asks: list[Ask] = []
        self.refs: list[str] = []
        self.outcomes: list[Outcome | None] = []
        self.latencies: list[float | None] = []
        self.waiting = 0

    def ask(self, models: tuple[str, ...]) -> None:
        """Ask these models too; what the cache knows arrives before this returns."""
        app, query, first = self.app, self.query, len(self.asked)
        self.asked += models
        self.waiting += len(models)
        for index, model in enumerate(models, first):
            self.refs.append(app.served[model].ref)
            self.outcomes.append(None)
            self.latencies.append(None)
            self.asks.append(Ask(self, index, query))
        for index, model in enumerate(models, first):
            if not self.over:
                app.predictor(model).ask(self.asks[index])

    def arrived(self, index: int, outcome: Outcome, now: float) -> None:
        """A model's outcome is here: in time, or late, when an output can still complete the record."""
        latency = now - self.query.arrived
        if self.over:
            if self.recorded and isinstance(outcome, Output):
                self.owner.complete(self, index, outcome, latency)
            return
        self.outcomes[index] = outcome
        self.latencies[index] = latency * 1e3
        self.waiting -= 1
        if self.waiting == 0 or (isinstance(outcome, Failure) and outcome.code == "invalid_input"):
            self.owner.conclude(self, now)

    def expire(self, now: float) -> None:
        """The deadline has come."""
        self.owner.conclude(self, now)

    def cancel(self) -> None:
        """Nobody waits for the answer: forget the work, unless another waits for the same."""
        if self.over:
            return
        self.over = True
        for model, ask, outcome in zip(self.asked, self.asks, self.outcomes, strict=True):
            if outcome is None:
                self.app.predictor(model).forget(ask)

    def outputs(self) -> dict[str, Output | None]:
        """What each model asked said, as policies combine it."""
        return {
            model: outcome if isinstance(outcome, Output) else None
            for model, outcome in zip(self.asked, self.outcomes, strict=True)
        }

    def refused(self) -> Failure | None:
        """What is wrong with the row, if a model says so."""
        for outcome in self.outcomes:
            if isinstance(outcome, Failure) and outcome.code == "invalid_input":
                return outcome
        return None
