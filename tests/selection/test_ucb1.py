import math

import pytest

from skysail.errors import ConfigError
from skysail.selection.ucb1 import UCB1
from skysail.testing.streams import Stream, simulate
from skysail.types import State


def bound(judged: float, loss: float, total: float, c: float = 1.0) -> float:
    """The optimistic estimate by the published formula."""
    return 1.0 - loss / judged + c * math.sqrt(2.0 * math.log(total) / judged)


@pytest.mark.parametrize("c", [0.2, 1.0, 3.0])
def test_the_greatest_bound_is_asked(c: float) -> None:
    """1 − loss/n + c·√(2 ln N / n): with a small c the best average, with a great one the least known."""
    rows = {"a": (60.0, 6.0), "b": (30.0, 6.0), "c": (10.0, 5.0)}
    bounds = [bound(judged, loss, 100.0, c) for judged, loss in rows.values()]
    weights = UCB1(c=c).weigh(State(100.0, rows)).weights
    assert weights == tuple(1.0 if it == max(bounds) else 0.0 for it in bounds)


def test_what_was_never_judged_comes_first_and_ties_are_drawn_alike() -> None:
    """Unobserved models share all the weight; then models that are equal do."""
    rows = {"a": (9.0, 0.0), "b": (0.0, 0.0), "c": (0.0, 0.0)}
    assert UCB1().weigh(State(9.0, rows)).weights == (0.0, 0.5, 0.5)
    assert UCB1().weigh(State(6.0, dict.fromkeys("abc", (2.0, 1.0)))).weights == pytest.approx((1 / 3,) * 3)


def test_forgotten_counts_below_one_are_no_error() -> None:
    """A context's state, or one that forgets, has fractions of feedbacks: no logarithm of less than 1."""
    assert UCB1().weigh(State(0.3, {"a": (0.2, 0.1), "b": (0.1, 0.0)})).weights == (0.0, 1.0)


def test_it_goes_to_the_best() -> None:
    """Regret grows with the logarithm: in 2,000 queries the bad model was asked little."""
    stream = Stream(accuracies={"bad": 0.5, "good": 0.9}, length=2000)
    judged = simulate(UCB1(), stream, seed=0).state.sums
    assert judged["bad"][0] < 200
    assert judged["good"][0] > 1800


def test_c_is_checked() -> None:
    """It is not below 0."""
    with pytest.raises(ConfigError, match="policy 'ucb1': c = -1 must be a number of at least 0"):
        UCB1(c=-1)
