from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.bench import rows as module
from skysail.bench.rows import Rows, random_rows, read_rows
from skysail.errors import ConfigError
from skysail.inputs import DTYPES, InputSpec
from skysail.worker.decode import make_decoder

SHAPES = st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=2)


@given(dtype=st.sampled_from(sorted(DTYPES)), shape=SHAPES, seed=st.integers(0, 9))
def test_every_declared_type_takes_what_is_made_of_it(dtype: str, shape: list[int | None], seed: int) -> None:
    """Random rows of any tensor type are read by the worker's own decoder, in the declared shape, with 64 for `*`."""
    declaration = f"{dtype}[{','.join('*' if n is None else str(n) for n in shape)}]"
    with patch.object(module, "_ROWS", 3), patch.object(module, "_SCALARS", 3):
        rows = random_rows(declaration, np.random.default_rng(seed)).texts
    [group], failures = read(declaration, rows)
    assert not failures
    assert group.shape == (len(rows), *[64 if n is None else n for n in shape])
    assert group.dtype == np.dtype(dtype)


def read(declaration: str, rows: tuple[bytes, ...]) -> tuple[list[Any], dict[int, str]]:
    """The arrays that a worker makes of rows, and those it refuses."""
    decoded = make_decoder(InputSpec.parse(declaration)).decode(rows, bytes(len(rows)))
    return [group.batch for group in decoded.groups], decoded.invalid


@pytest.mark.parametrize("declaration", ["json", "string", "bytes"])
def test_what_cannot_be_guessed_is_asked_for(declaration: str) -> None:
    """Of objects and texts no random ones are made; the error names the option that brings them."""
    with pytest.raises(ConfigError, match=f"declared as {declaration}.*--rows"):
        random_rows(declaration, np.random.default_rng(0))


def test_large_rows_are_fewer() -> None:
    """A thousand small rows; of pictures as many as fit the memory that is allowed, and always some."""
    rng = np.random.default_rng(0)
    assert len(random_rows("float32[64]", rng).texts) == 1000
    large = random_rows("float32[3,500,500]", rng)
    assert 1 <= len(large.texts) < 20


def test_what_repeats_is_known() -> None:
    """Rows with a bracket can be told apart without end; of scalars there are as many as there are."""
    rng = np.random.default_rng(0)
    assert random_rows("float32[2]", rng).distinct is None
    assert random_rows("bool[]", rng).distinct == 2
    assert random_rows("int64[]", rng).distinct == 128
    assert (random_rows("float64[]", rng).distinct or 0) > 99_000
    assert Rows(texts=(b"[1]", b'"a"', b'"a"'), origin="").distinct == 2


def test_rows_of_a_file(tmp_path: Path) -> None:
    """One a line, whatever JSON they are; empty lines are passed over."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": [1, 2]}\n\n  "text"\r\n3.5\n')
    rows = read_rows(path)
    assert [msgspec.json.decode(text) for text in rows.texts] == [{"a": [1, 2]}, "text", 3.5]
    assert str(path) in rows.origin


@pytest.mark.parametrize(
    ("content", "said"), [(b"[1]\n[2", "line 2, is not JSON"), (b"\xff", "line 1"), (b"\n\n", "no input")]
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, said: str) -> None:
    """The line that is wrong is named, with the remedy."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_rows(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rows(tmp_path / "none")
