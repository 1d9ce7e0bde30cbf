"""Messages and their bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ProtocolError
from skysail.wire.messages import (
    BATCH,
    HEADER,
    HELLO,
    PROTOCOL,
    RESULT,
    Batch,
    Hello,
    Message,
    Result,
    decode,
    encode,
)

HELLO_MESSAGE = Hello(PROTOCOL, "svm", 3, "svm@3/0", 4711, "float32[64]", True, ("a", 1, None))
IDS = st.integers(0, 2**64 - 1)
ROWS = st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 2)), max_size=12)
SECONDS = st.floats(0, 1e6)


def frame(message: Message) -> tuple[int, bytes]:
    """A message's kind and payload, as sent."""
    data = b"".join(encode(message))
    length, kind = HEADER.unpack_from(data)
    assert length == len(data) - HEADER.size
    return kind, data[HEADER.size :]


@given(IDS, ROWS)
def test_batches_survive_the_way(id: int, rows: list[tuple[bytes, int]]) -> None:
    """A batch is read as it was written, whatever its rows."""
    batch = Batch(id, [row for row, _ in rows], bytes([flag > 0 for _, flag in rows]))
    kind, payload = frame(batch)
    assert kind == BATCH
    assert decode(kind, payload, 0, len(payload)) == batch


@given(IDS, ROWS, SECONDS, SECONDS, st.text())
def test_results_survive_the_way(
    id: int, rows: list[tuple[bytes, int]], decode_s: float, predict_s: float, trace: str
) -> None:
    """A result is read as it was written, whatever its texts."""
    result = Result(id, bytes([status for _, status in rows]), [text for text, _ in rows], decode_s, predict_s, trace)
    kind, payload = frame(result)
    assert kind == RESULT
    assert decode(kind, payload, 0, len(payload)) == result


def test_hello_survives_the_way() -> None:
    """A greeting is read as it was written, labels of any type included."""
    kind, payload = frame(HELLO_MESSAGE)
    assert kind == HELLO
    assert decode(kind, payload, 0, len(payload)) == HELLO_MESSAGE


def test_a_payload_is_read_where_it_lies() -> None:
    """A payload in the midst of other bytes is read without them."""
    kind, payload = frame(Batch(1, [b"[1]"], b"\0"))
    assert decode(kind, b"before" + payload + b"after", 6, 6 + len(payload)) == Batch(1, [b"[1]"], b"\0")


def test_a_traceback_may_hold_anything() -> None:
    """A traceback that is no Unicode text (half of a surrogate pair) is sent escaped."""
    kind, payload = frame(Result(1, b"", [], 0.0, 0.0, "\ud800"))
    read = decode(kind, payload, 0, len(payload))
    assert isinstance(read, Result)
    assert read.traceback == "\\ud800"


def test_rows_are_not_copied_to_be_sent() -> None:
    """The buffers of a frame are the rows themselves."""
    row = b"x" * 100
    assert any(buffer is row for buffer in encode(Batch(1, [row], b"\1")))


def test_oversized_messages_are_not_sent() -> None:
    """A message over the limit is refused where it is made, with its size and the remedy."""
    with pytest.raises(ProtocolError, match=r"a Batch of 1017 bytes is over the limit of 1000; send fewer"):
        encode(Batch(1, [bytes(1000)], b"\0"), 1000)


@pytest.mark.parametrize("message", [Batch(1, [b"1"], b""), Result(1, b"\0\0", [b"1"], 0.0, 0.0, "")])
def test_each_row_has_its_byte(message: Message) -> None:
    """Flags that do not go with the rows are a mistake of the caller."""
    with pytest.raises(ValueError, match="give one for each row"):
        encode(message)


def result(statuses: bytes = b"\0", seconds: float = 0.0, traced: int = 0, trace: bytes = b"") -> bytes:
    """A result's payload of one row, by hand."""
    return struct.pack("<QIddI", 1, 1, seconds, 0.0, traced) + statuses + struct.pack("<I", 1) + b"7" + trace


@pytest.mark.parametrize(
    ("kind", "payload", "complaint"),
    [
        (HELLO, b"{}", "a Hello cannot be read"),
        (HELLO, b"[" * 5_000, "a Hello cannot be read"),
        (HELLO, b'{"protocol"', "a Hello cannot be read"),
        (BATCH, b"", "too short"),
        (BATCH, struct.pack("<QI", 1, 4_000_000_000), "announces 4000000000 rows"),
        (BATCH, struct.pack("<QI", 1, 1) + b"\0" + struct.pack("<I", 9), "add up to 9 bytes where 0 are left"),
        (BATCH, struct.pack("<QI", 1, 0) + b"x", "add up to 0 bytes where 1 are left"),
        (BATCH, struct.pack("<QI", 1, 1) + b"\2" + struct.pack("<I", 0), "neither 0 nor 1"),
        (RESULT, b"", "too short"),
        (RESULT, result(statuses=b"\3"), "none of"),
        (RESULT, result(seconds=float("nan")), "not durations"),
        (RESULT, result(seconds=-1.0), "not durations"),
        (RESULT, result(traced=99), "a traceback of 99 bytes"),
        (RESULT, result(traced=1, trace=b"\xff"), "not UTF-8"),
    ],
)
def test_contradictions_are_refused(kind: int, payload: bytes, complaint: str) -> None:
    """A payload that contradicts itself is a `ProtocolError` that says how, before anything it claims is allocated."""
    with pytest.raises(ProtocolError, match=complaint):
        decode(kind, payload, 0, len(payload))


def test_another_protocol_is_refused_with_the_remedy() -> None:
    """A worker of another protocol, from a model's own environment, is told apart by name."""
    payload = frame(Hello(99, "svm", 3, "svm@3/0", 1, "json", True))[1]
    with pytest.raises(ProtocolError, match=r"worker svm@3/0 speaks protocol 99.*install the same version"):
        decode(HELLO, payload, 0, len(payload))
