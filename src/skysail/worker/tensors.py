"""Rows declared as `dtype[shape]`, read into one array with the rows along axis 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from skysail.errors import InvalidInput
from skysail.inputs import DTYPES, InputSpec
from skysail.worker.rows import DECODE_ERRORS, Group, RowDecoder

__all__ = ["TensorDecoder"]

_INT64_MAX = 2**63 - 1


class TensorDecoder(RowDecoder):
    """Reads rows of numbers: JSON nested or flat in row-major order, or little-endian bytes.

    The declared type and lengths are part of the types that the JSON is decoded to, so a batch of good rows costs one
    decoding and one conversion, and what comes out needs no further look. Where an axis is `*`, rows of different
    lengths come out as separate groups.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        self._dtype = np.dtype(spec.dtype)
        self._wire_dtype = self._dtype.newbyteorder("<")
        self._unknown = sum(n is None for n in spec.shape)
        self._known = prod(n for n in spec.shape if n is not None)
        element = _element_type(self._dtype, spec.finite)
        self._nested = _reader(element, spec.shape)
        self._flat: msgspec.json.Decoder[list[Any]] | None = None
        if len(spec.shape) > 1 and self._unknown <= 1:
            self._flat = _reader(element, (None if self._unknown else self._known,))

    def _together(self, rows: Sequence[bytes], binary: bytes) -> NDArray[Any]:
        if 1 not in binary:
            return self._of_json(rows)
        if 0 in binary:
            raise ValueError("JSON and binary rows in one batch")
        return self._of_bytes(rows)

    def _of_json(self, rows: Sequence[bytes]) -> NDArray[Any]:
        text = b"[%b]" % b",".join(rows)
        try:
            nested = self._nested.decode(text)
        except msgspec.ValidationError:
            if self._flat is None:
                raise
            nested = self._flat.decode(text)
        if len(nested) != len(rows):
            raise ValueError(f"{len(rows)} rows read as {len(nested)} values")
        return self._array(nested)

    def _array(self, nested: list[Any]) -> NDArray[Any]:
        """Lists of checked elements as an array of the declared shape."""
        with np.errstate(over="ignore"):
            array = np.array(nested, dtype=self._dtype)
        if self._dtype == np.float32 and np.isinf(array).any():  # JSON has no infinity: a number was too large
            raise OverflowError("a number is out of the range of float32")
        return self._shaped(array, len(nested))

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
        """A row that the typed decoding refused: good after all if whole floats stand for integers, else explained."""
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
        if len(lengths) == len(shape) and all(b in (None, a) for a, b in zip(lengths, shape, strict=True)):
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
            problem = (
                "" if abs(value) <= float(np.finfo(self._dtype).max) else f"is out of the range of {self.spec.dtype}"
            )
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


def _element_type(dtype: np.dtype[Any], finite: bool) -> Any:
    """The type to which one element is decoded, its range included."""
    if dtype.kind == "b":
        return bool
    if dtype.kind == "f":
        return float if finite else float | None
    range_ = np.iinfo(dtype)
    most = int(range_.max)
    return Annotated[int, Meta(ge=int(range_.min), le=most if most <= _INT64_MAX else None)]


def _reader(element: Any, shape: tuple[int | None, ...]) -> msgspec.json.Decoder[list[Any]]:
    """A decoder of a list of rows, each of lists of elements with these lengths."""
    for n in reversed(shape):
        element = list[element] if n is None else Annotated[list[element], Meta(min_length=n, max_length=n)]
    rows: Any = list[element]
    return msgspec.json.Decoder(rows)


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
