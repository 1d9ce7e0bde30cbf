from __future__ import annotations

import sys
from pathlib import Path

import pytest

from skysail.demo.models import MODELS
from skysail.demo.plot import Moment, draw
from skysail.demo.score import Result, Scores
from skysail.errors import MissingExtra


@pytest.mark.parametrize("count", [0, 50, 300])
def test_a_picture_is_drawn_of_any_run(tmp_path: Path, scores: Scores, count: int) -> None:
    """A PNG of the whole run, also of one too short for a window, or without an answer."""
    refs = tuple(f"{model}@1" for model in MODELS)
    for query in range(count):
        scores.add(Result(query=query, at=query * 0.01, latency=0.01, id=str(query), output=1, refs=refs))
    weights = [(at, dict.fromkeys(MODELS, 0.2)) for at in (0.5, 1.0)] if count else []
    draw(tmp_path / "demo.png", scores, weights, [Moment(1.0, "bad release"), Moment(2.0, "rollback")])
    data = (tmp_path / "demo.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 1000


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, scores: Scores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Matplotlib is not installed the message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"matplotlib.*skysail\[demo\]"):
        draw(tmp_path / "demo.png", scores, [], [])
