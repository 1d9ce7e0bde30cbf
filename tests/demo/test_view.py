from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from skysail.demo.models import MODELS
from skysail.demo.score import SKYSAIL, VOTE
from skysail.demo.snapshot import ModelView, Snapshot
from skysail.demo.view import bar, live, phase, plain

ERRORS = {SKYSAIL: 0.05, "svm": 0.02, VOTE: 0.07}


@pytest.fixture
def shot() -> Snapshot:
    """Ten seconds into a run in which all is well."""
    models = [
        ModelView(ref=f"{model}@1", weight=0.2 * i, batch=2.0, recent=0.1 * i, whole=0.2)
        for i, model in enumerate(MODELS)
    ]
    return Snapshot(
        elapsed=10.0,
        answered=2000,
        rate=199.6,
        p50=3.25,
        p99=12.0,
        server_p99=8.0,
        cache_hits=77,
        cache_share=0.19,
        taught=1900,
        defaults=3,
        failures=0,
        models=tuple(models),
        recent=ERRORS,
        whole=ERRORS,
    )


def rendered(shot: Snapshot) -> str:
    """The live view as text."""
    console = Console(file=StringIO(), width=140)
    console.print(live(shot, seconds=30.0, slo_ms=25.0))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def broken(shot: Snapshot) -> Snapshot:
    """The same while the bad release serves."""
    return replace(shot, models=(replace(shot.models[0], ref="svm@2"), *shot.models[1:]))


def test_the_live_view_shows_what_was_promised(shot: Snapshot) -> None:
    """Rate, latencies against the objective, batches, cache, weights and everybody's error are all there."""
    text = rendered(shot)
    for part in (
        "10 of 30 s",
        "200 queries/s",
        "p50 3.2 ms, p99 12.0 ms",
        "p99 8.0 ms",
        "objective 25 ms",
        "77 evaluations",
    ):
        assert part in text
    for name in (*MODELS, SKYSAIL, VOTE, "█", "19.0%", "7.0%", "3 defaults"):
        assert name in text


def test_the_bad_release_is_named(shot: Snapshot) -> None:
    """While the best model has another version, the view says that it is broken."""
    assert phase(shot) == "svm@1 serves"
    assert "svm@2, a bad release of svm, serves" in rendered(broken(shot))


def test_the_plain_line_is_one_line(shot: Snapshot) -> None:
    """Without a terminal there is one line with the same numbers."""
    line = plain(shot, slo_ms=25.0)
    assert "\n" not in line
    for part in ("10.0 s", "200 q/s", "p99 12.0 ms", "svm@1 0.00", "batches 2.0/2.0/2.0/2.0/2.0", "Skysail 5.0%"):
        assert part in line


def test_what_is_not_known_yet_is_left_out(shot: Snapshot) -> None:
    """NaN never reaches the reader as a number."""
    unknown = replace(shot.models[0], weight=math.nan, batch=math.nan, recent=math.nan, whole=math.nan)
    text = rendered(replace(shot, models=(unknown, *shot.models[1:])))
    row = next(line for line in text.splitlines() if "svm@1" in line and "serves" not in line)
    assert "nan" not in row
    assert "█" not in row


@given(share=st.floats(-1, 2), width=st.integers(1, 60))
def test_a_bar_is_as_wide_as_it_is_told(share: float, width: int) -> None:
    """Whatever the share, the bar fills its width with blocks first and spaces after."""
    text = bar(share, width)
    assert len(text) == width
    assert text.count("█") == pytest.approx(min(1.0, max(0.0, share)) * width, abs=1)
    assert text.rstrip() + " " * (width - len(text.rstrip())) == text
