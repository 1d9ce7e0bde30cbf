"""The laws every policy obeys, ours and anybody's own: `check_policy(MyPolicy())` before serving with it.

Each law is one function named as the law; it raises `LawBroken` with the policy, the law and the numbers. Nothing
here needs a test framework. A law that cannot apply to a policy is named, with the reason, in the class's `exempt`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, replace
from functools import wraps
from itertools import combinations
from random import Random

import msgspec

from skysail.selection.base import Policy
from skysail.selection.losses import ZeroOne
from skysail.testing.streams import Stream, decide, judge, simulate
from skysail.types import Decision, Distribution, Output, Query, State

__all__ = [
    "LAWS",
    "MARGIN",
    "Law",
    "LawBroken",
    "asks_only_candidates",
    "beats_uniform",
    "check_policy",
    "draws_follow_propensities",
    "fallbacks_are_not_importance_weighted",
    "long_runs_stay_small_and_finite",
    "models_come_and_go",
    "nobody_judged_teaches_nothing",
    "nothing_came_no_answer",
    "order_of_models_is_irrelevant",
    "propensities_are_probabilities",
    "same_seed_same_choice",
    "selecting_and_combining_change_nothing",
    "some_came_some_answer",
    "state_round_trips",
    "updates_commute",
    "updates_concern_candidates_alone",
    "updates_depend_on_the_decision_alone",
]

Law = Callable[[Policy, int], None]
"""A check of a policy, from a seed; raises `LawBroken`."""

LAWS: dict[str, Law] = {}
"""Every law by name; each takes a policy and a seed."""

MARGIN = 0.05
"""How much lower than uniform choice's a learning policy's mean loss must be on the stream of `beats_uniform`."""

_STREAM = Stream(accuracies={"bad": 0.5, "fair": 0.7, "good": 0.9}, length=200, missing=0.1)
_QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.25)


class LawBroken(AssertionError):
    """A policy does not do what the engine counts on; the message names the policy, the law and the numbers."""


def check_policy(policy: Policy, *, seed: int = 0) -> None:
    """Hold a policy to every law that it is not exempt from; raises `LawBroken` for the first it breaks.

    The laws are checked under the zero-one loss, whatever the policy's own; they take a second or two.
    """
    for law in policy.exempt:
        if law not in LAWS:
            raise LawBroken(f"{policy!r} is exempt from '{law}', which is no law; the laws are {', '.join(LAWS)}")
    for name, law_holds in LAWS.items():
        if name not in policy.exempt:
            law_holds(replace(policy, loss=ZeroOne()), seed)


def _law(check: Law) -> Law:
    @wraps(check)
    def law(policy: Policy, seed: int = 0) -> None:
        try:
            check(policy, seed)
        except _Broken as broken:
            raise LawBroken(f"{policy!r} breaks the law '{check.__name__}': {broken}") from None

    LAWS[check.__name__] = law
    return law


class _Broken(Exception):
    """What is wrong, in numbers."""


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _Broken(otherwise)


@_law
def asks_only_candidates(policy: Policy, seed: int) -> None:
    """At least one model is asked, none twice, and none that has no row in the state; all of those have a weight."""
    trial = simulate(policy, _STREAM, seed=seed, keep=True)
    for decision in trial.decisions:
        asked = decision.models
        _hold(0 < len(set(asked)) == len(asked), f"asked {asked}")
        _hold(set(asked) <= set(_STREAM.accuracies), f"asked {asked} of {tuple(_STREAM.accuracies)}")
        weighed = decision.distribution.models
        _hold(sorted(weighed) == sorted(_STREAM.accuracies), f"weighed {weighed} of {tuple(_STREAM.accuracies)}")


@_law
def propensities_are_probabilities(policy: Policy, seed: int) -> None:
    """Weights are in [0, 1] and sum to one; what is asked has a propensity in (0, 1], a drawn model its weight."""
    for decision in simulate(policy, _STREAM, seed=seed, delay=10, keep=True).decisions:
        _check_weights(decision.distribution)
        for model, propensity in zip(decision.models, decision.propensities, strict=True):
            _hold(0.0 < propensity <= 1.0, f"propensity of {model} = {propensity}")
            expected = decision.distribution.weight(model) if policy.asks_one else propensity
            _hold(math.isclose(propensity, expected), f"propensity of {model} = {propensity}, its weight {expected}")


@_law
def draws_follow_propensities(policy: Policy, seed: int) -> None:
    """A policy that draws a model draws each as often as it says, within five standard deviations of 4,000 draws."""
    state, draws, rng = _learned(policy, seed), 4000, Random(f"{seed} draws")
    if not policy.asks_one:
        return
    drawn = Counter(policy.select(state, _QUERY, rng).asked[0] for _ in range(draws))
    for model, weight in _by_name(policy.distribution(state)).items():
        slack = 5.0 * math.sqrt(weight * (1.0 - weight) / draws) + 1.0 / draws
        _hold(abs(drawn[model] / draws - weight) <= slack, f"{model} drawn {drawn[model]} of {draws}, weight {weight}")


@_law
def selecting_and_combining_change_nothing(policy: Policy, seed: int) -> None:
    """`select` and `combine` leave the state's bytes and the policy's parameters as they were, and both are frozen."""
    state, rng = _learned(policy, seed), Random(seed)
    before, parameters = state.encode(), repr(policy)
    for _, outputs in Stream(accuracies=_STREAM.accuracies, length=20).rounds(rng):
        decide(policy, state, _QUERY, outputs, rng)
    _hold(state.encode() == before, f"the state was {before!r} and is {state.encode()!r}")
    _hold(repr(policy) == parameters, f"the policy was {parameters} and is {policy!r}")
    try:
        policy.forget = 0.5  # type: ignore[misc]
    except FrozenInstanceError:
        return
    raise _Broken("its parameters can be assigned: make it a frozen dataclass")


@_law
def same_seed_same_choice(policy: Policy, seed: int) -> None:
    """Equal states, queries and seeds give equal choices and answers, whatever was computed before."""
    state = _learned(policy, seed)
    runs = []
    for start in (state, State.decode(state.encode())):
        rng, world = Random(seed), Random(seed)
        rounds = Stream(accuracies=_STREAM.accuracies, length=50).rounds(world)
        runs.append([_bytes(decide(policy, start, _QUERY, outputs, rng)) for _, outputs in rounds])
    for one, other in zip(*runs, strict=True):
        _hold(one == other, f"{one!r} and then {other!r}")


@_law
def order_of_models_is_irrelevant(policy: Policy, seed: int) -> None:
    """A model's weight is the same wherever it is listed, before any feedback and after."""
    for state in (policy.initial(tuple(_STREAM.accuracies)), _learned(policy, seed)):
        weights = _by_name(policy.distribution(state))
        for order in (state.models[::-1], state.models[1:] + state.models[:1]):
            other = _by_name(policy.distribution(state.only(order)))
            same = all(math.isclose(weights[m], other[m], rel_tol=1e-6, abs_tol=1e-6) for m in weights)
            _hold(same, f"{weights} and, listed otherwise, {other}")


