"""Rows of numbers."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from skysail.errors import InvalidInput
from skysail.inputs import DTYPES, InputSpec
from skysail.worker.rows import DECODE_ERRORS, Decoded
from skysail.worker.tensors import TensorDecoder


def decode(declaration: str, *rows: Any, finite: bool = True) -> Decoded:
    """Rows decoded: bytes are sent raw, strings as JSON text, anything else as JSON."""
    sent = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    flags = bytes([isinstance(row, bytes) for row in rows])
    return TensorDecoder(InputSpec.parse(declaration, finite=finite)).decode(sent, flags)


def one(declaration: str, row: Any, *, finite: bool = True) -> NDArray[Any]:
    """A good row, with its batch axis."""
    ((rows, batch),), invalid = decode(declaration, row, finite=finite)
    assert list(rows) == [0], invalid
    return batch  # type: ignore[no-any-return]


def problem(declaration: str, row: Any, *, finite: bool = True) -> str:
    """What is wrong with a bad row."""
    groups, invalid = decode(declaration, row, finite=finite)
    assert not groups
    return invalid[0]


ODD = (None, True, 1.0, -0.0, 1.5, 256, -1, 2**63, 2**64, -(2**63), 10**30, 3.4028235e38, 1e39, 1e308, "1", "[", [])
ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(), st.lists, max_leaves=6)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)


@given(st.data(), st.sampled_from(list(DTYPES)), SHAPES, st.integers(1, 4))
def test_all_ways_to_send_a_row_are_one(data: st.DataObject, dtype: str, shape: tuple[int, ...], n: int) -> None:
    """Nested, flat and raw rows of any type and shape read as the array they came from, alone and together."""
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    array = data.draw(hnp.arrays(dtype, (n, *shape), elements=hnp.from_dtype(np.dtype(dtype), **elements)))
    declaration = f"{dtype}[{','.join(map(str, shape))}]"
    nested = [row.tolist() for row in array]
    flat = [row.ravel().tolist() for row in array] if shape else nested
    raw = [row.astype(row.dtype.newbyteorder("<")).tobytes() for row in array]
    for rows in (nested, flat, raw, [*nested, *raw], [*nested, *flat]):
        groups, invalid = decode(declaration, *rows)
        assert not invalid
        ((places, batch),) = groups
        assert list(places) == list(range(len(rows)))
        assert batch.dtype == dtype
        assert np.array_equal(batch, np.concatenate([array] * (len(rows) // n)))
        assert batch.flags.writeable


@pytest.mark.parametrize(
    ("declaration", "row", "shape"),
    [
        ("float32[*]", [1, 2, 3], (3,)),
        ("float32[*]", [], (0,)),
        ("float32[3,*]", [[1, 2], [3, 4], [5, 6]], (3, 2)),
        ("float32[3,*]", [1, 2, 3, 4, 5, 6], (3, 2)),
        ("float32[*,3]", [1, 2, 3], (1, 3)),
        ("float32[*,3]", [], (0, 3)),
        ("float32[3,*,2]", [[], [], []], (3, 0, 2)),
        ("float32[2,*]", [[], []], (2, 0)),
        ("float32[*,3]", bytes(24), (2, 3)),
        ("float32[*,*]", [[1, 2, 3]], (1, 3)),
        ("uint8[]", 7, ()),
        ("uint8[1]", [7], (1,)),
    ],
)
def test_any_length_is_found_out(declaration: str, row: Any, shape: tuple[int, ...]) -> None:
    """A `*` axis gets its length from nesting, or from the size of a flat or raw row."""
    assert one(declaration, row).shape == (1, *shape)


def test_rows_of_other_shapes_are_not_mixed() -> None:
    """Rows whose `*` axes have other lengths come in groups of their own, each in order."""
    groups, invalid = decode("int32[*]", [1], [1, 2], [3], bytes(8), [4, 4])
    assert [(list(rows), batch.tolist()) for rows, batch in groups] == [
        ([0, 2], [[1], [3]]),
        ([1, 3, 4], [[1, 2], [0, 0], [4, 4]]),
    ]
    assert not invalid


def test_numbers_pass_where_their_value_does() -> None:
    """Integers pass for floats, whole floats for integers, and null for NaN where that is allowed."""
    assert one("float32[2]", [1, 2]).tolist() == [[1.0, 2.0]]
    assert one("uint8[2]", "[1.0, 2e1]").tolist() == [[1, 20]]
    assert one("uint64[1]", [2**64 - 1]).tolist() == [[2**64 - 1]]
    assert np.array_equal(one("float32[2]", [None, 1], finite=False), [[np.nan, 1]], equal_nan=True)
    assert np.isnan(one("float64[]", "null", finite=False)).all()
    assert np.isinf(one("float32[1]", np.array([np.inf], "<f4").tobytes(), finite=False)).all()


@pytest.mark.parametrize(
    ("declaration", "row", "complaint"),
    [
        ("float32[3]", [1, 2], "its shape is [2]; send a list of 3 float32 numbers, or 12 little-endian bytes"),
        ("float32[3]", [[1, 2, 3]], "its shape is [1,3]"),
        ("float32[3]", "7", "it is not a list: 7"),
        ("float32[3]", {"a": 1}, 'it is not a list: {"a":1}'),
        ("float32[3]", [1, "two", 3], '[1] is not a number: "two"'),
        ("float32[3]", [1, True, 3], "[1] is not a number: true"),
        ("float32[3]", [1, None, 3], "[1] is not a number: null"),
        ("float32[3]", [1, [2], 3], "[1] is not a number: [2]"),
        ("float32[3]", "[1, 1e300, 3]", "[1] is out of the range of float32: 1e300"),
        ("float32[3]", "[1, 1e400, 3]", "Number out of range"),
        ("float64[1]", f"[{10**400}]", "[0] is out of the range of float64: 1000"),
        ("float32[3]", "[1, 2", "truncated"),
        (
            "float32[]",
            [1],
            "its shape is [1]; send a single one of float32 numbers, not in a list, or 4 little-endian bytes",
        ),
        ("float32[]", '"a"', 'it is not a number: "a"'),
        ("uint8[2]", [1.5, 2], "[0] is not a whole number: 1.5"),
        ("uint8[2]", [1, 256], "[1] is out of the range of uint8: 256"),
        ("uint8[2]", [1, -1], "[1] is out of the range of uint8: -1"),
        ("int64[1]", [2**63], "[0] is out of the range of int64: 9223372036854775808"),
        ("uint64[1]", [2**64], "[0] is out of the range of uint64: 18446744073709551616"),
        ("int64[1]", "[1e25]", "[0] is out of the range of int64: 1e25"),
        ("bool[2]", [1, 0], "[0] is not true or false: 1; send a list of 2 booleans, or 2 little-endian bytes"),
        ("uint8[2,2]", [[1, 2], [3]], "it is ragged: [1] is a list of 1 where the one before is a list of 2"),
        ("uint8[2,2]", [[1, 2], 3], "it is ragged: [1] is 3 where"),
        ("uint8[2,2]", [1, 2, 3], "its shape is [3]; send uint8 numbers in lists nested as [2,2], or in one list of 4"),
        ("uint8[2,2]", [[[1, 2], [3, 4]]], "its shape is [1,2,2]"),
        ("uint8[*,*]", [1, 2, 3], "its shape is [3]; send uint8 numbers in lists nested as [*,*]"),
        ("uint8[*,2]", [1, 2, 3], "its shape is [3]"),
        ("float32[2]", b"1234567", "it has 7 bytes where 8 are due"),
        ("float32[*,2]", b"123456789", "it has 9 bytes where a multiple of 8 are due"),
        ("float32[*,*]", b"12345678", "several * axes"),
        ("bool[2]", b"\0\2", "a byte is neither 0 nor 1"),
        ("float64[1]", np.array([np.nan]).tobytes(), "a NaN or an infinity"),
        ("float32[1]", np.array([np.inf], "<f4").tobytes(), "a NaN or an infinity"),
    ],
)
def test_bad_rows_are_told_what_is_wrong(declaration: str, row: Any, complaint: str) -> None:
    """A row that does not fit is refused with its place, its value, and what to send."""
    message = problem(declaration, row)
    assert message.startswith(f"input does not fit {declaration}: ")
    assert complaint in message


@pytest.mark.parametrize("row", ["[1e39, 1]", '["NaN", 1]', "[1]"])
def test_unbounded_is_not_unchecked(row: str) -> None:
    """`finite = false` lets NaN in, not overflow, text or another shape."""
    assert problem("float32[2]", row, finite=False)


def test_integers_have_no_null() -> None:
    """`finite = false` means nothing to integers."""
    assert "[0] is not a number: null" in problem("int32[1]", [None], finite=False)


def test_long_values_are_cut_in_messages() -> None:
    """A message holds the beginning of a value, not a megabyte of it."""
    assert len(problem("float32[1]", ["x" * 100_000])) < 200


@given(st.data(), st.sampled_from(list(DTYPES)), st.lists(st.sampled_from([1, 2, None]), max_size=3), st.booleans())
def test_a_row_is_the_same_whoever_reads_it(
    data: st.DataObject, dtype: str, shape: list[int | None], finite: bool
) -> None:
    """What is read at once is what the careful reading of each element gives, bit for bit; nothing else is."""
    spec = InputSpec("tensor", dtype, tuple(shape), finite)
    row = json.dumps(data.draw(near(spec))).encode()
    decoder = TensorDecoder(spec)
    try:
        careful = decoder._with_care(row, False)
    except InvalidInput:
        careful = None
    for company in (0, 1):
        try:
            quick = decoder._together([row] * (1 + company), bytes(1 + company))
        except DECODE_ERRORS:
            continue
        assert careful is not None, row
        assert (quick.dtype, quick.shape[1:]) == (careful.dtype, careful.shape[1:])
        assert quick.tobytes() == careful.tobytes() * (1 + company)


@st.composite
def near(draw: st.DrawFn, spec: InputSpec) -> Any:
    """A row of this declaration, or nearly."""
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    element: st.SearchStrategy[Any] = {"b": st.booleans(), "f": floats | st.integers(-9, 9)}.get(
        np.dtype(spec.dtype).kind, st.integers(0, 100)
    )
    if draw(st.booleans()):
        element = element | st.sampled_from(ODD)
    lengths = [draw(st.integers(0, 3)) if n is None else n for n in spec.shape]
    if draw(st.booleans()):
        lengths = [prod(lengths)]
    for n in reversed(lengths):
        element = st.lists(element, min_size=n, max_size=n if draw(st.integers(0, 9)) else None)
    return draw(element)


@given(
    st.sampled_from(["float32[2]", "uint8[2,2]", "bool[]", "int64[*]", "float64[*,2]"]),
    st.lists(ANYTHING, min_size=1, max_size=4),
)
def test_any_json_is_read_or_refused(declaration: str, rows: list[Any]) -> None:
    """Each row of anything is either in exactly one group or named as invalid, as it is alone."""
    texts = [json.dumps(row).replace("NaN", "null").replace("Infinity", "1e999") for row in rows]
    groups, invalid = decode(declaration, *texts)
    assert sorted([*(i for group in groups for i in group.rows), *invalid]) == list(range(len(rows)))
    for index, text in enumerate(texts):
        assert decode(declaration, text).invalid.get(0) == invalid.get(index)
