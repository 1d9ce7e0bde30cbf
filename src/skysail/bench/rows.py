"""The inputs that are sent: somebody's own, or random ones of the type that the models declare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from skysail.errors import ConfigError
from skysail.inputs import InputSpec

__all__ = ["Rows", "random_rows", "read_rows"]

_ROWS = 1000
_SCALARS = 100_000
_BYTES = 64 << 20
"""What random rows may take together; of large ones there are fewer."""

_ANY = 64
"""What `*` is taken for."""

_MOST_INTEGER = 127
"""Whole numbers go from 0 to here, which every integer type holds, and an index into something more often than not."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Inputs to be sent in turn, as JSON text."""

    texts: tuple[bytes, ...]
    """One for each."""

    origin: str
    """Where they are from, in a few words."""

    @property
    def distinct(self) -> int | None:
        """How many different inputs can be sent; `None`: as many as are asked for (see `skysail.bench.requests`)."""
        return None if all(text[:1] in b"[{" for text in self.texts) else len(set(self.texts))


def read_rows(path: Path) -> Rows:
    """The inputs in a file with one JSON value a line. Raises `ConfigError` with the line that is wrong."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"--rows {path} cannot be read: {error.strerror}; check the path") from error
    texts = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text:
            try:
                msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                remedy = "write one JSON value a line, such as [0.5, 1.5]"
                raise ConfigError(f"--rows {path}, line {number}, is not JSON ({error}); {remedy}") from error
            texts.append(text)
    if not texts:
        raise ConfigError(f"--rows {path} holds no input; write one JSON value a line")
    return Rows(texts=tuple(texts), origin=f"{len(texts):,} from {path}")


def random_rows(declaration: str, rng: np.random.Generator) -> Rows:
    """Inputs of a declared tensor type: floats from 0 to 1, whole numbers from 0 to 127, booleans; 64 for `*`.

    Most models take as long for noise as for anything else; for those that do not, bring inputs of your own. Raises
    `ConfigError` for `json`, `string` and `bytes`, of which nothing can be guessed.
    """
    spec = InputSpec.parse(declaration)
    if spec.kind != "tensor":
        raise ConfigError(
            f"the input is declared as {spec.kind}, of which no random inputs can be made: give --rows FILE with one "
            "JSON input a line"
        )
    shape = tuple(_ANY if axis is None else axis for axis in spec.shape)
    first = _text(spec.dtype, shape, rng)
    count = _ROWS if shape else _SCALARS
    texts = [first, *[_text(spec.dtype, shape, rng) for _ in range(min(count, 1 + _BYTES // len(first)) - 1)]]
    star = f", * as {_ANY}" if None in spec.shape else ""
    return Rows(texts=tuple(texts), origin=f"random {spec}{star}")


def _text(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> bytes:
    """One row as JSON text."""
    values: Any
    if dtype == "bool":
        values = rng.integers(0, 2, shape) == 1
    elif "int" in dtype:
        values = rng.integers(0, _MOST_INTEGER, shape, endpoint=True)
    else:
        values = np.round(rng.random(shape), 6) if shape else np.float64(rng.random())
    return msgspec.json.encode(values.tolist())
