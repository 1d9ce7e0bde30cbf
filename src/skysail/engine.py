"""The walk of a query and of an observation: read this first.

`Engine.predict` goes down: admit, select, ask. `Engine.conclude` comes back up once all that was asked is here or the
deadline has come: combine, record, answer. No task, no future and no timer belongs to a query; what is below answers by
settling a `Call`. `Engine.observe` joins feedback with its decision, lets the policy learn, and confirms once that is
durable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import msgspec

from skysail.applications import Application
from skysail.clock import Clock
from skysail.errors import InvalidRequest, SkysailError, StoreError, Unavailable, UnknownPrediction
from skysail.evaluation import Evaluator, failure_text
from skysail.feedback.inputs import RecentInputs, digest
from skysail.feedback.judge import losses
from skysail.feedback.ledger import Ledger
from skysail.feedback.records import encode_decision
from skysail.feedback.stragglers import Stragglers
from skysail.ids import IdSource
from skysail.pending import Pending
from skysail.stores.base import Add, ObservationWrite
from skysail.types import Answer, Decision, Failure, Observation, Output, Query, Selection, State

__all__ = ["Engine", "Feedback", "Prediction", "Verdict"]

_LADDER = ("model_error", "unavailable", "overload", "deadline")
_LATE = Failure("deadline", "no output came before the deadline")
_NOBODY = Failure("unavailable", "none of the application's models has a ready replica")
_TOLERANCE_MS = 1.0
"""What "by the deadline" may miss it by, and still be in time."""

Verdict = bool | SkysailError
"""What became of an observation: whether it was the first of its decision, or why it is not kept."""


class Prediction:
    """What a client is told: an answer, or the failure in its place. `models` and `missing` are `name@version`
    texts.
    """

    __slots__ = ("agreement", "confidence", "default", "failure", "id", "missing", "models", "output", "reason")

    def __init__(self, id: str, models: list[str]) -> None:
        self.id = id
        self.models = models
        self.missing: list[str] = []
        self.output: Output | None = None
        self.confidence: float | None = None
        self.agreement: float | None = None
        self.default = False
        self.reason: str | None = None
        self.failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """An observation as it was sent: of a decision by its `id`, or of an input (`row`); a `label` or a `reward`."""

    id: str | None = None
    row: bytes | None = None
    context: str | None = None
    label: bytes | None = None
    reward: float | None = None


class Engine:
    """Answers the queries and takes the feedback of all applications of one frontend.

    It belongs to the event loop's thread, and never waits.
    """

    def __init__(self, *, clock: Clock, rng: Random, ids: IdSource, ledger: Ledger, keep_inputs: bool = False) -> None:
        self.apps: dict[str, Application] = {}
        self._now = clock.monotonic
        self._wall = clock.wall
        self._rng = rng
        self._ledger = ledger
        self._ids = ids
        self._keep_inputs = keep_inputs
        self._stragglers = Stragglers()
        self._inputs = RecentInputs()
        self._evaluator = Evaluator(clock, ids)

    # -- down: admit, select, ask -------------------------------------------------------------------------------------

    def predict(
        self,
        app: Application,
        row: bytes,
        done: Callable[[Prediction], None],
        *,
        binary: bool = False,
        context: str | None = None,
        limit: float | None = None,
    ) -> Pending | None:
        """Answer one row by `done`, at the latest `min(SLO, limit)` seconds from now.

        Returns the pending query, to be cancelled if the client leaves; `None` where it has been answered already.
        """
        now = self._now()
        slo = app.slo
        deadline = now + (slo if limit is None or limit > slo else limit)
        query = Query(self._ids.next(), row, binary, context, now, deadline, self._rng.random())
        candidates = app.candidates
        if not candidates:
            self._answer_without(app, query, done)
            return None
        state = app.states.view(context, candidates)
        pending = Pending(self, app, query, state, self._select(app, state, query), done)
        pending.ask(pending.selection.asked)
        if pending.over:
            return None
        app.deadlines.add(pending)
        return pending

    def _select(self, app: Application, state: State, query: Query) -> Selection:
        """What the policy selects; a policy that raises is stood in for, and named in /status."""
        try:
            return app.policy.select(state, query, self._rng)
        except Exception as error:  # noqa: BLE001 - a user's policy may raise anything, and the query must be answered
            app.counters.policy_failed("select", error)
            return app.fallback.select(state, query, self._rng)

    # -- up: combine, record, answer ----------------------------------------------------------------------------------

    def conclude(self, pending: Pending, now: float) -> None:
        """Make the answer of what came, or try the next model while there is time."""
        if pending.invalid is not None:
            self._reject(pending, pending.invalid)
            return
        answer = self._combine(pending)
        if answer is None and pending.waiting == 0 and now < pending.deadline:
            another = _another(pending)
            if another is not None:
                pending.ask((another,))
                return
        pending.end()
        prediction = self._prediction(pending, answer)
        for index, model in enumerate(pending.asked):
            self._stragglers.note(pending.app.name, model, pending.outcomes[index] is None)
        if prediction.failure is None:
            self._record(pending, prediction, now)
        pending.app.counters.answered(now - pending.query.arrived, prediction.reason, prediction.failure)
        pending.done(prediction)

    def complete(self, pending: Pending, index: int, output: Output, latency: float) -> None:
        """A straggler's output is here after all: it completes the record, for feedback to judge."""
        self._ledger.complete(pending.query.id, index, output.raw, None, latency * 1e3)

    def _combine(self, pending: Pending) -> Answer | None:
        app, outputs = pending.app, pending.outputs()
        try:
            return app.policy.combine(pending.state, pending.query, outputs)
        except Exception as error:  # noqa: BLE001 - as in `_select`
            app.counters.policy_failed("combine", error)
            return app.fallback.combine(pending.state, pending.query, outputs)

    def _reject(self, pending: Pending, failure: Failure) -> None:
        """The row is at fault: no decision and no default, whatever the other models said."""
        pending.cancel()
        pending.app.counters.failed(failure.code)
        prediction = Prediction(pending.query.id, pending.refs)
        prediction.failure = failure
        pending.done(prediction)

    def _prediction(self, pending: Pending, answer: Answer | None) -> Prediction:
        app, refs = pending.app, pending.refs
        if len(refs) > pending.picked:
            refs = sorted(refs, key=lambda ref: app.models.index(ref.rpartition("@")[0]))
        prediction = Prediction(pending.query.id, refs)
        if answer is None:
            return _substitute(prediction, app, _why(pending))
        prediction.output = answer.output
        prediction.confidence = answer.confidence
        prediction.agreement = answer.agreement
        used = answer.used
        if len(used) < len(refs):
            prediction.missing = [ref for ref in refs if ref.rpartition("@")[0] not in used]
        if answer.confidence is not None and answer.confidence < app.min_confidence:
            prediction.output, prediction.default, prediction.reason = app.default, True, "low_confidence"
        return prediction

    def _answer_without(self, app: Application, query: Query, done: Callable[[Prediction], None]) -> None:
        """No model can be asked at all."""
        prediction = _substitute(Prediction(query.id, []), app, _NOBODY)
        if prediction.failure is None:
            trust = app.policy.distribution(app.policy.initial(app.models))
            pending = Pending(self, app, query, State(), Selection(trust, (), ()), done)
            self._record(pending, prediction, query.arrived)
        app.counters.answered(0.0, prediction.reason, prediction.failure)
        done(prediction)

    def _record(self, pending: Pending, prediction: Prediction, now: float) -> None:
        query, app, outcomes = pending.query, pending.app, pending.outcomes
        fallbacks = len(pending.asked) - pending.picked
        key = digest(query.input, query.binary)
        pending.recorded = True
        self._inputs.add(app.name, query.context, key, query.id)
        self._ledger.record(
            Decision(  # by place: twenty keywords cost as much as all the rest of it
                query.id,
                app.name,
                app.policy.name,
                query.context,
                self._wall(),
                key,
                pending.selection.distribution,
                pending.refs,
                pending.selection.propensities + (0.0,) * fallbacks if fallbacks else pending.selection.propensities,
                [outcome.raw if isinstance(outcome, Output) else None for outcome in outcomes],
                [None if isinstance(o, Output) else self._failure(pending, i) for i, o in enumerate(outcomes)],
                pending.latencies,
                None if prediction.output is None else prediction.output.raw,
                prediction.confidence,
                prediction.agreement,
                prediction.default,
                prediction.reason,
                fallbacks > 0,
                (now - query.arrived) * 1e3,
                query.input if self._keep_inputs else None,
            )
        )

    def _failure(self, pending: Pending, index: int) -> str | None:
        outcome = pending.outcomes[index]
        if outcome is None and self._stragglers.lost(pending.app.name, pending.asked[index]):
            return "lost"
        return failure_text(outcome)

    # -- feedback: join, learn, confirm -------------------------------------------------------------------------------

    def observe(self, app: Application, feedback: Feedback, done: Callable[[Verdict], None]) -> None:
        """Learn from one observation; `done` hears once it is durable, or why it is not kept."""
        try:
            if feedback.label is not None:
                app.policy.loss.check_label(msgspec.json.decode(feedback.label))
            decision = self._join(app, feedback)
        except SkysailError as error:
            done(Unavailable(error.message) if isinstance(error, StoreError) else error)
            return
        if decision is not None:
            self._learn(app, decision, feedback, done)
        elif feedback.row is not None:
            self._evaluate(app, feedback.row, feedback, done)

    def _join(self, app: Application, feedback: Feedback) -> Decision | None:
        """The decision that feedback is about; `None` for an input that was not asked about lately."""
        if feedback.row is not None:
            id = self._inputs.find(app.name, feedback.context, digest(feedback.row, binary=False))
            return None if id is None else self._ledger.find(id)
        decision = self._ledger.find(feedback.id or "")
        if decision is None or decision.app != app.name:
            raise UnknownPrediction(
                f"application {app.name!r} has no decision {feedback.id!r}: ids come with each answer, are kept for "
                "the time that [server] ledger says, and belong to one application"
            )
        if feedback.context is not None and feedback.context != decision.context:
            raise InvalidRequest(
                f"the context {feedback.context!r} is not that of prediction {decision.id}, {decision.context!r}; "
                "leave it out, for the prediction has its own"
            )
        return decision

    def _evaluate(self, app: Application, row: bytes, feedback: Feedback, done: Callable[[Verdict], None]) -> None:
        """Have the models evaluated on an input that was not asked about, and learn from that."""

        def evaluated(decision: Decision | SkysailError) -> None:
            if isinstance(decision, SkysailError):
                done(decision)
                return
            self._inputs.add(app.name, decision.context, decision.digest, decision.id)
            self._learn(app, decision, feedback, done, new=True)

        self._evaluator.evaluate(app, row, feedback.context, evaluated)

    def _learn(
        self,
        app: Application,
        decision: Decision,
        feedback: Feedback,
        done: Callable[[Verdict], None],
        *,
        new: bool = False,
    ) -> None:
        """What a decision and an observation teach, on its way to the store."""
        observation = Observation(decision.id, feedback.label, feedback.reward, self._wall())
        adds: tuple[Add, ...] = ()
        if decision.policy == app.policy.name:
            judged = losses(decision, observation, app.policy.loss)
            try:
                delta = app.policy.update(decision, judged)
            except Exception as error:  # noqa: BLE001 - as in `_select`; the observation itself is kept all the same
                app.counters.policy_failed("update", error)
            else:
                adds = app.states.adds(delta, decision.context, decision.distribution.models)

        def written(outcome: bool | StoreError) -> None:
            if isinstance(outcome, StoreError):
                done(Unavailable(outcome.message))
                return
            if outcome:
                app.states.applied(adds)
            app.counters.observed(first=outcome, right=_right(app, decision, observation))
            done(outcome)

        write = ObservationWrite(observation, adds, encode_decision(decision) if new else None)
        self._ledger.observe(write, written)


