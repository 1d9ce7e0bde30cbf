"""What is done for a query whose models are slow, or fail: another is asked, now or before it is needed, and a mean
stands in for an output that is not there.
"""

from __future__ import annotations

from skysail.deadlines import Deadlines
from skysail.pending import Hedge, Pending
from skysail.stats.means import Means
from skysail.types import Estimate, Failure, Outcome, Output

__all__ = ["OVERTAKEN", "finish_race", "hedge_in_time", "next_model", "stand_ins", "too_late"]

OVERTAKEN = Failure("unavailable", "the model it was to race was first")
"""The outcome of a hedge that lost: nobody's fault."""

_EARLY = 0.001
"""`Deadlines` fire a millisecond early; for a hedge that would be too soon."""


def next_model(pending: Pending) -> str | None:
    """The model trusted most among those that could still be asked; one that was left out as late comes last."""
    trust = pending.selection.distribution
    rest = [model for model in pending.app.candidates if model not in pending.asked]
    return max(rest, key=lambda model: (model in trust.models, trust.weight(model))) if rest else None


def too_late(outcome: Outcome | None) -> bool:
    """Whether an output is missing for want of time: it did not come, or was not even begun."""
    return outcome is None or (isinstance(outcome, Failure) and outcome.code in ("overload", "deadline"))


def stand_ins(pending: Pending, means: Means) -> dict[str, Estimate] | None:
    """The means of those models that were picked and gave no output, where there is an output to merge them with."""
    found: dict[str, Estimate] = {}
    outputs = 0
    for index in range(pending.picked):
        if isinstance(pending.outcomes[index], Output):
            outputs += 1
        else:
            mean = means.get(pending.refs[index])
            if mean is not None:
                found[pending.asked[index]] = mean
    return found if found and outputs else None


def hedge_in_time(pending: Pending, hedges: Deadlines) -> None:
    """See to it that somebody else is asked too, should the one model asked take longer than 95 of 100 of its calls
    (Dean and Barroso, *The tail at scale*, 2013): about one query in twenty is asked twice.
    """
    due = pending.query.arrived + pending.app.served[pending.asked[0]].p95 + _EARLY
    if due < pending.deadline:
        pending.hedge = Hedge(pending, due, _ask_too)
        hedges.add(pending.hedge)


def _ask_too(pending: Pending, hedge: Hedge) -> None:
    """Ask an idle replica of the same version, or else the next model. Whichever answers first is heard; a model that
    the policy did not draw has no propensity, so the policy learns nothing of it.
    """
    app = pending.app
    hedge.twin = app.predictor(pending.asked[0]).hedge(pending.asks[0])
    another = next_model(pending) if hedge.twin is None else None
    if hedge.twin is None and another is None:
        return
    app.counters.hedges += 1
    pending.note().hedge = "replica" if another is None else "model"
    if another is not None:
        hedge.racing = True
        pending.ask((another,))


def finish_race(pending: Pending, hedge: Hedge) -> None:
    """Count who was first. The model drawn may finish, so that feedback can judge it; one that raced it in vain is
    told to forget it.
    """
    counters = pending.app.counters
    if hedge.twin is not None:
        counters.hedges_won += hedge.twin.won
    elif hedge.racing:
        drawn_answered = isinstance(pending.outcomes[0], Output)
        for index in range(pending.picked, len(pending.asked)):
            if isinstance(pending.outcomes[index], Output):
                counters.hedges_won += not drawn_answered
            elif drawn_answered and pending.outcomes[index] is None:
                pending.forget(index)
                pending.outcomes[index] = OVERTAKEN
