"""Sizes and durations as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.config.units import parse_duration, parse_size

SECONDS = {"us": (1, 10**6), "ms": (1, 10**3), "s": (1, 1), "m": (60, 1), "h": (3600, 1), "d": (86400, 1)}
BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@given(st.integers(0, 36500), st.sampled_from(sorted(SECONDS)))
def test_a_duration_is_its_number_times_its_unit(count: int, unit: str) -> None:
    """A whole number of any unit is the very float that the division or product in seconds gives."""
    times, over = SECONDS[unit]
    assert parse_duration(f"{count}{unit}") == count * times / over


@given(st.integers(0, 10**6), st.sampled_from(sorted(BYTES)))
def test_a_size_is_its_number_times_its_unit(count: int, unit: str) -> None:
    """Decimal and binary units are exact, with or without a space."""
    assert parse_size(f"{count}{unit}") == parse_size(f"{count} {unit}") == count * BYTES[unit]


@given(st.integers(0, 2**63 - 1))
def test_an_integer_is_a_number_of_bytes(count: int) -> None:
    """A size may be written as its bytes, without loss."""
    assert parse_size(count) == count


def test_fractions() -> None:
    """A fraction is exact, and refused where it is no whole number of bytes."""
    assert parse_duration("0.5ms") == 0.0005
    assert parse_size("1.5GiB") == 3 << 29
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_size("0.3kiB".replace("k", "K"))


@pytest.mark.parametrize("value", [20, 0.5, 0])
def test_a_duration_without_its_unit_is_refused(value: float) -> None:
    """A bare number names the two spellings it may have meant."""
    with pytest.raises(ValueError, match=f'needs its unit: write "{value}ms" or "{value}s"'):
        parse_duration(value)


@pytest.mark.parametrize(
    "value", ["", "ms", "-1s", "1", "1e3s", "1h30m", ".5s", "1.s", "٣s", "inf", True, None, [], {}]
)
def test_what_is_no_duration_is_refused_with_an_example(value: object) -> None:
    """Anything else is told what a duration looks like, and the units."""
    with pytest.raises(ValueError, match='such as "20ms" or "10s"; units: us, ms, s, m, h, d'):
        parse_duration(value)


@pytest.mark.parametrize("value", ["", "MiB", "-1B", "1", "1e3B", 1.5, True, None, [], {}])
def test_what_is_no_size_is_refused_with_an_example(value: object) -> None:
    """Anything else is told what a size looks like, and the units."""
    with pytest.raises(ValueError, match='such as "64MiB", or a whole number of bytes; units: B, kB'):
        parse_size(value)


def test_an_unknown_unit_is_named() -> None:
    """A unit that is not known is named beside those that are."""
    with pytest.raises(ValueError, match="unit 'sec' is unknown; units: us, ms, s"):
        parse_duration("1sec")
    with pytest.raises(ValueError, match="unit 'mb' is unknown; units: B, kB, MB"):
        parse_size("1mb")


def test_extremes_are_refused() -> None:
    """A century is the longest duration, 2**63 the end of sizes, and nothing is below zero."""
    with pytest.raises(ValueError, match="at most 36500d"):
        parse_duration("36501d")
    with pytest.raises(ValueError, match="below 2\\*\\*63"):
        parse_size(2**63)
    with pytest.raises(ValueError, match="not below 0"):
        parse_size(-1)


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans())
def test_nothing_else_comes_out(value: object) -> None:
    """Whatever is given, the result is a sensible number or a ValueError."""
    for parse in (parse_duration, parse_size):
        try:
            result = parse(value)
        except ValueError:
            continue
        assert math.isfinite(result)
        assert result >= 0
