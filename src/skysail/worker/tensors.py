"""Rows declared as `dtype[shape]`, read into one array with the rows along axis 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from skysail.errors import InvalidInput
from skysail.inputs import DTYPES, InputSpec
from skysail.worker.numbers import NumberReader
from skysail.worker.rows import DECODE_ERRORS, Group, RowDecoder

__all__ = ["TensorDecoder"]


class TensorDecoder(RowDecoder):
    """Reads rows of numbers: JSON nested or flat in row-major order, or little-endian bytes.

    JSON goes through a `NumberReader`, and only where it says no is a row read element by element: for whole floats
    that stand for integers, and to tell a client which element is wrong. Where an axis is `*`, rows of different
    lengths come out as separate groups.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        self._dtype = np.dtype(spec.dtype)
        self._wire_dtype = self._dtype.newbyteorder("<")
        self._unknown = sum(n is None for n in spec.shape)
        self._known = prod(n for n in spec.shape if n is not None)
        self._numbers = NumberReader(self._dtype, null=not spec.finite)
        self._overflow = _overflow(self._dtype) if self._dtype.kind == "f" else 0

    def _together(self, rows: Sequence[bytes], binary: bytes) -> NDArray[Any]:
        if 1 not in binary:
            return self._of_json(rows)
        if 0 in binary:
            raise ValueError("JSON and binary rows in one batch")
        return self._of_bytes(rows)

    def _of_json(self, rows: Sequence[bytes]) -> NDArray[Any]:
        array = self._numbers.read(rows)
        if not self._takes(array.shape[1:]):
            raise ValueError(f"its shape is {_brackets(array.shape[1:])}")
        return self._shaped(array, len(rows))

    def _of_bytes(self, rows: Sequence[bytes]) -> NDArray[Any]:
        if self._unknown > 1:
            raise ValueError("raw values do not say how long each of several * axes is; send JSON")
        size = len(rows[0])
        unit = self._known * self._dtype.itemsize
        if any(len(row) != size for row in rows) or size % unit or (self._unknown == 0 and size != unit):
            raise ValueError(f"it has {size} bytes where {'a multiple of ' if self._unknown else ''}{unit} are due")
        data = bytearray().join(rows)  # not bytes: a model may change its batch
        if self._dtype == np.bool_ and data.translate(None, b"\0\1"):
            raise ValueError("a byte is neither 0 nor 1")
        array = np.frombuffer(data, dtype=self._wire_dtype).astype(self._dtype, copy=False)
        if self.spec.finite and self._dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError("it holds a NaN or an infinity, which this model does not take")
        return self._shaped(array, len(rows))

    def _shaped(self, array: NDArray[Any], n: int) -> NDArray[Any]:
        """The array of n rows in the declared shape: as it is where it has it, else flat rows filled into it."""
        if array.ndim == 1 + len(self.spec.shape):
            return array
        if self._unknown > 1 or array.size % (n * self._known):
            raise ValueError(f"its shape is {_brackets(array.shape[1:])}")
        rest = array.size // (n * self._known)
        return array.reshape(n, *[rest if axis is None else axis for axis in self.spec.shape])

    def _with_care(self, row: bytes, binary: bool) -> NDArray[Any]:
        try:
            return self._of_bytes([row]) if binary else self._of_elements(msgspec.json.decode(row))
        except RecursionError:
            raise InvalidInput("it is nested too deeply") from None
        except DECODE_ERRORS as error:
            raise InvalidInput(str(error)) from error

    def _of_elements(self, value: Any) -> NDArray[Any]:
        """A row that was refused as it stands: good after all if whole floats stand for integers, else explained."""
        lengths = _lengths(value)
        if not lengths and self.spec.shape:
            raise InvalidInput(f"it is not a list: {_shown(value)}")
        if not self._takes(lengths):  # before the elements are looked at: there may be millions
            raise InvalidInput(f"its shape is {_brackets(lengths)}")
        elements = [self._element(at, element) for at, element in _leaves(value, lengths, ())]
        return self._shaped(np.array(elements, dtype=self._dtype).reshape(1, *lengths), 1)

    def _takes(self, lengths: tuple[int, ...]) -> bool:
        """Whether a row with these lengths is one of the declared shape, nested or flat."""
        shape = self.spec.shape
        if lengths == shape:
            return True
        whole = len(lengths) == len(shape)
        ended = 0 < len(lengths) < len(shape) and lengths[-1] == 0 and self._unknown == 1  # below no row is no list
        if (whole or ended) and all(b in (None, a) for a, b in zip(lengths, shape, strict=False)):
            return True
        if len(lengths) != 1 or len(shape) < 2 or self._unknown > 1:
            return False
        return lengths[0] == self._known if self._unknown == 0 else lengths[0] % self._known == 0

    def _element(self, at: tuple[int, ...], value: Any) -> Any:
        """One element, checked against the declared type; `InvalidInput` names its place and value."""
        kind = self._dtype.kind
        problem = ""
        if kind == "b":
            problem = "" if isinstance(value, bool) else "is not true or false"
        elif value is None and kind == "f" and not self.spec.finite:
            return float("nan")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            problem = "is not a number"
        elif kind == "f":
            problem = "" if abs(value) < self._overflow else f"is out of the range of {self.spec.dtype}"
        elif value != value // 1:
            problem = "is not a whole number"
        else:
            range_ = np.iinfo(self._dtype)
            problem = "" if range_.min <= value <= range_.max else f"is out of the range of {self.spec.dtype}"
        if problem:
            raise InvalidInput(f"{''.join(f'[{i}]' for i in at) or 'it'} {problem}: {_shown(value)}")
        return int(value) if kind in "iu" else value

    def _grouped(self, good: dict[int, Any]) -> list[Group]:
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, array in good.items():
            groups.setdefault(array.shape, []).append(index)
        return [Group(rows, np.concatenate([good[index] for index in rows])) for rows in groups.values()]

    def _remedy(self) -> str:
        shape = self.spec.shape
        element = "booleans" if self.spec.dtype == "bool" else f"{self.spec.dtype} numbers"
        if self._unknown:
            return f"{element} in lists nested as {_brackets(shape)}"
        raw = f"{self._known * DTYPES[self.spec.dtype]} little-endian bytes"
        if not shape:
            return f"a single one of {element}, not in a list, or {raw}"
        if len(shape) == 1:
            return f"a list of {self._known} {element}, or {raw}"
        return f"{element} in lists nested as {_brackets(shape)}, or in one list of {self._known}, or {raw}"