@_law
def models_come_and_go(policy: Policy, seed: int) -> None:
    """Models may leave and enter between feedbacks, and late feedback may name models that have left."""
    first = simulate(policy, _STREAM, seed=seed, keep=True)
    fewer = Stream(accuracies={"bad": 0.5, "good": 0.9}, length=100)
    second = simulate(policy, fewer, seed=seed, state=first.state.only(fewer.accuracies))
    state = second.state.plus(policy.update(first.decisions[0], dict.fromkeys(first.decisions[0].models, 1.0)))
    _check_weights(policy.distribution(state))
    for model in ("new", "newer"):
        before, state = state, policy.add_model(state, model)
        _hold(state.models[-1] == model, f"{model} entered and is not in {state.models}")
        _hold(state.only(before.models) == before, f"{model} entered, and {before} became {state}")
        _check_weights(policy.distribution(state))
    more = Stream(accuracies=dict.fromkeys(state.models, 0.8), length=100)
    third = simulate(policy, more, seed=seed, state=state, keep=True)
    for decision in third.decisions:
        _check_weights(decision.distribution)
    _check_weights(policy.distribution(policy.add_model(policy.initial(()), "only")))


@_law
def nothing_came_no_answer(policy: Policy, seed: int) -> None:
    """Without any output there is no answer: the default is the application's business."""
    state = _learned(policy, seed)
    asked = policy.select(state, _QUERY, Random(seed)).asked
    answer = policy.combine(state, _QUERY, dict.fromkeys(asked))
    _hold(answer is None, f"answered {answer} out of nothing")


