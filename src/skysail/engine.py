"""The walk of a query and of an observation: read this first.

`Engine.predict` goes down: admit, select, ask. `Engine.conclude` comes back up once all that was asked is here or the
deadline has come: combine, record, answer. No task, no future and no timer belongs to a query; what is below answers by
settling a `Call`. `Engine.observe` joins feedback with its decision, lets the policy learn, and confirms once that is
durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

from skysail.applications import Application
from skysail.clock import Clock
from skysail.errors import InvalidRequest, SkysailError, StoreError, Unavailable, UnknownPrediction
from skysail.evaluation import Evaluator, failure_text
from skysail.feedback.accuracy import answer_right, models_right
from skysail.feedback.calibration import Calibration
from skysail.feedback.inputs import RecentInputs, digest
from skysail.feedback.judge import check_delta, check_label, losses
from skysail.feedback.ledger import Ledger
from skysail.feedback.records import encode_decision
from skysail.feedback.stragglers import Stragglers
from skysail.ids import IdSource
from skysail.pending import Pending
from skysail.rescue import OVERTAKEN, finish_race, hedge_in_time, next_model, stand_ins, too_late
from skysail.stores.base import Add, ObservationWrite
from skysail.types import Answer, Cover, Decision, Failure, Observation, Output, Query, Selection, State

__all__ = ["Engine", "Feedback", "Others", "Prediction", "Verdict"]

_LADDER = ("model_error", "unavailable", "overload", "deadline")
_LATE = Failure("deadline", "no output came before the deadline")
_NOBODY = Failure("unavailable", "none of the application's models has a ready replica")

Verdict = bool | SkysailError
"""What became of an observation: whether it was the first of its decision, or why it is not kept."""


class Prediction:
    """What a client is told: an answer, or the failure in its place. `models` and `missing` are `name@version`
    texts.
    """

    __slots__ = (
        "agreement",
        "confidence",
        "cover",
        "default",
        "failure",
        "id",
        "missing",
        "models",
        "output",
        "reason",
    )

    def __init__(self, id: str, models: list[str]) -> None:
        self.id = id
        self.models = models
        self.missing: list[str] = []
        self.output: Output | None = None
        self.confidence: float | None = None
        self.agreement: float | None = None
        self.cover: Cover | None = None
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


class Others(Protocol):
    """The other frontends of the server, any of which may have made a decision that is not in the store yet."""

    def flush(self, id: str, flushed: Callable[[SkysailError | None], None]) -> bool:
        """Have the one whose id this is write what it has decided; `False` where there is none to be asked.

        `flushed` hears, after this has returned, that all of it is in the store, or why it may not be.
        """
        ...


class Engine:
    """Answers the queries and takes the feedback of all applications of one frontend.

    It belongs to the event loop's thread, and never waits.
    """

    def __init__(self, *, clock: Clock, rng: Random, ids: IdSource, ledger: Ledger, keep_inputs: bool = False) -> None:
        self.apps: dict[str, Application] = {}
        self.others: Others | None = None
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
        arrived: float | None = None,
    ) -> Pending | None:
        """Answer one row by `done`, at the latest `min(SLO, limit)` seconds after it `arrived` (now, by default).

        Returns the pending query, to be cancelled if the client leaves; `None` where it has been answered already.
        """
        now = self._now() if arrived is None else arrived
        slo = app.slo
        deadline = now + (slo if limit is None or limit > slo else limit)
        candidates = app.candidates
        if app.overloaded(now, deadline) and not app.knows(row, binary):
            self._turn_away(app, done)
            return None
        query = Query(self._ids.next(), row, binary, context, now, deadline, self._rng.random())
        if not candidates:
            self._answer_without(app, query, done)
            return None
        late = app.late(now, deadline) if app.prefer_in_time else None
        pending = self._select(app, query, candidates, late, done)
        pending.ask(pending.selection.asked)
        if pending.over:
            return None
        app.deadlines.add(pending)
        if app.hedges is not None and len(pending.asked) == 1:
            hedge_in_time(pending, app.hedges)
        return pending

    def now(self) -> float:
        """The time by which deadlines are counted."""
        return self._now()

    def _turn_away(self, app: Application, done: Callable[[Prediction], None]) -> None:
        """What would end as a refusal by every model is refused here: it costs next to nothing, and is held against
        none of them.
        """
        app.turn_away()
        prediction = Prediction("", [])
        prediction.failure = app.overload
        done(prediction)

    def _select(
        self,
        app: Application,
        query: Query,
        candidates: tuple[str, ...],
        late: dict[str, float] | None,
        done: Callable[[Prediction], None],
    ) -> Pending:
        """The query with what the policy selects of those that are not late; a policy that raises, or selects what is
        not there, is stood in for, and named in /status.
        """
        state = app.states.view(query.context, candidates)
        if late is not None:
            state = app.narrow(state, query.context, tuple([m for m in candidates if m not in late]))
        raised = False
        try:
            selection = app.policy.select(state, query, self._rng)
            _check(selection, app)
        except Exception as error:  # noqa: BLE001 - a user's policy may raise anything, and the query must be answered
            app.counters.policy_failed("select", error)
            selection = app.fallback.select(state, query, self._rng)
            raised = True
        pending = Pending(self, app, query, state, selection, done)
        if raised:
            pending.note().raised = "select"
        elif late is not None:
            pending.note().late = late
            app.counters.left_out.update(late.keys())
        return pending

    # -- up: combine, record, answer ----------------------------------------------------------------------------------

    def conclude(self, pending: Pending, now: float) -> None:
        """Make the answer of what came, or try the next model while there is time."""
        if pending.invalid is not None:
            self._reject(pending, pending.invalid)
            return
        answer = self._combine(pending)
        if answer is None and pending.waiting == 0 and now < pending.deadline:
            another = next_model(pending)
            if another is not None:
                pending.ask((another,))
                return
        if pending.hedge is not None:
            finish_race(pending, pending.hedge)
        pending.end()
        prediction = self._prediction(pending, answer)
        for index, model in enumerate(pending.asked):
            outcome = pending.outcomes[index]
            if outcome is not OVERTAKEN:
                self._stragglers.note(pending.app.name, model, too_late(outcome))
        if prediction.failure is None:
            self._record(pending, prediction, now)
        pending.app.counters.answered(now - pending.query.arrived, prediction.reason, prediction.failure)
        pending.done(prediction)

    def complete(self, pending: Pending, index: int, output: Output, latency: float) -> None:
        """A straggler's output is here after all: it completes the record, for feedback to judge."""
        self._ledger.complete(pending.query.id, index, output.raw, None, latency * 1e3)

    def _combine(self, pending: Pending) -> Answer | None:
        app, outputs = pending.app, pending.outputs()
        means = stand_ins(pending, app.means) if app.means is not None else None
        if means is not None:
            outputs.update(means)
        try:
            answer = app.policy.combine(pending.state, pending.query, outputs)
            if answer is None:
                return None
            if answer.__class__ is not Answer or not isinstance(answer.output, Output):
                raise TypeError(f"combine gave {answer!r}, which is no Answer with an Output")
        except Exception as error:  # noqa: BLE001 - as in `_select`
            app.counters.policy_failed("combine", error)
            pending.note().raised = "combine"
            return app.fallback.combine(pending.state, pending.query, pending.outputs())
        if means is None:
            return answer
        used = tuple([model for model in answer.used if model not in means])
        if not used:  # what is there cannot be merged, and means alone are no answer
            return None
        app.counters.stood_in += len(means)
        pending.note().means = {model: mean.raw for model, mean in means.items()}
        return Answer(answer.output, answer.confidence, answer.agreement, used)

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
        if app.calibration is not None:
            _calibrate(prediction, app.calibration, pending, answer)
        prediction.agreement = answer.agreement
        used = answer.used
        if len(used) < len(refs):
            prediction.missing = [ref for ref in refs if ref.rpartition("@")[0] not in used]
        if prediction.confidence is not None and prediction.confidence < app.min_confidence:
            prediction.output, prediction.default, prediction.reason = app.default, True, "low_confidence"
        return prediction

    def _answer_without(self, app: Application, query: Query, done: Callable[[Prediction], None]) -> None:
        """No model can be asked at all."""
        prediction = _substitute(Prediction(query.id, []), app, _NOBODY)
        if prediction.failure is None:
            trust = app.trust(app.fallback.initial(app.models))
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
                pending.notes,
                prediction.cover,
            )
        )

    def _failure(self, pending: Pending, index: int) -> str | None:
        outcome = pending.outcomes[index]
        if outcome is OVERTAKEN:
            return "overtaken"
        text = failure_text(outcome)
        if too_late(outcome) and self._stragglers.lost(pending.app.name, pending.asked[index]):
            return "lost" if outcome is None else f"lost: {text}"
        return text

    # -- feedback: join, learn, confirm -------------------------------------------------------------------------------

    def observe(self, app: Application, feedback: Feedback, done: Callable[[Verdict], None]) -> None:
        """Learn from one observation; `done` hears once it is durable, or why it is not kept."""
        try:
            if feedback.label is not None:
                check_label(app.policy.loss, feedback.label, app.counters)
        except SkysailError as error:
            done(error)
            return
        self._observe(app, feedback, done, self.others)

    def _observe(
        self, app: Application, feedback: Feedback, done: Callable[[Verdict], None], others: Others | None
    ) -> None:
        """As `observe`, once its label is judged; with `others`, a decision that is unknown may be one of theirs."""
        try:
            decision = self._join(app, feedback)
        except UnknownPrediction as error:
            again = partial(self._observe_flushed, app, feedback, done)
            if others is None or not others.flush(feedback.id or "", again):
                done(error)
            return
        except SkysailError as error:
            done(Unavailable(error.message) if isinstance(error, StoreError) else error)
            return
        if decision is not None:
            self._learn(app, decision, feedback, done)
        elif feedback.row is not None:
            self._evaluate(app, feedback.row, feedback, done)

    def _observe_flushed(
        self, app: Application, feedback: Feedback, done: Callable[[Verdict], None], failure: SkysailError | None
    ) -> None:
        """Whoever may have made the decision has written what it has, or could not."""
        if failure is None:
            self._observe(app, feedback, done, None)
        else:
            done(failure)

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
        judged = losses(decision, observation, app.policy.loss, app.counters)
        if decision.policy == app.policy.name:
            try:
                delta = app.policy.update(decision, judged)
                check_delta(delta)
                adds = app.states.adds(delta, decision.context, decision.distribution.models)
            except Exception as error:  # noqa: BLE001 - as in `_select`; the observation itself is kept all the same
                app.counters.policy_failed("update", error)
        if app.calibration is not None:
            adds += app.calibration.adds(decision, observation)

        def written(outcome: bool | StoreError, states: Mapping[str, State]) -> None:
            if isinstance(outcome, StoreError):
                done(Unavailable(outcome.message))
                return
            loss = app.policy.loss
            if outcome:
                current = self.apps.get(app.name, app)
                current.states.applied(states, decision.context)
                if current.calibration is not None:
                    current.calibration.applied(states)
                app.counters.versions_judged(models_right(decision, observation, judged, loss, app.slo))
            app.counters.observed(first=outcome, right=answer_right(decision, observation, loss, app.slo))
            done(outcome)

        write = ObservationWrite(observation, adds, encode_decision(decision) if new else None)
        self._ledger.observe(write, written)


def _check(selection: Selection, app: Application) -> None:
    """Refuse what only a policy with a mistake selects."""
    for model in selection.asked:
        if model not in app.served:
            raise LookupError(f"select names {model!r}, which is none of {', '.join(app.served)}")
    if not selection.asked:
        raise LookupError("select names no model; there is always one to ask")


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
    if app.calibration is not None:
        prediction.cover = app.calibration.nothing
    return prediction


def _calibrate(prediction: Prediction, calibration: Calibration, pending: Pending, answer: Answer) -> None:
    """Say what holds the label, and how sure the answer is by that."""
    query = pending.query
    cover = calibration.cover(answer, pending.outputs(), pending.selection.distribution, query.draw)
    prediction.cover, prediction.confidence = cover, cover.confidence
