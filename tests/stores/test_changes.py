"""What a transaction does to the states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.stores.base import Add
from skysail.stores.changes import changed
from skysail.types import State

NUMBERS = st.floats(-1e3, 1e3)
DELTAS = st.builds(
    State,
    NUMBERS,
    st.dictionaries(st.sampled_from("abc"), st.tuples(NUMBERS, NUMBERS)),
    st.lists(NUMBERS, max_size=2).map(tuple),
)
ADDS = st.lists(st.builds(Add, st.sampled_from(["x", "y"]), DELTAS, st.sampled_from([1.0, 0.999, 0.5])), max_size=20)


@given(ADDS, st.integers(0, 20))
def test_the_cut_into_transactions_makes_no_difference(adds: list[Add], cut: int) -> None:
    """Two transactions leave exactly the states that one leaves, to the last bit."""
    first = changed({}, adds[:cut])
    assert {**first, **changed(first, adds[cut:])} == changed({}, adds)


@given(DELTAS, ADDS)
def test_additions_compose(start: State, adds: list[Add]) -> None:
    """A series of additions is one: s·ρ₁ρ₂ + δ₁·ρ₂ + δ₂ (up to rounding)."""
    adds = [Add("x", add.delta, add.keep) for add in adds]
    keep, delta = 1.0, State()
    for add in adds:
        keep, delta = keep * add.keep, delta.plus(add.delta, add.keep)
    one_by_one = changed({"x": start}, adds).get("x", start)
    at_once = start.plus(delta, keep)
    assert one_by_one.count == pytest.approx(at_once.count, abs=1e-6)
    assert one_by_one.shared == pytest.approx(at_once.shared, abs=1e-6)
    assert one_by_one.sums.keys() == at_once.sums.keys()
    for model, row in one_by_one.sums.items():
        assert row == pytest.approx(at_once.sums[model], abs=1e-6)


def test_a_state_is_entered_before_it_is_added_to() -> None:
    """What is there, or nothing, becomes what is added to; each addition sees what those before it made."""

    def enter(state: State | None) -> State:
        return State(0.0, {"a": (3.0,)}) if state is None else State(state.count, {"b": (2.0,), **state.sums})

    result = changed(
        {"x": State(4.0, {"a": (1.0,)})},
        [Add(key, State(1.0, {"b": (0.5,)}), 1.0, enter) for key in ("x", "y", "y")],
    )
    assert result == {"x": State(5.0, {"a": (1.0,), "b": (2.5,)}), "y": State(2.0, {"a": (3.0,), "b": (1.0,)})}


def test_what_stays_is_left_out() -> None:
    """A state that nothing was added to is not written again."""
    assert changed({"x": State(4.0, {"a": (1.0,)})}, [Add("y", State(1.0), 1.0)]) == {"y": State(1.0)}
