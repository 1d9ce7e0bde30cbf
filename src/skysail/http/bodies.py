"""What a data-plane request's body may be, and how it is read: the frontend looks no further than the first level.

Inputs and labels stay the bytes that were sent (`msgspec.Raw`); the worker decodes whole batches of them.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import UNSET, Raw

from skysail.errors import InvalidJSON, InvalidRequest, TooLarge
from skysail.http.shapes import Observe, ObserveBody, Predict

__all__ = ["decode_observe", "decode_predict", "header_context", "header_limit", "is_one", "observation", "sole_row"]

_MOST_DEPTH = 64
_MOST_CONTEXT = 256
_ONE_ROW = re.compile(rb'\s*{\s*"input"(\s*:\s*)')
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


_predict = msgspec.json.Decoder(Predict)
_observe = msgspec.json.Decoder(Observe)
_observe_body = msgspec.json.Decoder(ObserveBody)

_T = TypeVar("_T")


def decode_predict(body: bytes, most_rows: int) -> Predict:
    """Read a predict body; `InvalidJSON`, `InvalidRequest` or `TooLarge` says what is wrong with it."""
    request = _decode(_predict, _check(body))
    if (request.input is UNSET) == (request.inputs is UNSET):
        raise InvalidRequest("give exactly one of 'input' (one row) and 'inputs' (a list of rows)")
    if request.inputs is not UNSET and len(request.inputs) > most_rows:
        raise TooLarge(
            f"'inputs' has {len(request.inputs)} rows; at most {most_rows} fit one request ([server] max_rows)"
        )
    if request.context is not None:
        _check_context(request.context)
    if request.deadline_ms is not None:
        _check_limit("deadline_ms", request.deadline_ms)
    return request


def is_one(body: bytes) -> bool:
    """Whether a predict body begins as that of one row does, and is no list. It is not looked at any further."""
    return _ONE_ROW.match(body) is not None


def sole_row(body: bytes) -> bytes | None:
    """The row of a predict body that has nothing else in it, found without reading the row; `None` for any other body.

    Where the body is JSON at all, it is the row that `decode_predict` finds: without a quote behind `"input"`, there is
    no other field. Enough to look for an answer that is there already, and for nothing else, since it may be no JSON.
    """
    begin = _ONE_ROW.match(body)
    if begin is None or body.rfind(b'"') >= begin.start(1):
        return None
    start, end = begin.end(), body.rfind(b"}")
    # Compiled, a slice that would end before it begins raises.
    return None if end < start else body[start:end].rstrip(b" \t\r\n")


def decode_observe(body: bytes, most_rows: int) -> Observe | list[Raw]:
    """Read an observe body: one observation, or the texts of several, so that a bad one harms no other."""
    request = _decode(_observe_body, _check(body))
    if request.observations is UNSET:
        return _checked(request)
    if request != ObserveBody(observations=request.observations):
        raise InvalidRequest("'observations' is a list by itself: give each observation's fields inside its own object")
    if len(request.observations) > most_rows:
        raise TooLarge(
            f"'observations' has {len(request.observations)} items; at most {most_rows} fit one request "
            "([server] max_rows)"
        )
    return request.observations


def observation(text: bytes | Raw) -> Observe:
    """Read one observation, and check that it says one thing of one decision."""
    return _checked(_decode(_observe, text))


def _checked(request: Observe) -> Observe:
    if (request.label is UNSET) == (request.reward is None):
        raise InvalidRequest("give exactly one of 'label' (what was right) and 'reward' (0 to 1)")
    if (request.prediction_id is None) == (request.input is UNSET):
        raise InvalidRequest("give exactly one of 'prediction_id' and 'input' (with its 'context', if it had one)")
    if request.reward is not None and not 0.0 <= request.reward <= 1.0:
        raise InvalidRequest(f"'reward' is {request.reward}; it must be from 0 (bad) to 1 (good)")
    _check_context(request.context)
    return request


def header_context(value: bytes | None) -> str | None:
    """The `Skysail-Context` header: a percent-encoded context."""
    if value is None:
        return None
    try:
        context = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"Skysail-Context is {value!r}; it must be percent-encoded UTF-8") from None
    _check_context(context)
    return context


def header_limit(value: bytes | None) -> float | None:
    """The `Skysail-Deadline-Ms` header: a number of milliseconds."""
    if value is None:
        return None
    try:
        limit = float(value)
    except ValueError:
        raise InvalidRequest(f"Skysail-Deadline-Ms is {value!r}; it must be a number of milliseconds") from None
    _check_limit("Skysail-Deadline-Ms", limit)
    return limit


def _check_context(context: str | None) -> None:
    """A context is a key of 1 to 256 bytes."""
    if context is not None and not 1 <= len(context.encode()) <= _MOST_CONTEXT:
        raise InvalidRequest(
            f"'context' has {len(context.encode())} bytes; it must have 1 to {_MOST_CONTEXT} (use an id or a hash)"
        )


def _check_limit(name: str, limit: float | None) -> None:
    """A time limit is a positive number of milliseconds."""
    if limit is not None and not (limit > 0 and isfinite(limit)):
        raise InvalidRequest(f"{name} is {limit}; it must be more than 0 milliseconds")


def _decode(decoder: msgspec.json.Decoder[_T], text: bytes | Raw) -> _T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        known: Any = decoder.type
        raise InvalidRequest(f"{error}; known fields: {', '.join(known.__struct_fields__)}") from None
    except msgspec.DecodeError as error:
        raise InvalidJSON(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidJSON(f"the body is nested deeper than {_MOST_DEPTH} levels") from None


def _check(body: bytes) -> bytes:
    """Refuse what the decoder would pass over in the parts it only skips: broken UTF-8, and nesting bombs."""
    if not body.isascii():
        try:
            str(body, "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidJSON(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    if _openings(body, b"[") + _openings(body, b"{") > _MOST_DEPTH and _depth(body) > _MOST_DEPTH:
        raise InvalidJSON(f"the body is nested deeper than {_MOST_DEPTH} levels")
    return body


def _openings(body: bytes, bracket: bytes) -> int:
    """How many of these there are, as far as it matters. (`find` searches many bytes at once, `count` one by one.)"""
    found, at = 0, body.find(bracket)
    while at >= 0 and found <= _MOST_DEPTH:
        found += 1
        at = body.find(bracket, at + 1)
    return found


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for match in _TOKENS.finditer(body):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > _MOST_DEPTH:
                    break
        elif token in b"]}":
            depth -= 1
    return deepest
