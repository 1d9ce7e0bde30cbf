"""The suite of codecs finds what it is for."""

from __future__ import annotations

from random import Random

import pytest

from skysail.errors import ProtocolError
from skysail.inputs import InputSpec
from skysail.testing.codecs import check_codec, check_decoder
from skysail.wire.messages import Batch, Message
from skysail.wire.protocol import Protocol, State
from skysail.worker.rows import Decoded
from skysail.worker.tensors import TensorDecoder

MESSAGES: list[Message] = [Batch(1, [b"[1]", b"[2]"], b"\0\0")]


class Forgetful(Protocol):
    """Drops the message it has read last."""

    def events(self) -> list[Message]:
        return super().events()[:-1]


class Patient(Protocol):
    """Takes the end of the stream for clean anywhere."""

    def receive_eof(self) -> None:
        self._partial, self._held = [], 0
        super().receive_eof()


class Greedy(Protocol):
    """Has no limit."""

    def __init__(self, state: State, *, limit: int) -> None:
        super().__init__(state)


class Fragile(Protocol):
    """Raises what it likes."""

    def receive_data(self, data: bytes) -> None:
        try:
            super().receive_data(data)
        except ProtocolError as error:
            raise ValueError(str(error)) from error


def test_a_good_one_passes(rng: Random) -> None:
    """The protocol itself passes."""
    check_codec(lambda limit: Protocol(State.BATCHES, limit=limit), MESSAGES, rng)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [(Forgetful, "the stream reads as"), (Patient, "was not refused"), (Greedy, "was not refused")],
)
def test_broken_ones_do_not(broken: type[Protocol], complaint: str, rng: Random) -> None:
    """Each law has a protocol that breaks it and is told so."""
    with pytest.raises(AssertionError, match=complaint):
        check_codec(lambda limit: broken(State.BATCHES, limit=limit), MESSAGES, rng)


def test_foreign_errors_are_found(rng: Random) -> None:
    """An error of another type comes out of the suite as it is."""
    with pytest.raises(ValueError, match="the stream ends 1 bytes into a frame"):
        check_codec(lambda limit: Fragile(State.BATCHES, limit=limit), MESSAGES, rng)


class Careless(TensorDecoder):
    """Takes what it cannot read for zeros."""

    def decode(self, rows: list[bytes], binary: bytes) -> Decoded:  # type: ignore[override]
        decoded = super().decode(rows, binary)
        return Decoded(decoded.groups, {})


def test_a_decoder_must_name_bad_rows() -> None:
    """A decoder that lets a bad row vanish is found, and one that reads well passes."""
    spec = InputSpec.parse("float32[2]")
    check_decoder(TensorDecoder(spec), [b"[1,2]", b"[3,4]"], b"\0\0", [b"[1]"])
    with pytest.raises(AssertionError, match="was not refused"):
        check_decoder(Careless(spec), [b"[1,2]", b"[3,4]"], b"\0\0", [b"[1]"])
    with pytest.raises(AssertionError, match="good rows were refused"):
        check_decoder(TensorDecoder(spec), [b"[1,2]", b"[3]"], b"\0\0", [])
