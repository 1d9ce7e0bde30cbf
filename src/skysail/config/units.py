"""Sizes and durations as people write them: `64MiB`, `20ms`, `7d`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

__all__ = ["parse_duration", "parse_size"]

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]+)")

_SECONDS = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_LONGEST = 36500 * _SECONDS["d"]

_BYTES = {
    "B": Decimal(1),
    "kB": Decimal(10**3),
    "MB": Decimal(10**6),
    "GB": Decimal(10**9),
    "TB": Decimal(10**12),
    "KiB": Decimal(1 << 10),
    "MiB": Decimal(1 << 20),
    "GiB": Decimal(1 << 30),
    "TiB": Decimal(1 << 40),
}
_LARGEST = Decimal(2**63 - 1)


def parse_duration(value: object) -> float:
    """Seconds of a duration with its unit; `ValueError` says what is wrong and what to write instead.

    A bare number is refused: nobody remembers whether it would be seconds or milliseconds.

    >>> parse_duration("20ms"), parse_duration("1.5 h")
    (0.02, 5400.0)
    >>> parse_duration(20)
    Traceback (most recent call last):
        ...
    ValueError: a duration needs its unit: write "20ms" or "20s"
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'a duration needs its unit: write "{value}ms" or "{value}s"')
    seconds = _quantity(value, _SECONDS, 'must be a duration such as "20ms" or "10s"')
    if seconds > _LONGEST:
        raise ValueError("must be at most 36500d")
    return float(seconds)


def parse_size(value: object) -> int:
    """Bytes of a size: an integer, or text with a unit; `ValueError` says what is wrong and what to write instead.

    >>> parse_size("64MiB"), parse_size("1.5kB"), parse_size(512)
    (67108864, 1500, 512)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        size = Decimal(value)
    else:
        size = _quantity(value, _BYTES, 'must be a size such as "64MiB", or a whole number of bytes')
    if size < 0 or size != size.to_integral_value():
        raise ValueError("must be a whole number of bytes, not below 0")
    if size > _LARGEST:
        raise ValueError("must be below 2**63 bytes")
    return int(size)


def _quantity(value: object, units: Mapping[str, Decimal], wanted: str) -> Decimal:
    """A number with one of the units, in the base unit."""
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{wanted}; units: {', '.join(units)}")
    number, unit = match.groups()
    if unit not in units:
        raise ValueError(f"unit '{unit}' is unknown; units: {', '.join(units)}")
    return Decimal(number) * units[unit]
