"""What one key's value must be."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.config.values import (
    Convert,
    boolean,
    declaration,
    duration,
    integer,
    json_text,
    labels,
    named,
    number,
    one_of,
    size,
    text,
    texts,
)
from skysail.errors import ConfigError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_value_is_kept(value: Any) -> None:
    """A default may be any JSON value, and its text says that very value."""
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (float("nan"), "no nan"),
        ([1, {"a": float("-inf")}], "no -inf"),
        (dt.date(2026, 1, 2), "no date; write it in quotes"),
        ([dt.time(1, 2)], "no time; write it in quotes"),
        (2**64, "at most 64 bits"),
        ({"a": {1: 2}}, "text in quotes"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_what_json_cannot_say_is_refused(value: Any, named: str) -> None:
    """Dates, infinities and huge integers are named, wherever in the value they are."""
    with pytest.raises(ValueError, match=named):
        json_text(value)


@pytest.mark.parametrize(
    ("convert", "good", "result"),
    [
        (boolean, False, False),
        (text, "x", "x"),
        (texts, ["a", "b"], ("a", "b")),
        (integer(1, 9), 9, 9),
        (number(0, 1), 1, 1.0),
        (duration("2ms"), "2ms", 0.002),
        (size("1B"), 1, 1),
        (one_of(["b", "a"]), "a", "a"),
        (declaration, "float32[ 2, * ]", "float32[2,*]"),
        (labels, ["a", 1, True, 0.5], ("a", 1, True, 0.5)),
        (named, "vote", ("vote", {})),
        (named, {"name": "exp3", "eta": 0.2}, ("exp3", {"eta": 0.2})),
    ],
)
def test_good_values_are_converted(convert: Convert, good: Any, result: Any) -> None:
    """Each reader takes what it should, and gives it in its resolved form."""
    found = convert(good)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("convert", "bad", "message"),
    [
        (boolean, "yes", "true or false"),
        (boolean, 1, "true or false"),
        (text, "  ", "text in quotes, and not empty"),
        (text, 3, "text in quotes"),
        (text, "a\0", "null character"),
        (texts, [], "not empty"),
        (texts, "a", "list of names"),
        (texts, ["a", 1], "names in quotes"),
        (texts, ["a", "b", "a"], "names 'a' twice; name each once"),
        (integer(1, 9), 10, "integer from 1 to 9"),
        (integer(1, 9), True, "integer from 1 to 9"),
        (integer(1, 9), 2.0, "integer from 1 to 9"),
        (number(0, 1), 1.5, "number from 0 to 1"),
        (number(0, 1), float("nan"), "number from 0 to 1"),
        (number(0, 1), False, "number from 0 to 1"),
        (duration("2ms"), "1999us", "at least 2ms"),
        (size("1B"), 0, "at least 1B"),
        (one_of(["onnx", "python"]), "onxn", "is unknown \\(did you mean 'onnx'\\?\\)"),
        (one_of(["onnx", "python"]), 1, "one of onnx, python"),
        (labels, [], "not empty"),
        (labels, [["a"]], "without lists or tables"),
        (labels, [float("inf")], "no inf"),
        (named, 3, "a name in quotes, or a table"),
        (named, {"eta": 1}, "table such as"),
        (named, {"name": ""}, "not empty"),
        (named, {"name": "x", "eta": float("inf")}, "no inf"),
    ],
)
def test_bad_values_are_told_what_they_must_be(convert: Convert, bad: Any, message: str) -> None:
    """Each refusal says what to write instead."""
    with pytest.raises(ValueError, match=message):
        convert(bad)


def test_a_bad_declaration_names_its_key() -> None:
    """The message about a declaration begins with the key, as `Section` expects of a ConfigError."""
    with pytest.raises(ConfigError, match=r"^input = 'flot32\[3\]'"):
        declaration("flot32[3]")