@_law
def some_came_some_answer(policy: Policy, seed: int) -> None:
    """Whatever part of the outputs comes, there is an answer by those that came; its shares are in [0, 1]."""
    state = _learned(policy, seed)
    asked = policy.select(state, _QUERY, Random(seed)).asked
    said = {model: Output(b"%d" % (place % 2)) for place, model in enumerate(asked)}
    for number in range(1, len(asked) + 1):
        for came in combinations(asked, number):
            answer = policy.combine(state, _QUERY, {m: said[m] if m in came else None for m in asked})
            if answer is None:
                raise _Broken(f"no answer although {came} came")
            _hold(bool(answer.used) and set(answer.used) <= set(came), f"used {answer.used}, though {came} came")
            for share in (answer.agreement, 0.0 if answer.confidence is None else answer.confidence):
                _hold(0.0 <= share <= 1.0, f"{answer} is surer than sure, or less than not at all")
            _hold(answer.agreement <= number / len(asked), f"{answer} though {len(asked) - number} are missing")


@_law
def nobody_judged_teaches_nothing(policy: Policy, seed: int) -> None:
    """Feedback that judges no model is counted, and adds nothing else."""
    decision = simulate(policy, _STREAM, seed=seed, keep=True).decisions[-1]
    delta = policy.update(decision, dict.fromkeys(decision.models))
    _hold(delta.count == 1.0, f"one feedback counts {delta.count}")
    _hold(not any(_numbers(delta)), f"adds {delta}")


@_law
def fallbacks_are_not_importance_weighted(policy: Policy, seed: int) -> None:
    """A model asked after the drawn one failed adds to its own average loss and to nothing else: none drew it."""
    if not policy.asks_one:
        return
    picked = simulate(policy, _STREAM, seed=seed, keep=True).decisions[-1]
    other = next(model for model in _STREAM.accuracies if model not in picked.models)
    alone = policy.update(picked, {picked.models[0]: 1.0})
    after = _copy(picked)
    after.asked, after.outputs, after.failures = [*picked.asked, other + "@1"], [None, b"1"], ["model_error: x", None]
    after.propensities, after.latencies, after.fallback = (*picked.propensities, 0.0), [None, 0.0], True
    both = policy.update(after, {picked.models[0]: 1.0, other: 0.5})
    nothing = (0.0,) * (2 + policy.columns)
    for model, row in both.sums.items():
        without = alone.sums.get(model, nothing)[2:]
        _hold(row[2:] == without, f"{model} learned {row[2:]}, without the fallback {without}")
    _hold(both.sums[other][:2] == (1.0, 0.5), f"the fallback {other} was judged {both.sums[other][:2]}, not (1.0, 0.5)")


@_law
def state_round_trips(policy: Policy, seed: int) -> None:
    """A state is the same after being bytes, and says the same."""
    state = _learned(policy, seed)
    try:
        again = State.decode(state.encode())
    except msgspec.MsgspecError as error:
        raise _Broken(f"{state} cannot be read back from its bytes: {error}") from error
    _hold(again == state, f"{state} came back as {again}")
    weights, others = _by_name(policy.distribution(state)), _by_name(policy.distribution(again))
    _hold(weights == others, f"weights {weights} came back as {others}")


@_law
def long_runs_stay_small_and_finite(policy: Policy, seed: int) -> None:
    """After 10,000 updates, one-sided ones too, the state has the numbers it began with, and all of them are finite."""
    one_sided = Stream(accuracies={"bad": 0.0, "fair": 0.5, "good": 1.0}, length=200)
    fresh = policy.initial(tuple(_STREAM.accuracies))
    for stream in (_STREAM, one_sided):
        decisions = simulate(policy, stream, seed=seed, keep=True).decisions
        deltas = [policy.update(d, judge(d, Output(d.answer or b"0"))) for d in decisions]
        deltas += [policy.update(d, dict.fromkeys(d.models, 1.0)) for d in decisions]
        state = fresh
        for n in range(5000):
            state = state.plus(deltas[n % len(deltas)], policy.forget)
        _hold(len(_numbers(state)) == len(_numbers(fresh)), f"{len(_numbers(fresh))} numbers became {state}")
        _hold(all(map(math.isfinite, _numbers(state))), f"not finite: {state}")
        _check_weights(policy.distribution(state))


@_law
def updates_depend_on_the_decision_alone(policy: Policy, seed: int) -> None:
    """A delta follows from decision, losses and parameters, whatever happened between, and changes none of them."""
    decisions = simulate(policy, _STREAM, seed=seed, keep=True).decisions[-20:]
    losses = [dict(judge(decision, Output(b"1"))) for decision in decisions]
    at_once = [policy.update(d, judged) for d, judged in zip(decisions, losses, strict=True)]
    before = [_bytes(d) for d in decisions]
    simulate(policy, _STREAM, seed=seed + 1)
    for decision, judged, delta, same in zip(decisions, losses, at_once, before, strict=True):
        later = replace(policy).update(_copy(decision), dict(judged))
        _hold(later == delta, f"{delta} at once and {later} later")
        _hold(_bytes(decision) == same, f"the decision was {same!r} and is {_bytes(decision)!r}")


