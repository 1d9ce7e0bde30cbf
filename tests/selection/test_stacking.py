import math
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import pytest

from skysail.errors import ConfigError
from skysail.selection.losses import Absolute, Squared, ZeroOne
from skysail.selection.scores import Log, TopK
from skysail.selection.stacking import Stacking
from skysail.testing.streams import Stream, decide, judge, simulate
from skysail.types import Decision, Distribution, Output, Query, State

MODELS = ("a", "b", "c")
FIVE = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "e": 0.9085}
QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)
STRENGTH = {"a": 1.0, "b": 0.6, "c": 0.4}


def decision(policy: Stacking, said: Mapping[str, bytes | None]) -> Decision:
    """A decision with recorded strengths."""
    outputs = {model: None if raw is None else Output(raw) for model, raw in said.items()}
    made = decide(policy, policy.initial(MODELS), QUERY, outputs, Random(0))
    made.distribution = Distribution(MODELS, tuple(value / 2.0 for value in STRENGTH.values()), 2.0)
    return made


def gradients(policy: Stacking, said: Mapping[str, bytes | None], losses: Mapping[str, float | None]) -> Any:
    """What the decision teaches of each model; each gradient with its square beside it."""
    sums = policy.update(decision(policy, said), losses).sums
    assert all(row[3] == row[2] ** 2 for row in sums.values())
    return {model: row[2] for model, row in sums.items()}


def test_the_gradient_is_the_loss_less_what_was_expected() -> None:
    """P(1) ∝ e^1.4, P(2) ∝ e^0.6, P(neither) ∝ 1: who voted 1 was expected to lose 1 − P(1)."""
    total = math.exp(1.4) + math.exp(0.6) + 1.0
    one, two = 1.0 - math.exp(1.4) / total, 1.0 - math.exp(0.6) / total
    got = gradients(Stacking(), {"a": b"1", "b": b"2", "c": b"1.0"}, {"a": 0.0, "b": 1.0, "c": 0.0})
    assert got == pytest.approx({"a": -one, "b": 1.0 - two, "c": -one})


