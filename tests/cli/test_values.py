from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.cli.errors import UsageError
from skysail.cli.values import read_input, read_label

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=VALUES)
def test_json_is_read_as_what_it_says(value: object) -> None:
    """Whatever JSON can say is what is sent, as an input and as a label."""
    text = json.dumps(value)
    assert read_input(text) == value
    assert read_label(text) == value


@given(text=st.text(alphabet="abc xyz'-_", min_size=1))
def test_a_label_that_is_not_json_is_text(text: str) -> None:
    """No second pair of quotes is needed for a string."""
    assert read_label(text) == text


@pytest.mark.parametrize("text", ["", "cat", "[1", "{'a': 1}", "NaN", "1 2"])
def test_an_input_that_is_not_json_is_refused_with_the_remedy(text: str) -> None:
    """An input is never guessed at."""
    with pytest.raises(UsageError, match=r"is not JSON .*double quotes"):
        read_input(text)


def test_a_file_or_a_pipe_that_is_not_json_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where the bad JSON came from."""
    (tmp_path / "row.json").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"row\.json is not JSON"):
        read_input(f"@{tmp_path / 'row.json'}")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[")))
    with pytest.raises(UsageError, match="standard input is not JSON"):
        read_input("-")
