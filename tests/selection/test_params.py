import pytest

from skysail.errors import ConfigError
from skysail.selection.params import number


@pytest.mark.parametrize("value", [0.5, 1, 1e-9])
def test_a_number_in_its_range_passes(value: float) -> None:
    """Integers and floats within the limits come back as floats."""
    assert number("policy 'x'", "eta", value, above=0.0, most=1.0) == value


@pytest.mark.parametrize("value", [0, -1, 1.1, True, "0.5", None, float("nan"), float("inf"), [0.5]])
def test_anything_else_is_refused_by_name(value: object) -> None:
    """The message names the owner, the key, the value and the limits."""
    with pytest.raises(ConfigError) as caught:
        number("policy 'x'", "eta", value, above=0.0, most=1.0)
    assert caught.value.message == f"policy 'x': eta = {value!r} must be a number above 0 and of at most 1"


def test_no_limits_no_words_about_them() -> None:
    """Without limits any finite number passes, and the message speaks of none."""
    assert number("loss 'x'", "range", -1e12) == -1e12
    with pytest.raises(ConfigError, match=r"must be a number$"):
        number("loss 'x'", "range", "wide")