def _another(pending: Pending) -> str | None:
    """The model trusted most among those that could still be asked."""
    trust = pending.selection.distribution
    rest = [model for model in pending.app.candidates if model not in pending.asked]
    return max(rest, key=trust.weight) if rest else None


def _why(pending: Pending) -> Failure:
    """Why no model answered: the reason of the one trusted most among those asked, the first of the ladder on a tie."""
    trust = pending.selection.distribution
    failures = [outcome if isinstance(outcome, Failure) else _LATE for outcome in pending.outcomes]
    return max(
        zip(pending.asked, failures, strict=True),
        key=lambda asked: (trust.weight(asked[0]), -_LADDER.index(asked[1].code)),
    )[1]


def _substitute(prediction: Prediction, app: Application, failure: Failure) -> Prediction:
    """No model answered: the default, or an explained error."""
    if app.default is None:
        prediction.failure = failure
        return prediction
    prediction.output, prediction.default, prediction.reason = app.default, True, failure.code
    prediction.missing = prediction.models
    return prediction


def _right(app: Application, decision: Decision, observation: Observation) -> bool | None:
    """Whether the answer given was right and in time; `None` where there was none to judge."""
    if decision.answer is None:
        return None
    if decision.latency > app.slo * 1e3 + _TOLERANCE_MS:
        return False
    if observation.label is None:
        return observation.reward == 1.0
    try:
        return app.policy.loss.loss(msgspec.json.decode(decision.answer), msgspec.json.decode(observation.label)) == 0.0
    except Exception:  # noqa: BLE001 - a loss of the user's that cannot judge the answer calls it wrong
        return False
