from random import Random

import pytest

from skysail.errors import ConfigError
from skysail.selection.epsilon_greedy import EpsilonGreedy, among_best
from skysail.testing.streams import Stream, decide, simulate
from skysail.types import Output, Query, State

QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)


def test_the_best_has_all_but_epsilon() -> None:
    """The least average loss, not the least loss, decides; each model is drawn for its part of ε."""
    state = State(9.0, {"a": (100.0, 20.0), "b": (10.0, 1.0), "c": (1.0, 1.0)})
    assert EpsilonGreedy(epsilon=0.3).weigh(state).weights == pytest.approx((0.1, 0.8, 0.1))
    assert EpsilonGreedy(epsilon=0).weigh(state).weights == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("rows", "weights"),
    [
        ({"a": (0.0, 0.0), "b": (0.0, 0.0)}, (0.5, 0.5)),
        ({"a": (5.0, 0.0), "b": (0.0, 0.0), "c": (0.0, 0.0)}, (0.1 / 3, 0.45 + 0.1 / 3, 0.45 + 0.1 / 3)),
        ({"a": (4.0, 1.0), "b": (8.0, 2.0), "c": (2.0, 1.0)}, (0.45 + 0.1 / 3, 0.45 + 0.1 / 3, 0.1 / 3)),
    ],
)
def test_ties_and_models_never_judged_are_drawn_alike(
    rows: dict[str, tuple[float, float]], weights: tuple[float, ...]
) -> None:
    """What was never judged comes before all that was, and the weight is the propensity."""
    policy, state = EpsilonGreedy(), State(1.0, rows)
    assert policy.weigh(state).weights == pytest.approx(weights)
    made = decide(policy, state, QUERY, dict.fromkeys(rows, Output(b"1")), Random(3))
    assert made.propensities == (made.distribution.weight(made.models[0]),)


def test_merits_share_what_is_not_explored() -> None:
    """Equal merits have equal chances, and an infinite one is a merit like any other."""
    state = State(0.0, {"a": (), "b": ()})
    assert among_best(state, [float("inf"), 1.0], 0.5).weights == (0.75, 0.25)


def test_a_break_is_found_out() -> None:
    """The best of three breaks after 1,000 of 3,000 feedbacks, and soon the second best is asked."""
    stream = Stream(accuracies={"a": 0.9, "b": 0.8, "c": 0.5}, length=3000, broken={"a": (1000, 3000)})
    trust = simulate(EpsilonGreedy(), stream, seed=0).trust
    assert trust[990].weight("a") > 0.9
    assert trust[-1].weight("b") > 0.9


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, "some"])
def test_epsilon_is_checked(epsilon: float) -> None:
    """It is a share."""
    with pytest.raises(ConfigError, match=r"policy 'epsilon_greedy': epsilon = .* must be a number of at least 0 and"):
        EpsilonGreedy(epsilon=epsilon)
