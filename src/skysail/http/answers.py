"""A prediction as the JSON the client gets: the model's own bytes, spliced between ours."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec

from skysail.engine import Prediction
from skysail.http.status import error_body
from skysail.types import Cover

__all__ = ["encode_prediction", "encode_predictions"]

_names: dict[tuple[str, ...], bytes] = {}
_MOST_NAMES = 4096


def encode_prediction(prediction: Prediction) -> bytes:
    """One prediction object; its error object where there is no answer."""
    if prediction.failure is not None:
        return error_body(prediction.failure.code, prediction.failure.message)
    output = prediction.output
    return (
        b'{"prediction_id":"%b","output":%b,"confidence":%b,"agreement":%b,"default":%b,"reason":%b,"models":%b,"missing":%b%b}'
        % (
            prediction.id.encode(),
            b"null" if output is None else output.raw,
            _number(prediction.confidence),
            _number(prediction.agreement),
            b"true" if prediction.default else b"false",
            b"null" if prediction.reason is None else b'"%b"' % prediction.reason.encode(),
            _list(prediction.models),
            _list(prediction.missing),
            b"" if prediction.cover is None else _cover(prediction.cover),
        )
    )


def encode_predictions(predictions: Sequence[Prediction]) -> bytes:
    """The answer to a list of inputs, in their order."""
    return b'{"predictions":[%b]}' % b",".join([encode_prediction(p) for p in predictions])


def _number(value: float | None) -> bytes:
    return b"%.6g" % value if value is not None and isfinite(value) else b"null"


def _cover(cover: Cover) -> bytes:
    """What is said to hold the label: a set, or an interval."""
    if cover.kind == "numbers":
        return b',"interval":%b' % msgspec.json.encode(cover.interval)
    if cover.size is None:
        return b',"set":null'
    return b',"set":[%b]' % b",".join(cover.ranked[: cover.size])


def _list(refs: list[str]) -> bytes:
    """A list of names; the same few lists come again and again."""
    if not refs:
        return b"[]"
    key = tuple(refs)
    text = _names.get(key)
    if text is None:
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        text = _names[key] = msgspec.json.encode(refs)
    return text
