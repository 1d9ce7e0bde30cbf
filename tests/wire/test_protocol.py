"""The protocol's state machine: the same messages however the bytes are cut, and nothing but typed errors."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ProtocolError
from skysail.testing.codecs import check_codec
from skysail.wire.messages import BATCH, HEADER, HELLO, PROTOCOL, RESULT, Batch, Hello, Message, Result, encode
from skysail.wire.protocol import EOF, TRANSITIONS, Protocol, State

BATCHES: list[Message] = [
    Batch(1, [b"[1,2]", b"", b"\0\0\x80\x3f"], b"\0\0\1"),
    Batch(2, [], b""),
    Batch(2**64 - 1, [b"7"], b"\0"),
]
ANSWERS: list[Message] = [
    Hello(PROTOCOL, "svm", 1, "svm@1/0", 42, "json", True),
    Result(1, b"\0\1\2", [b"7", b"too short", b"ValueError: x"], 0.001, 0.002, "Traceback…"),
    Result(2, b"", [], 0.0, 0.0, ""),
]


def stream(messages: list[Message]) -> bytes:
    """Messages as they are on the wire."""
    return b"".join(b"".join(encode(message)) for message in messages)


@pytest.mark.parametrize(("start", "messages"), [(State.BATCHES, BATCHES), (State.GREETING, ANSWERS)])
def test_it_keeps_the_laws_of_a_codec(start: State, messages: list[Message], rng: Random) -> None:
    """Both ends' readings pass the suite: every split, every end, the limit, and foreign bytes."""
    check_codec(lambda limit: Protocol(start, limit=limit), messages, rng)


@given(st.lists(st.integers(0, len(stream(ANSWERS))), max_size=20).map(sorted))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    """Any cuts of a stream give the same messages."""
    data = stream(ANSWERS)
    protocol = Protocol(State.GREETING)
    events: list[Message] = []
    for a, b in pairwise([0, *cuts, len(data)]):
        protocol.receive_data(data[a:b])
        events += protocol.events()
    assert events == ANSWERS


@given(st.lists(st.binary(max_size=64), max_size=8), st.sampled_from([State.GREETING, State.RESULTS, State.BATCHES]))
def test_noise_is_a_protocol_error_or_nothing(pieces: list[bytes], start: State) -> None:
    """Random bytes raise nothing but `ProtocolError`, and after it only that."""
    protocol = Protocol(start, limit=1_000)
    for piece in pieces:
        failed = protocol.state is State.FAILED
        try:
            protocol.receive_data(piece)
        except ProtocolError:
            assert protocol.state is State.FAILED
        else:
            assert not failed


@given(st.integers(BATCH, RESULT), st.binary(max_size=64))
def test_any_payload_is_read_or_refused(kind: int, payload: bytes) -> None:
    """A well-formed head before a random payload raises nothing but `ProtocolError`."""
    protocol = Protocol(State.RESULTS if kind == RESULT else State.BATCHES)
    try:
        protocol.receive_data(HEADER.pack(len(payload), kind) + payload)
    except ProtocolError:
        assert not protocol.events()


@pytest.mark.parametrize("state", list(State))
def test_only_what_the_table_allows_comes_through(state: State) -> None:
    """In each state, each kind of frame is read if the table has it, and refused by its head if not."""
    messages = {HELLO: ANSWERS[0], BATCH: BATCHES[0], RESULT: ANSWERS[1]}
    for kind, message in messages.items():
        protocol = Protocol(state)
        data = stream([message])
        if kind in TRANSITIONS[state]:
            protocol.receive_data(data)
            assert protocol.state is TRANSITIONS[state][kind]
        else:
            with pytest.raises(ProtocolError):
                protocol.receive_data(data[: HEADER.size])
            assert protocol.state is State.FAILED


@pytest.mark.parametrize("state", [state for state in State if EOF in TRANSITIONS[state]])
def test_an_end_between_frames_is_clean(state: State) -> None:
    """A peer may go at any time but in the midst of a frame; being told twice is harmless."""
    protocol = Protocol(state)
    protocol.receive_eof()
    protocol.receive_eof()
    assert protocol.state is State.CLOSED


def test_nothing_comes_after_the_end() -> None:
    """Bytes after the end of the stream are a violation; none are not."""
    protocol = Protocol(State.BATCHES)
    protocol.receive_eof()
    protocol.receive_data(b"")
    with pytest.raises(ProtocolError, match="1 bytes came after the end"):
        protocol.receive_data(b"x")


def test_what_was_whole_before_a_violation_stays() -> None:
    """Messages before the violation are delivered; the violation is raised again at every call."""
    protocol = Protocol(State.BATCHES)
    with pytest.raises(ProtocolError, match="a frame of kind 9 came where a Batch was expected"):
        protocol.receive_data(stream(BATCHES) + HEADER.pack(0, 9) + stream(BATCHES))
    assert protocol.events() == BATCHES
    for call in (protocol.receive_eof, lambda: protocol.receive_data(b"")):
        with pytest.raises(ProtocolError, match="kind 9"):
            call()


def test_a_large_frame_in_small_pieces_is_cheap() -> None:
    """A frame of many pieces is put together once: nothing is read before the last piece, and each costs the same."""
    data = stream([Batch(1, [bytes(1 << 20)], b"\1")])
    protocol = Protocol(State.BATCHES)
    for start in range(0, len(data), 64):
        assert not protocol.events()
        protocol.receive_data(data[start : start + 64])
    (batch,) = protocol.events()
    assert isinstance(batch, Batch)
    assert batch.rows == [bytes(1 << 20)]
