"""What all decoders share: one call for a good batch, and each bad row named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skysail.errors import InvalidInput
from skysail.inputs import InputSpec
from skysail.worker.rows import Group, RowDecoder


class Lengths(RowDecoder):
    """Reads rows of letters as their lengths; rows of capitals only with care, rows of other things not at all."""

    def __init__(self) -> None:
        super().__init__(InputSpec.parse("string"))
        self.calls = 0

    def _together(self, rows: Sequence[bytes], binary: bytes) -> list[int]:
        self.calls += 1
        if not all(row.islower() for row in rows):
            raise ValueError("not lower")
        return [len(row) for row in rows]

    def _with_care(self, row: bytes, binary: bool) -> list[int]:
        if not row.isalpha():
            raise InvalidInput(f"it is {row!r}")
        return [len(row)]

    def _grouped(self, good: dict[int, Any]) -> list[Group]:
        return [Group(list(good), [batch[0] for batch in good.values()])]

    def _remedy(self) -> str:
        return "letters"


def test_a_good_batch_is_read_in_one_call() -> None:
    """No row is looked at by itself where all can be read together."""
    decoder = Lengths()
    groups, invalid = decoder.decode([b"a", b"bb"], b"\0\0")
    assert [(list(rows), batch) for rows, batch in groups] == [([0, 1], [1, 2])]
    assert not invalid
    assert decoder.calls == 1


def test_bad_rows_are_named_and_the_others_read() -> None:
    """A bad row's message names the declaration, the problem and the remedy; a row that needs care gets it."""
    groups, invalid = Lengths().decode([b"a", b"12", b"CCC"], b"\0\0\0")
    assert [(list(rows), batch) for rows, batch in groups] == [([0, 2], [1, 3])]
    assert invalid == {1: "input does not fit string: it is b'12'; send letters"}


def test_no_rows_are_no_groups() -> None:
    """An empty batch is nothing to predict."""
    assert Lengths().decode([], b"") == ([], {})