def _overflow(dtype: np.dtype[Any]) -> int:
    """The least number that is rounded to infinity: half a step above the greatest."""
    info = np.finfo(dtype)
    return int(2**info.maxexp - 2 ** (info.maxexp - info.nmant - 2))


def _lengths(value: Any) -> tuple[int, ...]:
    """The lengths of nested lists, as their first elements have them."""
    lengths: list[int] = []
    while isinstance(value, list):
        lengths.append(len(value))
        value = value[0] if value else None
    return tuple(lengths)


def _leaves(value: Any, lengths: tuple[int, ...], at: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The elements of nested lists with their places; lists that are not all of these lengths raise `InvalidInput`."""
    if len(at) == len(lengths):
        yield at, value
        return
    if not isinstance(value, list) or len(value) != lengths[len(at)]:
        place = "".join(f"[{i}]" for i in at)
        what = f"a list of {len(value)}" if isinstance(value, list) else _shown(value)
        raise InvalidInput(f"it is ragged: {place} is {what} where the one before is a list of {lengths[len(at)]}")
    for index, element in enumerate(value):
        yield from _leaves(element, lengths, (*at, index))


def _brackets(shape: Sequence[int | None]) -> str:
    return f"[{','.join('*' if n is None else str(n) for n in shape)}]"


def _shown(value: Any) -> str:
    """A value as the client wrote it, or its beginning."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."
