"""Feedback about an input that nobody asked about: the models are asked now, so that they can be judged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from skysail.applications import Application
from skysail.clock import Clock
from skysail.deadlines import Deadlines
from skysail.errors import InvalidInput, Overload, SkysailError, Unavailable
from skysail.feedback.inputs import digest
from skysail.ids import IdSource
from skysail.pending import Pending
from skysail.types import Decision, Failure, Output, Query, Selection

__all__ = ["Evaluated", "Evaluator", "failure_text"]

_SECONDS = 10.0
"""How long the models may take. A deadline so late is a low priority: queries go first."""

_AT_ONCE = 8
"""Inputs that models have at once. A model that is busy with one cannot take a query, and batchers count what waits."""

_MOST = 1_024
"""Inputs that may be under way or in line: a list of the usual size, and no more."""

Evaluated = Callable[[Decision | SkysailError], None]
"""Gets the decision to learn from, or why there is none."""

_Key = tuple[str, str | None, bytes]


class Evaluator:
    """Makes a decision of an input by asking every current model, through the cache.

    Nothing was chosen, so every propensity is 1 and the policy learns of all models (full information). This is work
    that no query asked for, so it has a budget: a few inputs at once, the others in line, and what comes when the line
    is full is refused. An input that is being evaluated already is not evaluated again: it is one decision.
    """

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self._now = clock.monotonic
        self._wall = clock.wall
        self._ids = ids
        self._deadlines = Deadlines(asyncio.get_running_loop(), clock)
        self._asked: dict[_Key, list[Evaluated]] = {}
        self._line: deque[tuple[_Key, Application, bytes]] = deque()
        self._running = 0
        self._starting = False

    def evaluate(self, app: Application, row: bytes, context: str | None, done: Evaluated) -> None:
        """Ask all models that are ready, now or when those before it are done."""
        key = (app.name, context, digest(row, binary=False))
        if key in self._asked:
            self._asked[key].append(done)
        elif len(self._asked) >= _MOST:
            app.counters.evaluations_refused += 1
            done(
                Overload(
                    f"{len(self._asked)} inputs are being evaluated for feedback already; send it again later, or give "
                    "the prediction's id, which needs no evaluation"
                )
            )
        else:
            self._asked[key] = [done]
            self._line.append((key, app, row))
            self._start()

    def _start(self) -> None:
        """Begin what may be begun. One that is over at once, because the cache knows it, comes back here."""
        if self._starting:
            return
        self._starting = True
        try:
            while self._line and self._running < _AT_ONCE:
                self._running += 1
                key, app, row = self._line.popleft()
                self._ask(app, row, key[1], partial(self._ended, key))
        finally:
            self._starting = False

    def _ended(self, key: _Key, outcome: Decision | SkysailError) -> None:
        self._running -= 1
        try:
            for done in self._asked.pop(key):
                done(outcome)
        finally:
            self._start()

    def _ask(self, app: Application, row: bytes, context: str | None, done: Evaluated) -> None:
        now = self._now()
        candidates = app.candidates
        if not candidates:
            done(Unavailable(f"no model of {app.name!r} is ready, and this input was not asked about lately"))
            return
        app.counters.evaluations += 1
        query = Query(self._ids.next(), row, False, context, now, now + _SECONDS, 0.0)
        state = app.states.view(context, candidates)
        selection = Selection(app.trust(state), candidates, (1.0,) * len(candidates))
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
