from __future__ import annotations

import pytest

from skysail.cli.errors import FAILED, UNREACHABLE, USAGE, UsageError, exit_code
from skysail.client import Unreachable
from skysail.errors import ConfigError, MissingExtra, Overload, SkysailError, Unavailable, UnknownApp


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownApp("x"), FAILED),
        (Overload("x"), FAILED),
        (Unavailable("x"), FAILED),
        (ConfigError("x"), USAGE),
        (UsageError("x"), USAGE),
        (MissingExtra("the demo", "demo", "lightgbm"), USAGE),
        (Unreachable("x"), UNREACHABLE),
    ],
)
def test_the_code_says_whose_move_it_is(error: SkysailError, code: int) -> None:
    """The server's refusal, the operator's mistake, and nobody there are three codes."""
    assert exit_code(error) == code


def test_the_codes_are_the_documented_ones() -> None:
    """Scripts depend on these numbers."""
    assert (FAILED, USAGE, UNREACHABLE) == (1, 2, 3)
