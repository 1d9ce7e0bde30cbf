"""What people write on a command line, as JSON values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from skysail.cli.errors import UsageError

__all__ = ["read_input", "read_label"]


def read_input(text: str) -> Any:
    """A query's input: JSON, `-` for JSON on standard input, or `@FILE` for JSON in a file. Raises `UsageError`."""
    if text == "-":
        return _decode(sys.stdin.buffer.read(), "the input on standard input")
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            return _decode(path.read_bytes(), f"the input in {path}")
        except OSError as error:
            raise UsageError(f"the input file {path} cannot be read: {error.strerror}; check the path") from error
    return _decode(text.encode(), f"the input {text!r}")


def _decode(data: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        remedy = "a string needs double quotes inside the shell's, as in '\"text\"'; use @FILE for a file, - for a pipe"
        raise UsageError(f"{what} is not JSON ({error}); {remedy}") from error


def read_label(text: str) -> Any:
    """A label: JSON, and whatever is not JSON is a string, so that `--label cat` needs no second pair of quotes.

    >>> read_label("7"), read_label("cat")
    (7, 'cat')
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
