"""Rows of numbers, read at once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skysail.inputs import DTYPES
from skysail.worker import numbers
from skysail.worker.numbers import NumberReader

LOWEST = float(np.finfo(np.float64).min)
DIGITS = st.text("0123456789", min_size=1, max_size=25)
DECIMALS = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole.lstrip('0') or '0'}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.integers(-330, 300).map("e{}".format),
)
SMALL = st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, max_size=3), max_leaves=12)


def reader(dtype: str, *, null: bool = False) -> NumberReader:
    """A reader of this type."""
    return NumberReader(np.dtype(dtype), null=null)


@given(st.data(), st.sampled_from(list(DTYPES)), hnp.array_shapes(min_dims=1, max_dims=4, max_side=3))
def test_what_was_written_is_read(data: st.DataObject, dtype: str, shape: tuple[int, ...]) -> None:
    """Arrays of every type come back to the last bit, with room for the model to write."""
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    array = data.draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), **elements)))
    read = reader(dtype).read([json.dumps(row).encode() for row in array.tolist()])
    assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert read.flags.writeable


@given(st.lists(DECIMALS, min_size=1))
def test_numbers_are_rounded_as_python_rounds_them(texts: list[str]) -> None:
    """Any decimal is the nearest double, and then the nearest of the declared type, or is refused."""
    doubles = np.array([float(text) for text in texts])
    for dtype in ("float64", "float32"):
        with np.errstate(over="ignore"):
            expected = doubles.astype(dtype)
        try:
            read = reader(dtype).read([f"[{','.join(texts)}]".encode()])
        except OverflowError:
            assert np.isinf(expected).any()
        except ValueError:  # of more than 64 bits, or none that a double can hold
            assert any(abs(float(text)) >= 2**63 for text in texts)
        else:
            assert np.array_equal(read[0], expected)


@given(st.lists(SMALL, min_size=1, max_size=3))
def test_only_what_is_nowhere_ragged_has_a_shape(rows: list[Any]) -> None:
    """Lists of the same lengths everywhere are an array; no others are, wherever the odd one hides."""
    try:
        expected = np.array(rows, dtype=np.uint8)
    except ValueError:
        expected = None
    try:
        read = reader("uint8").read([json.dumps(row).encode() for row in rows])
    except ValueError:
        assert expected is None
    else:
        assert expected is not None
        assert np.array_equal(read, expected)


@pytest.mark.parametrize(
    "rows",
    [
        [b"[[],1]", b"[[1,2],3]"],  # as many numbers, in as many lists of two, as a good batch has
        [b"[[1],[2,3]]"],
        [b"[[[1]],[[2,3],[]]]"],
        [b"[1,2]", b"[[1,2]]"],
        [b"[1,[2]]"],
        [b"1", b"[1]"],
        [b"1,2"],
        [b"1", b"2,3"],
        [b"[1]", b"2],[3"],
        [b""],
        [b"[1,2"],
        [b'["1"]'],
        [b'["[1]"]'],
        [b'{"a":1}'],
        [b'[{"a":1}]'],
        [b"[true]"],
        [b"[null]"],
        [b"[" * 2_000 + b"]" * 2_000],
        [b"[\xff]"],
    ],
)
def test_other_rows_are_refused(rows: list[bytes]) -> None:
    """Whatever is not numbers in lists of the same lengths is a `ValueError`, and the next batch is read."""
    numbers_of = reader("uint8")
    try:
        numbers_of.read(rows)
    except ValueError:  # while its traceback refers to what was parsed
        assert numbers_of.read([b"[1]"]).tolist() == [[1]]
    else:
        pytest.fail("it was read")


@pytest.mark.parametrize(
    ("dtype", "row"),
    [
        ("int8", b"[128]"),
        ("uint8", b"[-1]"),
        ("uint32", b"[4294967296]"),
        ("uint64", b"[-1]"),
        ("uint64", b"[18446744073709551616]"),
        ("int64", b"[9223372036854775808]"),
        ("int32", b"[1.0]"),
        ("float32", b"[1e39]"),
        ("float32", b"[-3.4028236e38]"),
        ("float64", b"[1e309]"),
    ],
)
def test_what_a_type_cannot_hold_is_refused(dtype: str, row: bytes) -> None:
    """No number wraps around, is cut, or becomes an infinity."""
    with pytest.raises((ValueError, OverflowError)):
        reader(dtype).read([row])


@pytest.mark.parametrize(
    "row", [b"[1,true]", b"[0]", b'["true"]', b"[-true]", b"[true1]", b"[truefalse]", b"[null]", b'["1"]']
)
def test_booleans_are_words(row: bytes) -> None:
    """`true` and `false` are read; neither numbers nor strings pass for them."""
    flags = reader("bool")
    assert flags.read([b"[true,false]", b" [ false ,true] "]).tolist() == [[True, False], [False, True]]
    with pytest.raises((ValueError, OverflowError)):
        flags.read([row])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "row", [b"[nullnull]", b"[1null]", b"[null1]", b'["null"]', b"[-null]", b"[NaN]", b"[null,%a]" % LOWEST]
)
def test_null_is_nan_where_it_may_be(dtype: str, row: bytes) -> None:
    """Each `null` is a NaN, and what it is read as on the way is not mistaken for one."""
    floats = reader(dtype, null=True)
    assert np.array_equal(floats.read([b"[1,null]", b"[null,-2]"]), [[1, np.nan], [np.nan, -2]], equal_nan=True)
    with pytest.raises(ValueError, match=r"\w"):
        floats.read([row])
    assert reader("float64", null=True).read([b"[%a]" % LOWEST]).tolist() == [[LOWEST]]


def test_the_room_of_a_large_text_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that has grown is replaced, and what it read stays."""
    monkeypatch.setattr(numbers, "_LARGE", 100)
    floats = reader("float64")
    before = floats._parser
    small = floats.read([b"[1.5]"])
    assert floats._parser is before
    large = floats.read([b"[%b]" % b",".join([b"2.5"] * 100)])
    assert floats._parser is not before
    floats.read([b"[7]"])
    assert small.tolist() == [[1.5]]
    assert set(large.ravel()) == {2.5}
