"""The values that every query makes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.values import Output, State, same_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-3, 3).map(round) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
rows = st.tuples(st.floats(-100, 100), st.floats(-100, 100))
states = st.builds(
    State,
    st.integers(0, 100).map(float),
    st.dictionaries(st.sampled_from("abc"), rows, max_size=3),
    st.tuples(st.floats(-100, 100)),
)


@given(values)
def test_a_value_equals_itself_however_it_is_written(value: object) -> None:
    """Spacing and number format do not make two outputs differ."""
    compact = json.dumps(value, separators=(",", ":")).encode()
    assert Output(compact) == Output(json.dumps(value, indent=2).encode())
    assert same_json(value, json.loads(compact))


@given(values, values)
def test_equality_is_symmetric(a: object, b: object) -> None:
    """a = b exactly when b = a."""
    assert same_json(a, b) == same_json(b, a)


@pytest.mark.parametrize(("a", "b"), [(1, True), (0, False), (1, "1"), (None, 0), ([], {}), ("", None), ([1], [1, 2])])
def test_json_kinds_are_not_confused(a: object, b: object) -> None:
    """One is not true, nor is it the text of itself."""
    assert not same_json(a, b)
    assert not same_json(b, a)


def test_a_number_is_one_number() -> None:
    """1 and 1.0 are the same number."""
    assert same_json(1, 1.0)
    assert Output(b'[1, {"a": 2.0}]') == Output(b'[1.0,{"a":2}]')


@given(states)
def test_a_state_round_trips_through_bytes(state: State) -> None:
    """What is kept is what is read."""
    assert State.decode(state.encode()) == state


@given(states, states, states)
def test_additions_commute(start: State, a: State, b: State) -> None:
    """Two deltas may come in either order."""
    one, other = start.plus(a).plus(b), start.plus(b).plus(a)
    assert one.count == pytest.approx(other.count)
    assert one.sums.keys() == other.sums.keys()
    for model, row in one.sums.items():
        assert row == pytest.approx(other.sums[model])
    assert one.shared == pytest.approx(other.shared)


@given(states, states, st.floats(0.5, 1.0))
def test_keeping_less_scales_what_was_there_before(state: State, delta: State, keep: float) -> None:
    """s · keep + δ, for every number."""
    after = state.plus(delta, keep)
    assert after.count == pytest.approx(state.count * keep + delta.count)
    for model in {*state.sums, *delta.sums}:
        old, new = state.sums.get(model, (0.0, 0.0)), delta.sums.get(model, (0.0, 0.0))
        assert after.sums[model] == pytest.approx([o * keep + n for o, n in zip(old, new, strict=True)])
