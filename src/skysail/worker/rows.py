"""From the rows of a batch, as clients sent them, to what the model takes; rows that do not fit are named one by one.

A batch whose rows are all good is read in one call. Only where that fails is each row read by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from skysail.errors import InvalidInput
from skysail.inputs import InputSpec

__all__ = ["DECODE_ERRORS", "Decoded", "Group", "RowDecoder"]

DECODE_ERRORS: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What reading a row that does not fit may raise."""


class Group(NamedTuple):
    """Rows that may be predicted together: their places in the batch, and what the model takes."""

    rows: Sequence[int]
    batch: Any


class Decoded(NamedTuple):
    """What the rows of a batch are: groups to be predicted, and what is wrong with each row that does not fit."""

    groups: list[Group]
    invalid: dict[int, str]


class RowDecoder(ABC):
    """Reads the rows of a model with this declaration.

    A subclass defines how many rows are read at once, and how a row that cannot be read so is read with care.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec

    def decode(self, rows: Sequence[bytes], binary: bytes) -> Decoded:
        """Read rows; `binary` has a byte for each, 1 where the row is raw values and not JSON."""
        if not rows:
            return Decoded([], {})
        try:
            return Decoded([Group(range(len(rows)), self._together(rows, binary))], {})
        except DECODE_ERRORS:
            return self._one_by_one(rows, binary)

    def _one_by_one(self, rows: Sequence[bytes], binary: bytes) -> Decoded:
        good: dict[int, Any] = {}
        invalid: dict[int, str] = {}
        for index, row in enumerate(rows):
            flag = binary[index : index + 1]
            try:
                good[index] = self._together([row], flag)
            except DECODE_ERRORS:
                try:
                    good[index] = self._with_care(row, flag == b"\1")
                except InvalidInput as error:
                    invalid[index] = f"input does not fit {self.spec}: {error.message}; send {self._remedy()}"
        return Decoded(self._grouped(good), invalid)

    @abstractmethod
    def _together(self, rows: Sequence[bytes], binary: bytes) -> Any:
        """The batch of these rows; one of `DECODE_ERRORS` where it cannot be read in one call, for whatever reason."""

    @abstractmethod
    def _with_care(self, row: bytes, binary: bool) -> Any:
        """The batch of one row that `_together` refused; `InvalidInput` says what is wrong with it."""

    @abstractmethod
    def _grouped(self, good: dict[int, Any]) -> list[Group]:
        """Batches of one row each, merged where they may be predicted together."""

    @abstractmethod
    def _remedy(self) -> str:
        """What a client should send."""
