"""Rows declared as `json`, `string` or `bytes`, read into Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from skysail.errors import InvalidInput
from skysail.inputs import InputSpec
from skysail.worker.rows import DECODE_ERRORS, Group, RowDecoder

__all__ = ["ObjectDecoder"]


class ObjectDecoder(RowDecoder):
    """Reads rows into a list with an object for each.

    A binary row is JSON text, UTF-8 text or the bytes themselves; in JSON, `bytes` are a base64 string.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        row: Any = {"json": Any, "string": str, "bytes": bytes}[spec.kind]
        rows: Any = list[row]
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._rows: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(rows)

    def _together(self, rows: Sequence[bytes], binary: bytes) -> list[Any]:
        if 1 in binary:
            return [self._raw(row) if flag else self._row.decode(row) for row, flag in zip(rows, binary, strict=True)]
        batch: list[Any] = self._rows.decode(b"[%b]" % b",".join(rows))
        if len(batch) != len(rows):
            raise ValueError(f"{len(rows)} rows read as {len(batch)} values")
        return batch

    def _raw(self, row: bytes) -> Any:
        if self.spec.kind == "bytes":
            return row
        return row.decode() if self.spec.kind == "string" else self._row.decode(row)

    def _with_care(self, row: bytes, binary: bool) -> list[Any]:
        try:
            return [self._raw(row) if binary else self._row.decode(row)]
        except RecursionError:
            raise InvalidInput("it is nested too deeply") from None
        except DECODE_ERRORS as error:
            raise InvalidInput(str(error)) from error

    def _grouped(self, good: dict[int, Any]) -> list[Group]:
        return [Group(list(good), [batch[0] for batch in good.values()])] if good else []

    def _remedy(self) -> str:
        return {"json": "any JSON value", "string": "a JSON string", "bytes": "a JSON string of base64"}[self.spec.kind]
