"""What a model takes: the declaration of its input, `dtype[shape]`, `json`, `string` or `bytes`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from skysail.errors import ConfigError, nearest

__all__ = ["DTYPES", "InputSpec"]

DTYPES = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float32": 4,
    "float64": 8,
}
"""The element types a tensor may have, and the bytes of one element."""

_TENSOR = re.compile(r"([a-z0-9]+)\[([0-9*,\s]*)\]")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The declared input of one row.

    `kind` is `tensor`, `json`, `string` or `bytes`. For tensors, `dtype` is a key of `DTYPES` and `shape` the lengths
    of the axes of one row, `None` where any length will do; `()` is a scalar. `finite` refuses NaN and infinities.
    """

    kind: Literal["tensor", "json", "string", "bytes"]
    dtype: str = ""
    shape: tuple[int | None, ...] = ()
    finite: bool = True

    @classmethod
    def parse(cls, text: str, *, finite: bool = True) -> InputSpec:
        """Read a declaration.

        >>> InputSpec.parse("float32[3, *]")
        InputSpec(kind='tensor', dtype='float32', shape=(3, None), finite=True)
        >>> str(InputSpec.parse("int64[]"))
        'int64[]'
        """
        text = text.strip()
        if text in ("json", "string", "bytes"):
            return cls(text, finite=finite)  # type: ignore[arg-type]
        match = _TENSOR.fullmatch(text)
        if match is None:
            hint = nearest(text, ["json", "string", "bytes", *(f"{d}[64]" for d in DTYPES)])
            raise ConfigError(
                f"input = {text!r} is not a declaration ({hint}); use 'dtype[shape]' such as 'float32[64]' or "
                "'uint8[28, 28]' (* is any length, [] a scalar), or 'json', 'string', 'bytes'"
            )
        dtype, axes = match.groups()
        if dtype not in DTYPES:
            raise ConfigError(f"input = {text!r}: dtype {dtype!r} is unknown ({nearest(dtype, DTYPES)})")
        parts = [axis.strip() for axis in axes.split(",")] if axes.strip() else []
        if any(part == "" or (part != "*" and (not part.isdigit() or int(part) == 0)) for part in parts):
            raise ConfigError(f"input = {text!r}: each axis is a length of at least 1 or *")
        return cls("tensor", dtype, tuple([None if part == "*" else int(part) for part in parts]), finite)

    def __str__(self) -> str:
        if self.kind != "tensor":
            return self.kind
        return f"{self.dtype}[{','.join('*' if n is None else str(n) for n in self.shape)}]"
