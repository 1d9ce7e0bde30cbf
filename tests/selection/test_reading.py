from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ConfigError, InvalidInput
from skysail.selection.losses import ZeroOne
from skysail.selection.reading import all_same, finite, key, scaled, short
from skysail.types import Output, same_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 2.5]) | st.sampled_from(["", "1", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)


@given(JSON, JSON)
def test_keys_are_equal_where_values_are_equal_as_json(a: Any, b: Any) -> None:
    """1 = 1.0 ≠ true ≠ "1", however deep; and every value can be looked up by."""
    assert (key(a) == key(b)) is same_json(a, b)
    if same_json(a, b):
        assert hash(key(a)) == hash(key(b))


def test_weights_are_scaled_and_equal_where_there_are_none() -> None:
    """They sum to one."""
    output = Output(b"1")
    assert scaled([(1.0, output), (3.0, output)]) == [0.25, 0.75]
    assert scaled([(0.0, output), (0.0, output)]) == [0.5, 0.5]


def test_texts_are_compared_as_they_are() -> None:
    """Values that are equal in other words are left to those who combine them."""
    assert all_same([(1.0, Output(b"1")), (0.0, Output(b"1"))])
    assert not all_same([(1.0, Output(b"1")), (1.0, Output(b"1.0"))])


def test_numbers_are_finite_and_no_booleans() -> None:
    """What else JSON may hold is a ValueError that shows it."""
    assert finite(3) == 3.0
    for value in (True, "3", None, [3], float("inf"), 10**400):
        with pytest.raises(ValueError, match="is not a finite number"):
            finite(value)


def test_messages_stay_short() -> None:
    """A long value is cut."""
    assert short("x" * 200) == "'" + "x" * 76 + "..."


def test_classes_are_checked_where_they_are_declared() -> None:
    """Any label without them; only those with them, by their JSON value."""
    ZeroOne().check_label({"any": "thing"})
    loss = ZeroOne(labels=["cat", 1, True])
    for label in ("cat", 1.0, True):
        loss.check_label(label)
    for label in ("1", False, None, "Cat"):
        with pytest.raises(InvalidInput, match="is none of the labels that the models declare"):
            loss.check_label(label)
    with pytest.raises(ConfigError, match="loss 'zero_one': labels = \\[\\] must be a list of the classes, each once"):
        ZeroOne(labels=[])
