import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.selection.thompson import Thompson, chance_of_best
from skysail.testing.streams import Stream, simulate
from skysail.types import State

FIVE = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "e": 0.9085}


def best(*models: tuple[float, float]) -> list[float]:
    """The probability of each Beta(a, b) to be the greatest."""
    a, b = np.array(models, dtype=float).T
    chances: list[float] = chance_of_best(a, b).tolist()
    return chances


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_equal_models_are_equally_likely_best(n: int) -> None:
    """Identical densities: 1/n each."""
    assert best(*[(1.0, 1.0)] * n) == pytest.approx([1 / n] * n, abs=1e-6)
    assert best(*[(900.0, 101.0)] * n) == pytest.approx([1 / n] * n, abs=1e-6)


@pytest.mark.parametrize("a", [1, 2, 10, 100, 1000])
def test_closed_form_of_powers(a: int) -> None:
    """Beta(a, 1) beats Beta(1, 1) with probability a/(a + 1), and four of them with a/(a + 4)."""
    assert best((a, 1), (1, 1))[0] == pytest.approx(a / (a + 1), abs=1e-3)
    assert best((a, 1), *[(1, 1)] * 4)[0] == pytest.approx(a / (a + 4), abs=1e-3)


def test_closed_form_of_a_known_accuracy() -> None:
    """An accuracy known to be .5 is the greatest of it and four unknown ones with probability 1/16."""
    assert best((1e7, 1e7), *[(1, 1)] * 4)[0] == pytest.approx(1 / 16, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_quadrature_agrees_with_sampling(seed: int) -> None:
    """For models of very different histories, within .004 of 200,000 samples."""
    rng = np.random.default_rng(seed)
    judged, accuracy = 10.0 ** rng.uniform(0, 3, 5), rng.uniform(0.7, 0.95, 5)
    a, b = 1 + judged * accuracy, 1 + judged * (1 - accuracy)
    wins = np.bincount(rng.beta(a, b, (200_000, 5)).argmax(axis=1), minlength=5) / 200_000
    assert chance_of_best(a, b) == pytest.approx(wins, abs=0.004)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=8))
def test_weights_are_probabilities_for_any_counts(rows: list[tuple[float, float]]) -> None:
    """Any numbers of wins and losses give weights above 0 that sum to one, also where rounding made losses too many."""
    sums = {f"m{n}": (wins + losses, losses * (1 + 1e-12)) for n, (wins, losses) in enumerate(rows)}
    weights = Thompson().weigh(State(1.0, sums)).weights
    assert all(0.0 < weight <= 1.0 for weight in weights)
    assert sum(weights) == pytest.approx(1.0)


def test_a_model_without_history_is_tried() -> None:
    """An untried model is drawn now and then beside a good one, a bad one hardly ever."""
    state = State(30.0, {"good": (10.0, 1.0), "new": (0.0, 0.0), "bad": (20.0, 18.0)})
    good, new, bad = Thompson().weigh(state).weights
    assert good > new > 0.05
    assert bad < 0.001


def test_propensities_are_the_weights_drawn_from() -> None:
    """The same state gives the same weights, computed once: what is recorded is what was drawn from."""
    policy = Thompson()
    state = simulate(policy, Stream(accuracies=FIVE, length=50), seed=0).state
    assert policy.distribution(state) is policy.distribution(state)


@pytest.mark.slow
def test_failure_and_recovery() -> None:
    """The best of five breaks from 5,000 to 10,000 of 20,000: about 2,642 lost, and its weight is back within 1,000."""
    stream = Stream(accuracies=FIVE, length=20_000, broken={"e": (5000, 10_000)})
    trial = simulate(Thompson(), stream, seed=0)
    weight = [trust.weight("e") for trust in trial.trust]
    former = sum(weight[4500:5000]) / 500
    assert sum(trial.expected) == pytest.approx(2642, rel=0.05)
    assert max(weight[10_000:11_000]) >= former / 2


def test_it_needs_no_columns_of_its_own() -> None:
    """Rewards and labels alike are kept in the columns every policy has."""
    policy = Thompson()
    assert policy.initial(("a",)) == State(0.0, {"a": (0.0, 0.0)})
    assert policy.weigh(policy.initial(("a",))).weights == (1.0,)


@pytest.mark.parametrize("kinds", [70, 400])
def test_many_models_are_taken_by_kinds(kinds: int) -> None:
    """Of over 64 models the chances are near those of drawing accuracies, the order of the models does not matter, and
    equal records have equal chances.
    """
    rng = np.random.default_rng(kinds)
    judged = rng.integers(0, 100, kinds).astype(float)
    lost = np.round(judged * rng.beta(2, 4, kinds))
    sums = {f"m{n}": (judged[n], lost[n]) for n in range(kinds)} | {"twin": (judged[0], lost[0])}
    state = State(1.0, sums)
    trust = Thompson().weigh(state)
    drawn = rng.beta(1 + judged - lost, 1 + lost, (20_000, kinds)).argmax(axis=1)
    share = np.bincount(drawn, minlength=kinds) / 20_000
    distance = np.abs(np.array(trust.weights[:-1]) - share).sum() / 2
    assert distance < 0.12
    assert trust.weight("twin") == pytest.approx(trust.weight("m0"), rel=1e-6)
    back = Thompson().weigh(state.only(state.models[::-1]))
    assert back.weights[::-1] == pytest.approx(trust.weights, rel=1e-6)


def test_thousands_without_history_are_drawn_alike() -> None:
    """Nobody is judged: one kind, equal chances."""
    trust = Thompson().weigh(State(0.0, {f"m{n}": (0.0, 0.0) for n in range(4000)}))
    assert trust.weights == pytest.approx((1 / 4000,) * 4000)
