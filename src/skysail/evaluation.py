"""Feedback about an input that nobody asked about: the models are asked now, so that they can be judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skysail.applications import Application
from skysail.clock import Clock
from skysail.deadlines import Deadlines
from skysail.errors import InvalidInput, SkysailError, Unavailable
from skysail.feedback.inputs import digest
from skysail.ids import IdSource
from skysail.pending import Pending
from skysail.types import Decision, Failure, Output, Query, Selection

__all__ = ["Evaluator", "failure_text"]

_SECONDS = 10.0
"""How long the models may take. A deadline so late is a low priority: queries go first."""


class Evaluator:
    """Makes a decision of an input by asking every current model, through the cache.

    Nothing was chosen, so every propensity is 1 and the policy learns of all models (full information).
    """

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self._now = clock.monotonic
        self._wall = clock.wall
        self._ids = ids
        self._deadlines = Deadlines(asyncio.get_running_loop(), clock)

    def evaluate(
        self, app: Application, row: bytes, context: str | None, done: Callable[[Decision | SkysailError], None]
    ) -> None:
        """Ask all models that are ready; `done` gets the decision to learn from, or why there is none."""
        now = self._now()
        candidates = app.candidates
        if not candidates:
            done(Unavailable(f"no model of {app.name!r} is ready, and this input was not asked about lately"))
            return
        query = Query(self._ids.next(), row, False, context, now, now + _SECONDS, 0.0)
        state = app.states.view(context, candidates)
        selection = Selection(app.policy.distribution(state), candidates, (1.0,) * len(candidates))
        evaluation = Pending(self, app, query, state, selection, done)
        evaluation.ask(candidates)
        if not evaluation.over:
            self._deadlines.add(evaluation)

    def conclude(self, pending: Pending, now: float) -> None:
        """All are here, or time is up."""
        pending.cancel()
        invalid = pending.invalid
        pending.done(self._decision(pending, now) if invalid is None else InvalidInput(invalid.message))

    def complete(self, pending: Pending, index: int, output: Output, latency: float) -> None:
        """Too late to be judged; the cache has it."""

    def _decision(self, pending: Pending, now: float) -> Decision:
        query = pending.query
        return Decision(
            id=query.id,
            app=pending.app.name,
            policy=pending.app.policy.name,
            context=query.context,
            time=self._wall(),
            digest=digest(query.input, query.binary),
            distribution=pending.selection.distribution,
            asked=pending.refs,
            propensities=pending.selection.propensities,
            outputs=[outcome.raw if isinstance(outcome, Output) else None for outcome in pending.outcomes],
            failures=[failure_text(outcome) for outcome in pending.outcomes],
            latencies=pending.latencies,
            answer=None,
            confidence=None,
            agreement=None,
            default=False,
            reason=None,
            fallback=False,
            latency=(now - query.arrived) * 1e3,
        )


def failure_text(outcome: Output | Failure | None) -> str | None:
    """Why there is no output, as decisions keep it."""
    if outcome is None:
        return "missing"
    return f"{outcome.code}: {outcome.message}" if isinstance(outcome, Failure) else None
