"""The pages that begin from nothing do what they say, with real processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the pages use curl, which is not installed"),
]


@pytest.mark.parametrize(
    ("page", "example"),
    [
        ("README.md", None),
        ("docs/tutorial.md", None),
        ("examples/own_policy/README.md", "examples/own_policy"),
    ],
)
def test_a_page_does_what_it_says(page: str, example: str | None, reader: Callable[[Path | None], Any]) -> None:
    """Each command of the page does as it shows, and the server it starts ends with 0 when it is told to."""
    walk = reader(None if example is None else ROOT / example)
    walk.walk(ROOT / page)
    assert walk.stop() == 0
