"""A query between its selection and its answer: who was asked, and what has come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from skysail.applications import Application
from skysail.calls import Call, Twin
from skysail.deadlines import Expiring
from skysail.types import Failure, Notes, Outcome, Output, Query, Selection, State

__all__ = ["Ask", "Hedge", "Owner", "Pending"]


class Ask(Call):
    """One model asked about one query."""

    __slots__ = ("index", "pending")

    def __init__(self, pending: Pending, index: int, query: Query) -> None:
        self.row = query.input
        self.binary = query.binary
        self.arrived = query.arrived
        self.deadline = query.deadline
        self.over = self.queued = False
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


class Hedge(Expiring):
    """The moment at which somebody else is asked too, because the one model asked takes longer than it nearly ever
    does; then, who that is: a second replica (`twin`), or another model (`racing`).
    """

    __slots__ = ("ask_too", "pending", "racing", "twin")

    def __init__(self, pending: Pending, deadline: float, ask_too: Callable[[Pending, Hedge], None]) -> None:
        self.pending = pending
        self.deadline = deadline
        self.over = False
        self.ask_too = ask_too
        self.racing = False
        self.twin: Twin | None = None

    def expire(self, now: float) -> None:
        """The model has had its time."""
        self.over = True
        self.ask_too(self.pending, self)


class Pending(Expiring):
    """Gathers what models say of one query.

    The lists are parallel to `asked`; an outcome is `None` until it is here. `picked` is how many of those asked the
    policy selected: any after them are fallbacks. `invalid` is what is wrong with the row, if a model says so. `notes`
    are for the record, where there is anything to note. `done` is for the owner, to be called with what becomes of the
    query.
    """

    __slots__ = (
        "app",
        "asked",
        "asks",
        "done",
        "hedge",
        "invalid",
        "latencies",
        "notes",
        "outcomes",
        "owner",
        "picked",
        "query",
        "recorded",
        "refs",
        "selection",
        "state",
        "waiting",
    )

    def __init__(
        self,
        owner: Owner,
        app: Application,
        query: Query,
        state: State,
        selection: Selection,
        done: Callable[[Any], None],
    ) -> None:
        self.owner = owner
        self.done = done
        self.invalid: Failure | None = None
        self.hedge: Hedge | None = None
        self.notes: Notes | None = None
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
            served = app.served[model]
            self.refs.append(served.ref)
            self.outcomes.append(None)
            self.latencies.append(None)
            self.asks.append(Ask(self, index, query))
        for ask in self.asks[first:]:
            if self.over:
                return
            app.predictor(self.asked[ask.index]).ask(ask)

    def arrived(self, index: int, outcome: Outcome, now: float) -> None:
        """A model's outcome is here: in time, or late, when an output can still complete the record."""
        latency = now - self.query.arrived
        means = self.app.means
        if means is not None and isinstance(outcome, Output):
            means.add(self.refs[index], outcome)
        if self.over:
            if self.recorded and isinstance(outcome, Output):
                self.owner.complete(self, index, outcome, latency)
            return
        self.outcomes[index] = outcome
        self.latencies[index] = latency * 1e3
        self.waiting -= 1
        if outcome.__class__ is not Output and outcome.code == "invalid_input":  # type: ignore[union-attr]
            self.invalid = outcome  # type: ignore[assignment]
        hedge = self.hedge
        if (
            self.waiting == 0
            or self.invalid is not None
            or (hedge is not None and hedge.racing and isinstance(outcome, Output))
        ):
            self.owner.conclude(self, now)

    def note(self) -> Notes:
        """What is noted of this query, to be added to."""
        if self.notes is None:
            self.notes = Notes()
        return self.notes

    def expire(self, now: float) -> None:
        """The deadline has come."""
        self.owner.conclude(self, now)

    def end(self) -> None:
        """The answer is made. What is still out keeps this query alive, and not the other way round: without the cycle,
        nothing is left for the garbage collector to find.
        """
        self.over = True
        self.asks.clear()
        if self.hedge is not None:
            self.hedge.over = True

    def forget(self, index: int) -> None:
        """Do without the answer of one of those asked."""
        self.app.predictor(self.asked[index]).forget(self.asks[index])

    def cancel(self) -> None:
        """Nobody waits for the answer: forget the work, unless another waits for the same."""
        if self.over:
            return
        for index, outcome in enumerate(self.outcomes):
            if outcome is None:
                self.forget(index)
        self.end()

    def outputs(self) -> dict[str, Output | None]:
        """What each model asked said, as policies combine it."""
        said: dict[str, Output | None] = {}
        for index, model in enumerate(self.asked):
            outcome = self.outcomes[index]
            said[model] = outcome if isinstance(outcome, Output) else None
        return said
