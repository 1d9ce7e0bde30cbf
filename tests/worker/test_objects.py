"""Rows of JSON, of strings and of bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.inputs import InputSpec
from skysail.worker.objects import ObjectDecoder

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def decode(kind: str, rows: list[bytes], binary: bytes | None = None) -> tuple[dict[int, Any], dict[int, str]]:
    """What was read by place, and what was refused."""
    groups, invalid = ObjectDecoder(InputSpec.parse(kind)).decode(rows, binary or bytes(len(rows)))
    return {i: value for group in groups for i, value in zip(group.rows, group.batch, strict=True)}, invalid


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_json_is_read_as_it_is_meant(values: list[Any]) -> None:
    """Any JSON values come out as Python has them, in order."""
    read, invalid = decode("json", [json.dumps(value).encode() for value in values])
    assert list(read.values()) == values
    assert not invalid


@given(st.lists(st.tuples(st.text(), st.booleans()), min_size=1, max_size=6))
def test_strings_come_as_json_or_as_raw_text(texts: list[tuple[str, bool]]) -> None:
    """A JSON string and the same text sent raw are one row."""
    rows = [text.encode() if raw else json.dumps(text).encode() for text, raw in texts]
    read, invalid = decode("string", rows, bytes([raw for _, raw in texts]))
    assert list(read.values()) == [text for text, _ in texts]
    assert not invalid


def test_bytes_come_as_base64_or_raw() -> None:
    """Base64 in JSON and raw bytes are one row."""
    assert decode("bytes", [b'"aGk="', b"hi", b"\xff\0"], b"\0\1\1")[0] == {0: b"hi", 1: b"hi", 2: b"\xff\0"}


@pytest.mark.parametrize(
    ("kind", "row", "binary", "complaint"),
    [
        ("json", b"1e400", False, "Number out of range; send any JSON value"),
        ("json", b"{", True, "truncated"),
        ("json", b"1,2", True, "trailing"),
        ("json", b"[" * 3_000 + b"]" * 3_000, False, "it is nested too deeply"),
        ("string", b"7", False, "got `int`; send a JSON string"),
        ("string", b"\xff", True, "can't decode byte 0xff"),
        ("bytes", b'"a"', False, "Invalid base64 encoded string; send a JSON string of base64"),
        ("bytes", b'"a b="', False, "Invalid base64"),
    ],
)
def test_a_bad_row_is_refused_alone(kind: str, row: bytes, binary: bool, complaint: str) -> None:
    """What is no such value is named, and a good row beside it read."""
    good = {"json": b"7", "string": b'"a"', "bytes": b'"aGk="'}[kind]
    read, invalid = decode(kind, [good, row, good], bytes([False, binary, False]))
    assert list(read) == [0, 2]
    assert invalid[1].startswith(f"input does not fit {kind}: ")
    assert complaint in invalid[1]