def test_it_is_the_gradient_of_the_likelihood() -> None:
    """For probabilities, by differences of −ln P(label) in each strength, P by hand."""
    said = {"a": [0.7, 0.2, 0.1], "b": [0.3, 0.6, 0.1], "c": [0.1, 0.0, 0.9]}
    policy, floor = Stacking(loss=Log()), 0.01

    def surprise(strength: dict[str, float]) -> float:
        points = [sum(strength[m] * (1.0 - cost(said[m][c])) for m in MODELS) for c in range(3)]
        return math.log(sum(map(math.exp, points)) + 1.0) - points[1]

    def cost(chance: float) -> float:
        return math.log(max(chance, floor)) / math.log(floor)

    losses = {model: cost(said[model][1]) for model in MODELS}
    got = gradients(policy, {m: repr(said[m]).encode() for m in MODELS}, losses)
    for model in MODELS:
        more, less = dict(STRENGTH), dict(STRENGTH)
        more[model] += 1e-5
        less[model] -= 1e-5
        assert got[model] == pytest.approx((surprise(more) - surprise(less)) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("loss", [Absolute(range=(0, 10)), Squared(range=(0, 10))])
def test_of_numbers_the_squared_distance_less_what_was_expected(loss: Absolute) -> None:
    """The mean is 3.4, and the strengths claim a variance of 1/(2·2) of the range's width squared."""
    label, said = 5.0, {"a": 2.0, "b": 4.0, "c": 6.0}
    losses = {model: loss.loss(value, label) for model, value in said.items()}
    got = gradients(Stacking(loss=loss), {m: repr(x).encode() for m, x in said.items()}, losses)
    mean = sum(STRENGTH[m] * said[m] for m in MODELS) / 2.0
    expected = {m: ((x - label) / 10) ** 2 - ((x - mean) / 10) ** 2 - 0.25 for m, x in said.items()}
    assert got == pytest.approx(expected)


def test_rankings_are_votes_for_several() -> None:
    """Each of the `k` best has a vote of the model, so that two models may both be right."""
    losses = {"a": 0.0, "b": 0.0, "c": 1.0}
    said = {"a": b'["x","y","z"]', "b": b'["y","z","x"]', "c": b'["z","x","y"]'}
    got = gradients(Stacking(loss=TopK(k=2)), said, losses)
    points = {"x": 1.4, "y": 1.6, "z": 1.0}
    total = sum(map(math.exp, points.values())) + 1.0
    assert got["a"] == pytest.approx(-1.0 + (math.exp(1.4) + math.exp(1.6)) / total)


def test_a_loss_of_ones_own_is_taken_by_its_outputs() -> None:
    """One that does not say what it gives credit for: an output speaks for itself alone."""

    class Own:
        name: ClassVar[str] = "own"

        def check_label(self, label: Any) -> None: ...

        def loss(self, output: Any, label: Any) -> float:
            return 0.0

        def agree(self, a: Any, b: Any) -> bool:
            return bool(a == b)

        combine = ZeroOne().combine

    said, losses = {"a": b"1", "b": b"2", "c": b"1"}, {"a": 0.0, "b": 1.0, "c": 0.0}
    assert gradients(Stacking(loss=Own()), said, losses) == gradients(Stacking(), said, losses)


def test_who_is_not_judged_learns_nothing_and_a_failure_is_a_loss() -> None:
    """A straggler keeps its strength; a model that failed is held to what the others were expected to lose."""
    said: dict[str, bytes | None] = {"a": b"1", "b": b"1", "c": None}
    assert set(gradients(Stacking(), said, {"a": 0.0, "b": 0.0, "c": None})) == {"a", "b"}
    got = gradients(Stacking(), said, {"a": 0.0, "b": 0.0, "c": 1.0})
    assert got["c"] == pytest.approx(1.0 + got["a"])
    assert gradients(Stacking(), dict.fromkeys(MODELS), dict.fromkeys(MODELS, 1.0)) == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_an_output_that_means_nothing_to_the_loss_has_no_vote() -> None:
    """Text among numbers is judged as wrong, and the others as if it were not there."""
    losses = {"a": 0.0, "b": 0.04, "c": 1.0}
    policy = Stacking(loss=Squared(range=(0, 10)))
    got = gradients(policy, {"a": b"5", "b": b"3", "c": b'"x"'}, losses)
    without = gradients(policy, {"a": b"5", "b": b"3", "c": None}, losses)
    assert got == without


def test_one_without_a_say_is_not_weakened_further() -> None:
    """A model that is broken for long is back as soon as one that was broken for a while."""
    policy = Stacking()
    made = decision(policy, {"a": b"1", "b": b"1", "c": b"2"})
    made.distribution = Distribution(MODELS, (0.5, 0.495, 0.005), 2.0)
    assert "c" not in {m for m, row in policy.update(made, {"a": 0.0, "b": 0.0, "c": 1.0}).sums.items() if row[2]}
    assert policy.update(made, {"a": 1.0, "b": 1.0, "c": 0.0}).sums["c"][2] < 0.0


def test_strengths_are_recorded_whole() -> None:
    """Their sum is in the place of the rate, so a decision knows each strength, however strong or weak."""
    state = State(9.0, {"a": (9.0, 0.0, -3.0, 1.0), "b": (9.0, 9.0, 1e9, 1e9), "c": (0.0,) * 4})
    trust = Stacking().weigh(state)
    assert trust.eta * trust.weights[0] == pytest.approx(math.exp(1.5 / math.sqrt(1.01)))
    assert trust.eta * trust.weights[1] == pytest.approx(math.exp(-30.0))
    assert trust.eta * trust.weights[2] == pytest.approx(1.0)


def test_it_goes_to_the_mixture_not_to_the_best() -> None:
    """Independent models vote by their log-odds: a third of the errors of the best model alone."""
    trial = simulate(Stacking(), Stream(accuracies=FIVE, length=3000), seed=0)
    assert sum(trial.answered[1000:]) / 2000 < (1.0 - FIVE["e"]) / 3
    assert sorted(FIVE, key=trial.trust[-1].weight)[2:] == ["a", "c", "e"]


def test_copies_of_a_model_do_not_outvote_a_better_one() -> None:
    """Three models that always agree count as little more than one; a plain vote would follow them."""
    policy, world = Stacking(), Random(1)
    state, wrong, voted = policy.initial(("good", "x", "y", "z")), 0, 0
    for t in range(2000):
        label, copied = world.randrange(10), world.random() < 0.7
        other = (label + 1 + world.randrange(9)) % 10
        said = Output(b"%d" % (label if copied else other))
        good = Output(b"%d" % (label if world.random() < 0.9 else (label + 1 + world.randrange(9)) % 10))
        made = decide(policy, state, QUERY, {"good": good, "x": said, "y": said, "z": said}, world)
        if t >= 500:
            wrong += made.answer != b"%d" % label
            voted += not copied
        state = state.plus(policy.update(made, judge(made, Output(b"%d" % label))), policy.forget)
    assert wrong / 1500 < 0.12
    assert voted / 1500 > 0.25


@pytest.mark.slow
def test_failure_and_recovery() -> None:
    """The best of five breaks from 5,000 to 10,000 of 20,000: 3 % of the answers are wrong, and its weight is back."""
    stream = Stream(accuracies=FIVE, length=20_000, broken={"e": (5000, 10_000)})
    trial = simulate(Stacking(), stream, seed=0)
    weight = [trust.weight("e") for trust in trial.trust]
    former = sum(weight[4500:5000]) / 500
    assert sum(trial.answered) < 700
    assert weight[9999] < 0.02
    assert max(weight[10_000:10_400]) >= former / 2


@pytest.mark.slow
def test_numbers_are_mixed_better_than_the_best_says_them() -> None:
    """Five models with other errors: the mean by strength is nearer than the best of them, and than the plain mean."""
    policy, world = Stacking(loss=Squared(range=(0, 1))), Random(5)
    deviations = {"a": 0.05, "b": 0.08, "c": 0.1, "d": 0.2, "e": 0.3}
    state, missed, best = policy.initial(tuple(deviations)), 0.0, 0.0
    for t in range(1500):
        label = world.random()
        values = {model: label + world.gauss(0.0, deviation) for model, deviation in deviations.items()}
        made = decide(policy, state, QUERY, {m: Output(repr(x).encode()) for m, x in values.items()}, world)
        losses = {model: policy.loss.loss(value, label) for model, value in values.items()}
        if t >= 300:
            missed += (Output(made.answer or b"").value - label) ** 2
            best += (values["a"] - label) ** 2
        state = state.plus(policy.update(made, losses), policy.forget)
    assert missed < 0.8 * best


def test_eta_is_checked() -> None:
    """A learning rate is above 0."""
    with pytest.raises(ConfigError, match="policy 'stacking': eta = 0 must be a number above 0"):
        Stacking(eta=0)
