"""What a frontend and a worker say to each other, and its bytes.

A frame is a payload's length (u32), its kind (u8) and the payload; all numbers are little-endian.

| kind | message | direction | payload |
|---|---|---|---|
| 1 | `Hello` | worker → frontend, once, first | a JSON object |
| 2 | `Batch` | frontend → worker | id u64 · n u32 · binary u8[n] · sizes u32[n] · rows |
| 3 | `Result` | worker → frontend, for each batch | id u64 · n u32 · decode_s f64 · predict_s f64 · trace size u32 · \
statuses u8[n] · sizes u32[n] · payloads · trace |

A message is encoded as a list of buffers, so that a transport can write rows where they lie, and decoded in a fixed
number of calls whatever its number of rows, but for one slice of each row.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import msgspec

from skysail.errors import ProtocolError

__all__ = [
    "BATCH",
    "HEADER",
    "HELLO",
    "INVALID_INPUT",
    "MAX_FRAME",
    "MODEL_ERROR",
    "OUTPUT",
    "PROTOCOL",
    "RESULT",
    "Batch",
    "Hello",
    "Message",
    "Result",
    "decode",
    "encode",
]

PROTOCOL = 1
"""The version of this protocol; both ends must speak the same."""

MAX_FRAME = 256 << 20
"""The largest payload that is sent or accepted unless told otherwise, in bytes."""

HEADER = struct.Struct("<IB")
"""What every frame begins with: the payload's length and its kind."""

HELLO, BATCH, RESULT = 1, 2, 3

OUTPUT, INVALID_INPUT, MODEL_ERROR = 0, 1, 2
"""A row's status: its payload is JSON text, or a message about the row, or a message about the model."""

_BATCH = struct.Struct("<QI")
_RESULT = struct.Struct("<QIddI")
_FLAGS = b"\0\1"
_STATUSES = bytes([OUTPUT, INVALID_INPUT, MODEL_ERROR])


class Hello(msgspec.Struct, frozen=True):
    """A worker introduces itself: what it serves, and the process to kill if it hangs.

    `replica` is `model@version/index`; `input` is the declaration that holds, the artifact's own where none was
    configured.
    """

    protocol: int
    model: str
    version: int
    replica: str
    pid: int
    input: str
    finite: bool
    labels: tuple[Any, ...] | None = None


class Batch(NamedTuple):
    """Rows to predict, each exactly as the client sent it; `binary` has a byte for each, 1 where it is raw values."""

    id: int
    rows: Sequence[bytes]
    binary: bytes


class Result(NamedTuple):
    """What became of each row of the batch with this id, in the same order.

    `statuses` has a byte for each row, and `payloads` the text that goes with it. `decode_s` and `predict_s` are the
    seconds the worker spent on reading the rows and on predicting. `traceback` is that of the model's last exception,
    or empty.
    """

    id: int
    statuses: bytes
    payloads: Sequence[bytes]
    decode_s: float
    predict_s: float
    traceback: str


Message = Hello | Batch | Result
"""Anything that travels between a frontend and a worker."""


def encode(message: Message, limit: int = MAX_FRAME) -> list[bytes]:
    """The frame of a message, as buffers to be written in order.

    A message over the limit raises `ProtocolError`: the other end would refuse it and hang up.
    """
    if isinstance(message, Batch):
        kind, buffers, length = BATCH, *_batch_buffers(message)
    elif isinstance(message, Result):
        kind, buffers, length = RESULT, *_result_buffers(message)
    else:
        text = msgspec.json.encode(message)
        kind, buffers, length = HELLO, [text], len(text)
    if length > limit:
        name = type(message).__name__
        raise ProtocolError(
            f"a {name} of {length} bytes is over the limit of {limit}; send fewer or smaller rows at once"
        )
    buffers[0] = HEADER.pack(length, kind) + buffers[0]
    return buffers


def decode(kind: int, data: bytes, start: int, end: int) -> Message:
    """The message whose payload is `data[start:end]`; a payload that contradicts itself raises `ProtocolError`."""
    if kind == BATCH:
        return _decode_batch(data, start, end)
    if kind == RESULT:
        return _decode_result(data, start, end)
    return _decode_hello(data[start:end])


