"""What one key's value must be: functions that read a raw value, or raise `ValueError` saying what to write instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from skysail.config.units import parse_duration, parse_size
from skysail.errors import nearest
from skysail.inputs import InputSpec

__all__ = [
    "Convert",
    "boolean",
    "declaration",
    "duration",
    "integer",
    "json_text",
    "labels",
    "named",
    "number",
    "one_of",
    "size",
    "text",
    "texts",
]

Convert = Callable[[Any], Any]
"""Reads one raw value; raises `ValueError` with what it must be, or `ConfigError` with a line that the key begins."""


def boolean(value: Any) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def text(value: Any) -> str:
    """A string with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text in quotes, and not empty")
    if "\0" in value:
        raise ValueError("must not hold a null character")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A list of different strings, at least one."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('must be a list of names such as ["a", "b"], and not empty')
    if not all(isinstance(item, str) for item in value):
        raise ValueError('must be a list of names in quotes, such as ["a", "b"]')
    twice = [item for i, item in enumerate(value) if item in value[:i]]
    if twice:
        raise ValueError(f"names '{twice[0]}' twice; name each once")
    return tuple(value)


def integer(least: int, most: int) -> Convert:
    """A reader of integers from `least` to `most`."""

    def convert(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be an integer from {least} to {most}")
        return value

    return convert


def number(least: float, most: float) -> Convert:
    """A reader of numbers from `least` to `most`; integers pass."""

    def convert(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return float(value)

    return convert


def duration(least: str) -> Convert:
    """A reader of durations, in seconds, of at least `least`."""
    floor = parse_duration(least)

    def convert(value: Any) -> float:
        seconds = parse_duration(value)
        if seconds < floor:
            raise ValueError(f"must be at least {least}")
        return seconds

    return convert


def size(least: str) -> Convert:
    """A reader of sizes, in bytes, of at least `least`."""
    floor = parse_size(least)

    def convert(value: Any) -> int:
        count = parse_size(value)
        if count < floor:
            raise ValueError(f"must be at least {least}")
        return count

    return convert


def one_of(known: Iterable[str]) -> Convert:
    """A reader of one name out of those known."""
    names = sorted(known)

    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be one of {', '.join(names)}, in quotes")
        if value not in names:
            raise ValueError(f"is unknown ({nearest(value, names)})")
        return value

    return convert


def declaration(value: Any) -> str:
    """The declaration of a model's input, in its canonical spelling."""
    return str(InputSpec.parse(text(value)))


def labels(value: Any) -> tuple[Any, ...]:
    """Class labels: a list of strings, numbers or booleans, at least one."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('must be a list of class labels such as ["cat", "dog"], and not empty')
    if any(isinstance(item, list | tuple | dict) for item in value):
        raise ValueError("must be a list of strings, numbers or booleans, without lists or tables in it")
    _check_json(value)
    return tuple(value)


def json_text(value: Any) -> bytes:
    """Any JSON value, as JSON text."""
    _check_json(value)
    return msgspec.json.encode(value)


def named(value: Any) -> tuple[str, dict[str, Any]]:
    """A name, or a table of a `name` and its parameters."""
    if isinstance(value, str):
        return text(value), {}
    if not isinstance(value, dict) or "name" not in value:
        raise ValueError('must be a name in quotes, or a table such as { name = "…", parameter = 0.1 }')
    params = {key: item for key, item in value.items() if key != "name"}
    _check_json(params)
    return text(value["name"]), params


def _check_json(value: Any) -> None:
    """Raises for what JSON cannot say, and so would not reach the other processes as it is."""
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"must be JSON, which has no {value}")
        case int() if not -(2**63) <= value < 2**64:
            raise ValueError("must be JSON with integers of at most 64 bits")
        case list() | tuple():
            for item in value:
                _check_json(item)
        case dict():
            for key, item in value.items():
                _check_json(text(key))
                _check_json(item)
        case str():
            value.encode()  # half a surrogate pair, which Python alone can hold, raises ValueError
        case None | bool() | int() | float():
            pass
        case _:
            raise ValueError(f"must be JSON, which has no {type(value).__name__}; write it in quotes")
