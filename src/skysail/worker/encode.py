"""From what a model answered for a batch to the JSON text of each row; outputs that are no JSON fail alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from skysail.errors import ModelError

__all__ = ["Encoded", "as_outputs", "encode_outputs"]

_SCALARS: Final = frozenset({bool, int, str, type(None)})
"""Types that need no second look; a float does, and so does what may hold one."""

_ENCODER = msgspec.json.Encoder()


class Encoded(NamedTuple):
    """For each row its JSON text; and for each that is empty, why the output cannot be used."""

    texts: list[bytes]
    problems: dict[int, str]


def as_outputs(answered: Any, n: int) -> Sequence[Any] | NDArray[Any]:
    """What a model answered as an array or list of n outputs; `ModelError` where it is not one for each row.

    Arrays, lists and tuples are taken, and what converts itself by `tolist` (a pandas series, a tensor). Text,
    mappings and generators are not: their length or order would mean something else.
    """
    if hasattr(answered, "tolist") and not isinstance(answered, np.ndarray):
        answered = answered.tolist()
    if not isinstance(answered, np.ndarray | list | tuple) or (isinstance(answered, np.ndarray) and not answered.ndim):
        raise ModelError(
            f"predict answered a {type(answered).__name__}; return a list or an array with one output for each row"
        )
    if isinstance(answered, np.ndarray) and answered.dtype.kind in "mM":
        raise ModelError(
            f"predict answered an array of {answered.dtype}, which JSON cannot say; return strings or numbers"
        )
    if len(answered) != n:
        raise ModelError(f"predict answered {len(answered)} outputs for {n} rows; return one for each, in order")
    return answered


def encode_outputs(outputs: Sequence[Any] | NDArray[Any]) -> Encoded:
    """Each output as JSON text. NaN and infinities have none, and neither have bytes, sets or objects."""
    if isinstance(outputs, np.ndarray):
        kind = outputs.dtype.kind
        sound = kind in "biuU" or (kind == "f" and bool(np.isfinite(outputs).all()))
        values: Sequence[Any] = outputs.tolist()
    else:
        types = set(map(type, outputs))
        sound = types <= _SCALARS or (
            types <= _SCALARS | {float} and all(isfinite(value) for value in outputs if type(value) is float)
        )
        values = outputs
    if sound:
        try:
            return Encoded(_ENCODER.encode_lines(values).split(b"\n")[:-1], {})
        except UnicodeEncodeError:
            pass  # half of a surrogate pair in some row: find it below
    return _one_by_one(values)


def _one_by_one(outputs: Sequence[Any]) -> Encoded:
    texts: list[bytes] = []
    problems: dict[int, str] = {}
    for index, output in enumerate(outputs):
        try:
            texts.append(_ENCODER.encode(_plain(output)))
        except (ModelError, ValueError, RecursionError) as error:
            texts.append(b"")
            problems[index] = f"the output cannot be sent: {error}"
    return Encoded(texts, problems)


def _plain(value: Any) -> Any:
    """The value in Python's own types; `ModelError` for what JSON cannot say."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ModelError(f"it is or holds {value}, which JSON cannot say")
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    if isinstance(value, Mapping):
        return {_key(key): _plain(element) for key, element in value.items()}
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biufUO":
        return _plain(value.tolist())
    if isinstance(value, str):
        return str.__str__(value)  # its text, even where it is a member of an enumeration
    if isinstance(value, int):
        return int(value)
    raise ModelError(
        f"it is or holds a {type(value).__name__}; return numbers, strings, booleans, None, lists, mappings or arrays"
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise ModelError(f"it holds a mapping with the key {key!r}; make its keys strings")