def _batch_buffers(batch: Batch) -> tuple[list[bytes], int]:
    """A batch's payload, and its length."""
    sizes = list(map(len, batch.rows))
    n = len(sizes)
    _same_length("binary", len(batch.binary), n)
    head = struct.pack(f"<QI{n}s{n}I", batch.id, n, batch.binary, *sizes)
    return [head, *batch.rows], len(head) + sum(sizes)


def _result_buffers(result: Result) -> tuple[list[bytes], int]:
    """A result's payload, and its length."""
    sizes = list(map(len, result.payloads))
    n = len(sizes)
    _same_length("statuses", len(result.statuses), n)
    trace = result.traceback.encode(errors="backslashreplace")
    head = struct.pack(
        f"<QIddI{n}s{n}I", result.id, n, result.decode_s, result.predict_s, len(trace), result.statuses, *sizes
    )
    return [head, *result.payloads, trace], len(head) + sum(sizes) + len(trace)


def _same_length(name: str, flags: int, rows: int) -> None:
    if flags != rows:
        raise ValueError(f"{name} has {flags} bytes for {rows} rows; give one for each row")


def _decode_hello(payload: bytes) -> Hello:
    try:
        hello = _read_hello(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a Hello cannot be read: {error}") from error
    if hello.protocol != PROTOCOL:
        raise ProtocolError(
            f"worker {hello.replica} speaks protocol {hello.protocol}, this frontend {PROTOCOL}; "
            "install the same version of skysail in the model's own environment"
        )
    return hello


def _decode_batch(data: bytes, start: int, end: int) -> Batch:
    if end - start < _BATCH.size:
        raise ProtocolError(f"a Batch of {end - start} bytes is too short for its {_BATCH.size}-byte head")
    id, n = _BATCH.unpack_from(data, start)
    binary, rows = _decode_rows("Batch", data, start + _BATCH.size, end, n)
    if binary.translate(None, _FLAGS):
        raise ProtocolError("a Batch has a binary flag that is neither 0 nor 1")
    return Batch(id, rows, binary)


def _decode_result(data: bytes, start: int, end: int) -> Result:
    if end - start < _RESULT.size:
        raise ProtocolError(f"a Result of {end - start} bytes is too short for its {_RESULT.size}-byte head")
    id, n, decode_s, predict_s, traced = _RESULT.unpack_from(data, start)
    start += _RESULT.size
    if traced > end - start:
        raise ProtocolError(f"a Result announces a traceback of {traced} bytes and has {end - start} left")
    if not (decode_s >= 0.0 and predict_s >= 0.0):  # written so that NaN, too, is refused
        raise ProtocolError(f"a Result took {decode_s} and {predict_s} seconds, which are not durations")
    statuses, payloads = _decode_rows("Result", data, start, end - traced, n)
    if statuses.translate(None, _STATUSES):
        raise ProtocolError(f"a Result has a status that is none of {list(_STATUSES)}")
    try:
        traceback = data[end - traced : end].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a Result's traceback is not UTF-8: {error}") from error
    return Result(id, statuses, payloads, decode_s, predict_s, traceback)


def _decode_rows(name: str, data: bytes, start: int, end: int, n: int) -> tuple[bytes, list[bytes]]:
    """The byte for each row, and the rows, that must fill `data[start:end]` exactly."""
    if 5 * n > end - start:
        raise ProtocolError(f"a {name} announces {n} rows and has {end - start} bytes left for them")
    sizes = struct.unpack_from(f"<{n}I", data, start + n)
    first = start + 5 * n
    if first + sum(sizes) != end:
        raise ProtocolError(f"the {n} rows of a {name} add up to {sum(sizes)} bytes where {end - first} are left")
    return data[start : start + n], [data[a:b] for a, b in pairwise(accumulate(sizes, initial=first))]


_read_hello = msgspec.json.Decoder(Hello).decode
