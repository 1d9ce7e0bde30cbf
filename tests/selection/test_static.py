from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ConfigError
from skysail.selection.static import Static
from skysail.types import Query

MODELS = ("a", "b", "c")
POLICY = Static(weights={"a": 6, "b": 3, "c": 1})


def query(context: str | None) -> Query:
    """A query of a context."""
    return Query("q", b"1", False, context, 0.0, 1.0, 0.5)


def split(policy: Static, models: tuple[str, ...], users: int = 4000) -> dict[str, str]:
    """The model each of many users gets."""
    state, rng = policy.initial(models), Random(0)
    return {f"user{n}": policy.select(state, query(f"user{n}"), rng).asked[0] for n in range(users)}


def test_draws_follow_the_weights_with_and_without_a_context() -> None:
    """Six, three and one in ten, and the propensity says so."""
    state, rng = POLICY.initial(MODELS), Random(0)
    drawn = [POLICY.select(state, query(None), rng) for _ in range(4000)]
    assert all(s.propensities == (s.distribution.weight(s.asked[0]),) for s in drawn)
    for counts in (Counter(s.asked[0] for s in drawn), Counter(split(POLICY, MODELS).values())):
        assert {model: round(count / 4000, 1) for model, count in counts.items()} == {"a": 0.6, "b": 0.3, "c": 0.1}


@given(st.text(min_size=1, max_size=40), st.permutations(MODELS), st.integers())
def test_a_context_always_gets_the_same_model(context: str, order: list[str], seed: int) -> None:
    """Whatever the random numbers, and however the models are listed."""
    chosen = POLICY.select(POLICY.initial(MODELS), query(context), Random(0)).asked
    assert POLICY.select(POLICY.initial(tuple(order)), query(context), Random(seed)).asked == chosen


def test_only_those_move_who_must() -> None:
    """When a model is gone its users are spread over the rest by weight, and nobody else moves."""
    before, after = split(POLICY, MODELS), split(POLICY, ("a", "b"))
    assert all(after[user] == model for user, model in before.items() if model != "c")
    moved = Counter(after[user] for user, model in before.items() if model == "c")
    assert 0.55 < moved["a"] / moved.total() < 0.78


def test_no_weight_no_query_but_for_want_of_any_other() -> None:
    """A model of weight 0 is asked only where no model with weight is there."""
    policy = Static(weights={"a": 1, "b": 0, "c": 0})
    assert set(split(policy, MODELS, 100).values()) == {"a"}
    assert set(split(policy, ("b", "c"), 100).values()) == {"b", "c"}


def test_equal_by_default() -> None:
    """Without weights every model has the same."""
    assert Static().weigh(Static().initial(MODELS)).weights == (1 / 3,) * 3


def test_a_list_of_weights_is_in_the_order_of_the_models() -> None:
    """A list in the config file becomes a table by name."""
    assert Static.fields_of({"weights": [2, 1, 1], "forget": 1}, MODELS) == {
        "weights": {"a": 2, "b": 1, "c": 1},
        "forget": 1,
    }
    assert Static.fields_of({}, MODELS) == {}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1], "weights has 2 numbers, the application 3 models"),
        ({"a": 1, "b": 1, "cc": 1}, r"weights.cc is none of its models \(did you mean 'c'\?\)"),
        ({"a": 1, "b": 1}, "weights lacks 'c'"),
    ],
)
def test_weights_are_one_for_each_model(weights: Any, message: str) -> None:
    """A missing one, one too many and an unknown name are config errors."""
    with pytest.raises(ConfigError, match=message):
        Static.fields_of({"weights": weights}, MODELS)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": -1}, "weights.a = -1 must be a number of at least 0"),
        ({"a": "x"}, "weights.a = 'x' must be a number"),
        ({"a": 0, "b": 0}, "must not all be 0"),
        ("equal", "must be a table or a list"),
    ],
)
def test_weights_are_checked(weights: Any, message: str) -> None:
    """Weights that cannot be a split are config errors."""
    with pytest.raises(ConfigError, match=message):
        Static(weights=weights)