@_law
def updates_concern_candidates_alone(policy: Policy, seed: int) -> None:
    """A delta has rows of models that were candidates alone: what one that is away has learned waits for it."""
    decisions = simulate(policy, _STREAM, seed=seed, keep=True).decisions
    for decision in decisions:
        delta = policy.update(decision, judge(decision, Output(decision.answer or b"0")))
        strange = set(delta.sums) - set(decision.distribution.models)
        _hold(not strange, f"adds to {sorted(strange)}; the candidates were {decision.distribution.models}")
        wide = [2 + policy.columns] * len(delta.sums)
        _hold([len(row) for row in delta.sums.values()] == wide, f"adds {delta}, not rows of {2 + policy.columns}")


@_law
def updates_commute(policy: Policy, seed: int) -> None:
    """Deltas add up to the same in any order at forget 1, else within 1 − ρ^k of their sum if none moves over k."""
    trial = simulate(policy, _STREAM, seed=seed, delay=30, keep=True)
    deltas = [policy.update(d, judge(d, Output(d.answer or b"0"))) for d in trial.decisions]
    fresh, reach = policy.initial(tuple(_STREAM.accuracies)), 4
    moved = _shuffled(deltas, reach + 1, Random(seed))
    anyhow = _shuffled(deltas, len(deltas), Random(seed))
    total = _numbers(_fold(fresh, [_absolute(delta) for delta in deltas], 1.0))
    for keep, order, share in ((1.0, anyhow, 0.0), (policy.forget, moved, 1.0 - policy.forget**reach)):
        one, other = _numbers(_fold(fresh, deltas, keep)), _numbers(_fold(fresh, order, keep))
        for a, b, whole in zip(one, other, total, strict=True):
            slack = share * whole + 1e-9 * max(1.0, whole)
            _hold(abs(a - b) <= slack, f"{a} in one order and {b} in another, at forget {keep} (allowed: {slack:g})")


@_law
def beats_uniform(policy: Policy, seed: int) -> None:
    """Between models right 60 and 90 times in 100 its mean loss is `MARGIN` below uniform choice's, feedback late."""
    stream = Stream(accuracies={"worse": 0.6, "better": 0.9}, length=1000)
    losses = [loss for n in range(3) for loss in simulate(policy, stream, seed=seed + n, delay=20).answered]
    mean = sum(losses) / len(losses)
    _hold(mean <= 0.25 - MARGIN, f"mean loss {mean:.3f} over {len(losses)} queries, not below {0.25 - MARGIN:.3f}")


def _learned(policy: Policy, seed: int) -> State:
    return simulate(policy, _STREAM, seed=seed).state


def _by_name(trust: Distribution) -> dict[str, float]:
    return dict(zip(trust.models, trust.weights, strict=True))


def _check_weights(trust: Distribution) -> None:
    _hold(all(math.isfinite(w) and w >= 0.0 for w in trust.weights), f"weights {_by_name(trust)}")
    _hold(abs(sum(trust.weights) - 1.0) <= 1e-9, f"weights {_by_name(trust)} sum to {sum(trust.weights)}")


def _numbers(state: State) -> list[float]:
    """Everything a state has learned, in one fixed order; not its count."""
    return [x for model in sorted(state.sums) for x in state.sums[model]] + list(state.shared)


def _absolute(delta: State) -> State:
    sums = {model: tuple(map(abs, row)) for model, row in delta.sums.items()}
    return State(delta.count, sums, tuple(map(abs, delta.shared)))


def _fold(state: State, deltas: Sequence[State], keep: float) -> State:
    for delta in deltas:
        state = state.plus(delta, keep)
    return state


def _shuffled(deltas: Sequence[State], size: int, rng: Random) -> list[State]:
    """The deltas, shuffled within runs of this size: none moves by as many places."""
    runs = [list(deltas[start : start + size]) for start in range(0, len(deltas), size)]
    for run in runs:
        rng.shuffle(run)
    return [delta for run in runs for delta in run]


def _bytes(decision: Decision) -> bytes:
    return msgspec.msgpack.encode(decision)


def _copy(decision: Decision) -> Decision:
    return msgspec.msgpack.decode(_bytes(decision), type=Decision)
