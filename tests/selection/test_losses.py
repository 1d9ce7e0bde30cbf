import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ConfigError, InvalidInput
from skysail.selection.base import Loss
from skysail.selection.losses import Absolute, Squared, ZeroOne
from skysail.selection.scores import Log
from skysail.types import Output, same_json

LOSSES: list[Any] = [ZeroOne(), Absolute(range=(0, 10)), Squared(range=(0, 10)), Log()]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


def out(value: Any) -> Output:
    """A value as a model gives it."""
    return Output(msgspec.json.encode(value))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_is_a_loss(loss: Any) -> None:
    """Every loss of ours has the parts of the interface."""
    assert isinstance(loss, Loss)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@given(output=JSON, label=JSON)
def test_a_loss_is_in_range_or_refuses(loss: Any, output: Any, label: Any) -> None:
    """Whatever a model says, its loss is in [0, 1] or a ValueError, never anything else."""
    try:
        assert 0.0 <= loss.loss(output, label) <= 1.0
    except ValueError:
        assert loss.name != "zero_one"


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@given(values=st.lists(st.tuples(st.floats(0, 1), JSON), min_size=1, max_size=4))
def test_combining_gives_json_or_refuses(loss: Any, values: list[tuple[float, Any]]) -> None:
    """Outputs combine to one that is JSON and agrees with itself, or are a ValueError."""
    try:
        combined = loss.combine([(weight, out(value)) for weight, value in values])
    except ValueError:
        assert loss.name != "zero_one"
    else:
        assert loss.agree(combined.value, combined.value)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@given(label=JSON)
def test_a_label_that_passes_can_be_judged_by(loss: Any, label: Any) -> None:
    """A label is refused as invalid input, or some output has a loss of 0 by it."""
    right = {"log": {str(label): 1.0}}.get(loss.name, label)
    try:
        loss.check_label(label)
    except InvalidInput:
        return
    assert loss.loss(right, label) == 0.0


@given(JSON, JSON)
def test_zero_one_is_equality_of_json(a: Any, b: Any) -> None:
    """Loss 0 exactly where the two are equal as JSON."""
    assert ZeroOne().loss(a, b) == (0.0 if same_json(a, b) else 1.0)


def test_plurality_counts_equal_values_together() -> None:
    """1 and 1.0 are one label, true and "1" are others."""
    weighted = [(0.3, out(True)), (0.25, out(1)), (0.2, out("1")), (0.25, Output(b"1.0"))]
    assert ZeroOne().combine(weighted).raw == b"1"


def test_a_tie_goes_to_the_earliest_listed() -> None:
    """Equal weight behind two labels: the one that was listed first."""
    assert ZeroOne().combine([(0.2, out("b")), (0.4, out("a")), (0.2, out("b"))]).raw == b'"b"'
    assert ZeroOne().combine([(0.4, out("a")), (0.2, out("b")), (0.2, out("b"))]).raw == b'"a"'


@pytest.mark.parametrize(
    ("loss", "output", "expected"),
    [
        (Absolute(range=(0, 10)), 4, 0.1),
        (Absolute(range=(0, 10)), -90, 1.0),
        (Absolute(), 5, 0.0),
        (Squared(range=(0, 10)), 4, 0.01),
        (Squared(range=(0, 10)), 1e308, 1.0),
    ],
)
def test_distances_are_scaled_and_clipped(loss: Absolute, output: float, expected: float) -> None:
    """The distance to the label 5, over the width of the range, squared where the name says so, at most 1."""
    assert math.isclose(loss.loss(output, 5), expected)


def test_numbers_agree_within_the_tolerance() -> None:
    """A tenth of the range's width unless told otherwise."""
    assert Squared(range=(0, 10)).agree(1, 2)
    assert not Squared(range=(0, 10)).agree(1, 2.1)
    assert not Absolute(range=(0, 10), tolerance=0.5).agree(1, 2)
    assert Absolute(tolerance=0).agree(1, 1.0)


def test_a_mean_without_any_weight_is_the_plain_one() -> None:
    """Models without weight are still better than no answer."""
    assert Squared().combine([(0.0, out(1)), (0.0, out(2))]).value == 1.5


@pytest.mark.parametrize("output", ["7", True, None, [1], {}, 10**400])
def test_what_is_no_number_is_refused(output: Any) -> None:
    """A loss of numbers names what it cannot judge, judging and combining alike."""
    with pytest.raises(ValueError, match="is not a finite number"):
        Squared().loss(output, 1)
    with pytest.raises(ValueError, match="is not a finite number"):
        Squared().combine([(1.0, out(output))])


@pytest.mark.parametrize(("loss", "label"), [(Absolute(), "3"), (Squared(), None)])
def test_a_label_that_judges_nothing_is_invalid_input(loss: Loss, label: Any) -> None:
    """The message names the label and the loss."""
    with pytest.raises(InvalidInput, match=f"label .* cannot be judged: the loss '{loss.name}'"):
        loss.check_label(label)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Squared(range=(1, 1)), "must have its least number first"),
        (lambda: Squared(range=(-1e308, 1e308)), "must have its least number first"),
        (lambda: Squared(range=3), "two numbers"),
        (lambda: Absolute(range=("a", 1)), "range = 'a' must be a number"),
        (lambda: Absolute(tolerance=-1), "tolerance = -1 must be a number of at least 0"),
    ],
)
def test_parameters_are_checked(make: Any, message: str) -> None:
    """A parameter out of its range is a config error that says what it may be."""
    with pytest.raises(ConfigError, match=message):
        make()
