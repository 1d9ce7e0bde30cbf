from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ConfigError
from skysail.inputs import DTYPES, InputSpec


@given(st.sampled_from(sorted(DTYPES)), st.lists(st.none() | st.integers(1, 999), max_size=4), st.booleans())
def test_a_declaration_round_trips(dtype: str, shape: list[int | None], finite: bool) -> None:
    """What is written is what is read."""
    spec = InputSpec("tensor", dtype, tuple(shape), finite)
    assert InputSpec.parse(str(spec), finite=finite) == spec


@pytest.mark.parametrize("text", ["json", "string", "bytes"])
def test_opaque_kinds_have_no_shape(text: str) -> None:
    """The three that are not tensors."""
    assert str(InputSpec.parse(f" {text} ")) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jsn", "did you mean 'json'"),
        ("float32", "dtype[shape]"),
        ("float33[4]", "did you mean 'float32'"),
        ("float32[0]", "at least 1"),
        ("float32[3,]", "at least 1 or *"),
        ("float32[-1]", "dtype[shape]"),
        ("", "dtype[shape]"),
    ],
)
def test_what_is_no_declaration_is_refused(text: str, said: str) -> None:
    """The message names what was given, and what would be understood."""
    with pytest.raises(ConfigError) as caught:
        InputSpec.parse(text)
    assert repr(text) in caught.value.message
    assert said in caught.value.message
