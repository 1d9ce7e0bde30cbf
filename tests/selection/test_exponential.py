import math

from hypothesis import given
from hypothesis import strategies as st

from skysail.selection.exponential import Alike, excess, softmin
from skysail.types import Distribution, State

LOSSES = st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=8)


def state(losses: list[float]) -> State:
    """A state whose own columns are these losses."""
    return State(1.0, {f"m{n}": (0.0, 0.0, loss) for n, loss in enumerate(losses)})


@given(LOSSES, st.floats(1e-6, 1e6))
def test_weights_are_positive_and_sum_to_one(losses: list[float], eta: float) -> None:
    """However far apart the losses are, no weight is 0 or not a number."""
    weights = softmin(state(losses), eta).weights
    assert all(0.0 < weight <= 1.0 for weight in weights)
    assert math.isclose(sum(weights), 1.0)


def test_the_ratio_of_weights_is_the_exponential_of_the_difference() -> None:
    """w_a / w_b = exp(−η (L_a − L_b)), and η is recorded."""
    trust = softmin(state([3.0, 1.0]), 0.5)
    assert math.isclose(trust.weights[0] / trust.weights[1], math.exp(-1.0))
    assert trust.eta == 0.5


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_excess_keeps_differences_and_has_mean_zero(losses: list[float]) -> None:
    """Between models the excess differs as the losses do, and the mixture's own is 0."""
    names = tuple(f"m{n}" for n in range(len(losses)))
    trust = Distribution(names, tuple(1.0 / len(names) for _ in names))
    given_ = dict(zip(names, losses, strict=True))
    columns = excess(trust, given_)
    for name in names:
        assert math.isclose(columns[name][0] - columns["m0"][0], given_[name] - given_["m0"], abs_tol=1e-12)
    assert abs(sum(column for (column,) in columns.values())) < 1e-9


def test_one_that_is_left_out_loses_what_the_mixture_does() -> None:
    """It has no excess, and the others' are by the mean of those that are known; one that is no candidate has none."""
    trust = Distribution(("a", "b", "c"), (0.25, 0.25, 0.5))
    assert excess(trust, {"a": 1.0, "b": 0.0}) == {"a": (0.5,), "b": (-0.5,)}
    assert excess(trust, {"a": 1.0, "b": 0.0, "gone": 1.0}) == {"a": (0.5,), "b": (-0.5,)}


def test_without_weight_behind_them_losses_say_nothing() -> None:
    """No judged model has weight: nothing is learned, nothing divided by zero."""
    assert excess(Distribution(("a",), (1.0,)), {}) == {}
    assert excess(Distribution(("a", "b"), (1.0, 0.0)), {"b": 1.0}) == {}


def test_alike_is_a_row_for_each() -> None:
    """Every model has the row, but for those with their own; it adds up as a dictionary of as many rows does."""
    rows = Alike(("a", "b", "c"), (0.0, -1.0), {"b": (1.0, 2.0)})
    plain = {"a": (0.0, -1.0), "b": (1.0, 2.0), "c": (0.0, -1.0)}
    assert dict(rows) == plain
    assert (len(rows), list(rows), rows["c"], "d" in rows) == (3, ["a", "b", "c"], (0.0, -1.0), False)
    state = State(1.0, {"a": (1.0, 1.0), "d": (5.0, 5.0)})
    assert state.plus(State(1.0, rows)) == state.plus(State(1.0, plain))
