"""The laws of what turns bytes into values: the wire protocol, and the decoders of rows. Needs no test framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import numpy as np

from skysail.errors import ProtocolError
from skysail.wire.messages import HEADER, Message, encode
from skysail.wire.protocol import Protocol, State
from skysail.worker.rows import RowDecoder

__all__ = [
    "a_frame_over_the_limit_is_refused_by_its_head",
    "any_split_gives_the_same_messages",
    "check_codec",
    "check_decoder",
    "other_bytes_give_nothing_but_protocol_errors",
    "the_end_is_clean_only_between_frames",
]


def check_codec(make: Callable[[int], Protocol], messages: Sequence[Message], rng: Random) -> None:
    """Check the laws of a reading end on messages it may receive in this order.

    `make` gives a fresh reading end with a limit on the payload. The first broken law raises `AssertionError`.
    """
    stream = b"".join(b"".join(encode(message)) for message in messages)
    ends = _ends(messages)
    any_split_gives_the_same_messages(make, stream, messages, rng)
    the_end_is_clean_only_between_frames(make, stream, ends)
    a_frame_over_the_limit_is_refused_by_its_head(make, messages)
    other_bytes_give_nothing_but_protocol_errors(make, stream, rng)


def any_split_gives_the_same_messages(
    make: Callable[[int], Protocol], stream: bytes, messages: Sequence[Message], rng: Random
) -> None:
    """Whole, byte by byte, in two pieces at every place, and in random pieces."""
    size = len(stream)
    every = [[cut] for cut in range(1, size)] if size <= 2_000 else []
    several = [sorted(rng.sample(range(1, size), min(size - 1, rng.randrange(1, 9)))) for _ in range(20)]
    for cuts in [[], list(range(1, size)), *every, *several]:
        protocol = make(size)
        received: list[Message] = []
        for a, b in zip([0, *cuts], [*cuts, size], strict=True):
            protocol.receive_data(stream[a:b])
            received += protocol.events()
        assert received == list(messages), f"cut at {cuts[:5]}… the stream reads as {received}"


def the_end_is_clean_only_between_frames(make: Callable[[int], Protocol], stream: bytes, ends: Iterable[int]) -> None:
    """At every offset: closed where a frame has just ended, else a `ProtocolError`, then and at every later call."""
    clean = set(ends)
    for offset in range(len(stream) + 1):
        protocol = make(len(stream))
        protocol.receive_data(stream[:offset])
        if offset in clean:
            protocol.receive_eof()
            assert protocol.state is State.CLOSED, f"after {offset} bytes the end leaves it {protocol.state}"
        else:
            _refused(protocol.receive_eof)
            _refused(protocol.receive_eof)
            _refused(protocol.receive_data, b"more")


def a_frame_over_the_limit_is_refused_by_its_head(make: Callable[[int], Protocol], messages: Sequence[Message]) -> None:
    """Five bytes are enough to refuse it; a frame of exactly the limit is read."""
    first = b"".join(encode(messages[0]))
    payload = len(first) - HEADER.size
    _refused(make(payload - 1).receive_data, first[: HEADER.size])
    exact = make(payload)
    exact.receive_data(first)
    assert exact.events() == [messages[0]], "a frame of exactly the limit was not read"


def other_bytes_give_nothing_but_protocol_errors(make: Callable[[int], Protocol], stream: bytes, rng: Random) -> None:
    """Random bytes, and the stream with some of its bytes changed, raise nothing else."""
    for _ in range(300):
        data = bytearray(stream) if rng.random() < 0.8 else bytearray(rng.randbytes(rng.randrange(1, 80)))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(min(len(data), 60))] = rng.randrange(256)
        protocol = make(1 << 20)
        try:
            protocol.receive_data(bytes(data))
            protocol.receive_eof()
        except ProtocolError:
            assert protocol.state is State.FAILED, f"a violation left it {protocol.state}"


def check_decoder(decoder: RowDecoder, rows: Sequence[bytes], binary: bytes, bad: Sequence[bytes]) -> None:
    """Check the laws of a row decoder on good rows of any kind, and on JSON rows that do not fit."""
    together = _values(decoder, rows, binary)
    assert len(together) == len(rows), f"{len(rows) - len(together)} good rows were refused"
    for index, row in enumerate(rows):
        alone = _values(decoder, [row], binary[index : index + 1])
        assert _equal(alone[0], together[index]), (
            f"row {index} reads as {alone[0]!r} alone, as {together[index]!r} with others"
        )
    for row in bad:
        decoded = decoder.decode([*rows, row], binary + b"\0")
        assert list(decoded.invalid) == [len(rows)], f"{row[:40]!r} was not refused, or not alone: {decoded.invalid}"
        assert str(decoder.spec) in decoded.invalid[len(rows)], "the message does not name the declaration"


def _values(decoder: RowDecoder, rows: Sequence[bytes], binary: bytes) -> dict[int, Any]:
    groups = decoder.decode(rows, binary).groups
    return {index: value for group in groups for index, value in zip(group.rows, group.batch, strict=True)}


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b)


def _ends(messages: Sequence[Message]) -> list[int]:
    """The offsets in a stream of messages at which no frame is under way."""
    ends = [0]
    for message in messages:
        ends.append(ends[-1] + sum(map(len, encode(message))))
    return ends


def _refused(call: Callable[..., None], *data: bytes) -> None:
    try:
        call(*data)
    except ProtocolError:
        return
    raise AssertionError("a violation was not refused")
