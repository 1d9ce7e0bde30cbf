from random import Random

import pytest

from skysail.errors import ConfigError
from skysail.selection.exp3ix import Exp3IX
from skysail.testing.streams import Stream, decide, simulate
from skysail.types import Output, Query, State

QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)
FIVE = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "e": 0.9085}


@pytest.mark.parametrize(("policy", "gamma"), [(Exp3IX(), 0.05), (Exp3IX(gamma=0.5), 0.5), (Exp3IX(eta=1, gamma=0), 0)])
def test_estimates_are_bounded_by_gamma(policy: Exp3IX, gamma: float) -> None:
    """loss/(p + γ), with γ = η/2 unless told otherwise."""
    state = State(9.0, {"a": (5.0, 1.0, 2.0), "b": (4.0, 3.0, 9.0)})
    decision = decide(policy, state, QUERY, {"a": Output(b"1"), "b": Output(b"1")}, Random(0))
    model, p = decision.models[0], decision.propensities[0]
    other = "b" if model == "a" else "a"
    delta = policy.update(decision, {model: 1.0})
    assert delta.sums[model][2] - delta.sums[other][2] == pytest.approx(1.0 / (p + gamma))


def test_an_absent_model_comes_back_where_it_was() -> None:
    """What the others lose while a model is away does not put it ahead of them."""
    policy = Exp3IX(forget=1.0)
    state = simulate(policy, Stream(accuracies={"good": 0.9, "bad": 0.3}, length=300), seed=0).state
    before = policy.distribution(state).weight("bad")
    alone = simulate(policy, Stream(accuracies={"good": 0.9}, length=3000), seed=1, state=state.only(["good"])).state
    back = State(alone.count, {**alone.sums, "bad": state.sums["bad"]})
    assert before < 0.2
    assert policy.distribution(back).weight("bad") == pytest.approx(before, abs=0.05)


@pytest.mark.slow
def test_failure_and_recovery() -> None:
    """The best of five breaks from 5,000 to 10,000 of 20,000: about 3,096 lost, and its weight is back within 1,000."""
    stream = Stream(accuracies=FIVE, length=20_000, broken={"e": (5000, 10_000)})
    trial = simulate(Exp3IX(), stream, seed=0)
    weight = [trust.weight("e") for trust in trial.trust]
    former = sum(weight[4500:5000]) / 500
    assert sum(trial.expected) == pytest.approx(3096, rel=0.05)
    assert max(weight[10_000:11_000]) >= former / 2


def test_gamma_is_checked() -> None:
    """γ is at least 0."""
    with pytest.raises(ConfigError, match="policy 'exp3ix': gamma = -1 must be a number of at least 0"):
        Exp3IX(gamma=-1)
