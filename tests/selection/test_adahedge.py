import math
from random import Random
from typing import Any

import pytest

from skysail.errors import ConfigError
from skysail.selection.adahedge import AdaHedge
from skysail.testing.streams import Stream, decide, simulate
from skysail.types import Decision, Distribution, Output, Query, State

MODELS = ("a", "b", "c")
FIVE = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "e": 0.9085}
QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)


def decision(eta: float = 0.5) -> Decision:
    """A decision of three models with recorded weights and rate."""
    policy = AdaHedge()
    made = decide(policy, policy.initial(MODELS), QUERY, dict.fromkeys(MODELS, Output(b"1")), Random(0))
    made.distribution = Distribution(MODELS, (0.5, 0.3, 0.2), eta)
    return made


def recovery(policy: AdaHedge, seed: int = 0) -> tuple[float, int | None]:
    """The loss over the failure stream, and the queries until the mended model has half its former weight."""
    stream = Stream(accuracies=FIVE, length=20_000, broken={"e": (5000, 10_000)})
    trial = simulate(policy, stream, seed=seed)
    weight = [trust.weight("e") for trust in trial.trust]
    former = sum(weight[4500:5000]) / 500
    back = next((t for t, w in enumerate(weight[10_000:]) if w >= former / 2), None)
    return sum(trial.expected), back


def test_losses_and_gap_by_the_formula() -> None:
    """L += l − h and D += h − m, with h and m of the weights and the rate that the decision recorded."""
    delta = AdaHedge().update(decision(), {"a": 1.0, "b": 0.0, "c": 0.5})
    h = 0.5 * 1.0 + 0.2 * 0.5
    m = -math.log(0.5 * math.exp(-0.5) + 0.3 + 0.2 * math.exp(-0.25)) / 0.5
    assert [row[2] for row in delta.sums.values()] == pytest.approx([1.0 - h, -h, 0.5 - h])
    assert delta.shared == pytest.approx((h - m,))


def test_a_straggler_loses_what_the_mixture_does() -> None:
    """The mixture is that of the judged, and the gap counts the straggler at its loss."""
    delta = AdaHedge().update(decision(), {"a": 1.0, "b": None, "c": 0.0})
    h = 0.5 / 0.7
    m = -math.log(0.5 * math.exp(-0.5) + 0.3 * math.exp(-0.5 * h) + 0.2) / 0.5
    assert {model: row[2] for model, row in delta.sums.items()} == pytest.approx({"a": 1.0 - h, "c": -h})
    assert delta.shared == pytest.approx((h - m,))


def test_the_gap_is_never_negative() -> None:
    """Equal losses have no gap, whatever rounding says."""
    for loss in (0.0, 1 / 3, 1.0):
        assert AdaHedge().update(decision(), dict.fromkeys(MODELS, loss)).shared[0] == pytest.approx(0.0, abs=1e-12)
        assert AdaHedge().update(decision(), dict.fromkeys(MODELS, loss)).shared[0] >= 0.0


@pytest.mark.parametrize(
    ("policy", "gap", "eta"),
    [
        (AdaHedge(), 0.0, 1.0),
        (AdaHedge(), 1.0, 1.0),
        (AdaHedge(), 10.0, math.log(3) / 10),
        (AdaHedge(eta_max=5), 1.0, math.log(3)),
        (AdaHedge(eta_max=5), 0.01, 5.0),
        (AdaHedge(eta=0.2), 10.0, 0.2),
    ],
)
def test_the_rate_follows_the_gap(policy: AdaHedge, gap: float, eta: float) -> None:
    """η = ln K / max(D, ln K / eta_max), or fixed; it is recorded with the weights."""
    assert policy.weigh(State(1.0, dict.fromkeys(MODELS, (0.0,) * 3), (gap,))).eta == pytest.approx(eta)


def test_one_model_alone_has_all_the_weight() -> None:
    """ln 1 = 0 divides nothing."""
    policy = AdaHedge()
    state = simulate(policy, Stream(accuracies={"a": 0.5}, length=50), seed=0).state
    assert policy.weigh(state) == Distribution(("a",), (1.0,), 1.0)
    assert state.sums["a"][2] == 0.0


def test_an_absent_model_comes_back_where_it_was() -> None:
    """What the others lose while a model is away does not put it ahead of them."""
    policy = AdaHedge(forget=1.0)
    state = simulate(policy, Stream(accuracies={"good": 0.9, "bad": 0.3}, length=200), seed=0).state
    alone = simulate(policy, Stream(accuracies={"good": 0.9}, length=2000), seed=1, state=state.only(["good"])).state
    back = State(alone.count, {**alone.sums, "bad": state.sums["bad"]}, alone.shared)
    assert policy.distribution(back).weight("bad") < 0.01


def test_a_model_that_fails_loses_its_weight() -> None:
    """Judged with loss 1 as a failing model is, it is outvoted within a hundred feedbacks."""
    policy = AdaHedge()
    state = policy.initial(MODELS)
    for _ in range(100):
        made = decide(policy, state, QUERY, {"a": None, "b": Output(b"1"), "c": Output(b"1")}, Random(0))
        state = state.plus(policy.update(made, {"a": 1.0, "b": 0.0, "c": 0.0}), policy.forget)
    assert policy.distribution(state).weight("a") < 1e-6


def test_a_decision_without_a_rate_still_teaches_losses() -> None:
    """A decision of another policy records no rate: losses count, the gap stays."""
    delta = AdaHedge().update(decision(eta=0.0), {"a": 1.0, "b": 0.0, "c": 0.0})
    assert delta.shared == (0.0,)
    assert delta.sums["a"][2] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_failure_and_recovery(seed: int) -> None:
    """The best of five breaks from 5,000 to 10,000 of 20,000: about 2,269 lost, and its weight is back within 1,000."""
    lost, back = recovery(AdaHedge(), seed)
    assert lost == pytest.approx(2269, rel=0.03)
    assert back is not None
    assert back <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("policy", [AdaHedge(forget=1.0), AdaHedge(eta=0.2, forget=1.0)], ids=["adahedge", "hedge"])
def test_without_forgetting_it_never_recovers(policy: AdaHedge) -> None:
    """Why the default forgets: at forget 1 it loses half as much again, and the mended model stays out."""
    lost, back = recovery(policy)
    assert lost == pytest.approx(3354, rel=0.03)
    assert back is None


@pytest.mark.parametrize(
    ("params", "name"), [({"eta": 0}, "eta"), ({"eta_max": -1}, "eta_max"), ({"eta": "fixed"}, "eta")]
)
def test_rates_are_checked(params: dict[str, Any], name: str) -> None:
    """Learning rates are above 0."""
    with pytest.raises(ConfigError, match=f"policy 'adahedge': {name} = .* must be a number above 0"):
        AdaHedge(**params)
