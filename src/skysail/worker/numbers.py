"""JSON rows of numbers, read into one array with no Python object for any of the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from simdjson import Parser

__all__ = ["NumberReader"]

_LOWEST: Final = float(np.finfo(np.float64).min)

_NULL: Final = ((b"null", b" %a " % _LOWEST),)
_BOOLEANS: Final = ((b"true", b" 1 "), (b"false", b" 0 "))
"""Words, and the numbers they are read as; the spaces keep what is no JSON from becoming some."""

_LARGE: Final = 8 << 20
"""Bytes of a text whose parser is not kept, for it keeps several times the room."""


class NumberReader:
    """Reads rows that are each a number, a list of numbers, or lists nested to any depth and nowhere ragged.

    simdjson parses a batch, and copies its numbers out, in one call each; a look is taken at lists, never at an
    element. Where an element is to be a word (`true` and `false`, or `null` for NaN if it may be), it is read as a
    number, and counted: so a number does not pass for a word.

    It is quick with rows that are good. What is wrong with one that is not, others find out.
    """

    def __init__(self, dtype: np.dtype[Any], *, null: bool = False) -> None:
        self._parser = Parser()
        self._dtype = dtype
        self._type = "d" if dtype.kind == "f" else "u" if dtype == np.uint64 else "i"
        self._read_as = np.dtype({"d": np.float64, "u": np.uint64, "i": np.int64}[self._type])
        self._words = _BOOLEANS if dtype.kind == "b" else _NULL if null and dtype.kind == "f" else ()

    def read(self, rows: Sequence[bytes]) -> NDArray[Any]:
        """The rows along axis 0, and their lists along the others.

        `ValueError` where an element is not of the type, or lists are not of the same lengths everywhere;
        `OverflowError` where an element is out of the type's range.
        """
        text = b"[%b]" % b",".join(rows)
        opened = {row.rfind(b"[") for row in rows}  # {0} for flat rows, which is quicker than to count
        if opened == {0}:
            brackets = 1 + len(rows)
        else:
            brackets = int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("[")))
        words = 0
        for word, number in self._words:
            if word[:1] in text:
                read = text.replace(word, number)
                words += (len(read) - len(text)) // (len(number) - len(word))
                text = read
        lengths, numbers = self._parse(text, brackets)
        if lengths[0] != len(rows):
            raise ValueError(f"{len(rows)} rows read as {lengths[0]} values")
        return self._of_type(np.frombuffer(numbers, self._read_as), words).reshape(lengths)

    def _parse(self, text: bytes, brackets: int) -> tuple[list[int], Any]:
        """The lengths of a text's lists, level by level, and a buffer of its numbers, which outlives the parser."""
        try:
            parsed: Any = self._parser.parse(text)
            numbers = parsed.as_buffer(of_type=self._type)  # it raises for anything but numbers in lists
            return _lengths(parsed, brackets), numbers
        except (ValueError, TypeError, RuntimeError) as error:  # simdjson's, and TypeError for the length of a number
            self._parser = Parser()  # none can be used again while a traceback refers to what it parsed
            raise ValueError(str(error)) from error
        finally:
            if len(text) > _LARGE:
                self._parser = Parser()

    def _of_type(self, numbers: NDArray[Any], words: int) -> NDArray[Any]:
        """The numbers as elements of the type, words among them."""
        if self._dtype.kind == "b" and len(numbers) != words:
            raise ValueError("a number is no boolean")
        if self._dtype.kind == "f" and words:
            null = numbers == _LOWEST
            if np.count_nonzero(null) != words:
                raise ValueError("the lowest number there is, and a null")
            numbers[null] = np.nan
        if self._dtype == self._read_as:
            return numbers
        with np.errstate(over="ignore"):
            elements = numbers.astype(self._dtype)
        if np.count_nonzero(np.isinf(elements) if self._type == "d" else elements != numbers):  # JSON has no infinity
            raise OverflowError(f"a number is out of the range of {self._dtype}")
        return elements


def _lengths(lists: Any, brackets: int) -> list[int]:
    """The lengths of nested lists, level by level; `ValueError` where they are not the same everywhere.

    As many brackets are opened as there are lists: when all have been met, no element is one.
    """
    lengths = []
    level = [lists]
    while True:
        (length,) = set(map(len, level))
        lengths.append(length)
        brackets -= len(level)
        if brackets <= 0:
            return lengths
        level = list(chain.from_iterable(level))
