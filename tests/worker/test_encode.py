"""Outputs as JSON text."""

from __future__ import annotations

import enum
import json
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ModelError
from skysail.types import same_json
from skysail.worker.encode import as_outputs, encode_outputs

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FLOATS | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=8
)


@given(st.lists(VALUES, max_size=6))
def test_any_json_values_survive(values: list[Any]) -> None:
    """Python values come out as JSON text that reads as the same."""
    texts, problems = encode_outputs(as_outputs(values, len(values)))
    assert not problems
    assert same_json([json.loads(text) for text in texts], values)


@given(st.lists(SCALARS, max_size=6))
def test_scalars_are_encoded_alike_alone_and_together(values: list[Any]) -> None:
    """The fast way for plain values and the careful way say the same."""
    fast = encode_outputs(values).texts
    assert list(fast) == list(encode_outputs([*values, {"careful": 1}]).texts[:-1])


class Colour(str, enum.Enum):  # noqa: UP042 - the older way to write it is the one in question
    RED = "red"


@pytest.mark.parametrize(
    ("outputs", "texts"),
    [
        (np.array([1, 2], dtype=np.uint8), [b"1", b"2"]),
        (np.array([0.5, -0.0]), [b"0.5", b"-0.0"]),
        (np.array([[0.5, 1], [2, 3]], dtype=np.float32), [b"[0.5,1.0]", b"[2.0,3.0]"]),
        (np.array([True, False]), [b"true", b"false"]),
        (np.array(["a\n", "é"]), [b'"a\\n"', '"é"'.encode()]),
        (np.array([1, "a", None], dtype=object), [b"1", b'"a"', b"null"]),
        (np.zeros(0), []),
        ((1, 2), [b"1", b"2"]),
        (array("d", [1.5]), [b"1.5"]),
        (
            [np.int64(3), np.float32(0.5), np.bool_(True), np.str_("s"), np.array([1, 2])],
            [b"3", b"0.5", b"true", b'"s"', b"[1,2]"],
        ),
        ([Colour.RED, {Colour.RED: enum.IntEnum("N", "one")(1)}], [b'"red"', b'{"red":1}']),
        ([2**70], [str(2**70).encode()]),
    ],
)
def test_what_models_return(outputs: Any, texts: list[bytes]) -> None:
    """Arrays, scalars and containers of NumPy and Python are encoded row by row."""
    encoded = encode_outputs(as_outputs(outputs, len(texts)))
    assert list(encoded.texts) == texts
    assert not encoded.problems


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (float("nan"), "holds nan, which JSON cannot say"),
        (np.float32("inf"), "inf"),
        ([1.0, [float("-inf")]], "-inf"),
        ({"p": np.array([0.5, np.nan])}, "nan"),
        (b"bytes", "a bytes; return numbers, strings"),
        ({1, 2}, "a set"),
        (1j, "a complex"),
        (object(), "a object"),
        ({1: 2}, "the key 1; make its keys strings"),
        ("\ud800", "surrogates not allowed"),
        (LOOP, "recursion"),
        (np.datetime64("2024-01-01"), "datetime64"),
    ],
)
def test_an_output_that_is_no_json_fails_alone(output: Any, complaint: str) -> None:
    """The row's problem is named, and the others are encoded."""
    texts, problems = encode_outputs(as_outputs([1, output, "a"], 3))
    assert list(texts) == [b"1", b"", b'"a"']
    assert list(problems) == [1]
    assert problems[1].startswith("the output cannot be sent: ")
    assert complaint in problems[1]


def test_nan_in_an_array_fails_alone() -> None:
    """One NaN row of an array does not take the others with it."""
    texts, problems = encode_outputs(np.array([[1.0, 2.0], [np.nan, 1.0]]))
    assert list(texts) == [b"[1.0,2.0]", b""]
    assert list(problems) == [1]


@pytest.mark.parametrize(
    ("answered", "complaint"),
    [
        ([1], "answered 1 outputs for 2 rows"),
        (np.zeros(3), "answered 3 outputs for 2 rows"),
        (None, "answered a NoneType; return a list or an array"),
        ("ab", "answered a str"),
        (b"ab", "answered a bytes"),
        ({0: 1, 1: 2}, "answered a dict"),
        ((x for x in "ab"), "answered a generator"),
        (7, "answered a int"),
        (np.float64(7), "answered a float"),
        (np.array(7), "answered a ndarray"),
        (np.array(["2024-01-01"] * 2, dtype="M8[ns]"), "an array of datetime64"),
    ],
)
def test_what_is_not_one_output_for_each_row(answered: Any, complaint: str) -> None:
    """An answer of another length, or of no order, is a model's error with the remedy."""
    with pytest.raises(ModelError, match=complaint):
        as_outputs(answered, 2)
