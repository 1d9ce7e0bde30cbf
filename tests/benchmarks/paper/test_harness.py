from __future__ import annotations

import doctest
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def harness(paper: Any) -> Any:
    """The module."""
    return paper("harness")


def experiment(harness: Any, value: float, name: str = "toy") -> Any:
    """One that is over at once, with one goal: below 1."""
    goal = import_module("benchmarks.report").Goal(what="loss", value=value, limit=1.0)
    figure = harness.Figure(what="error", published=".1", ours=".2")
    result = harness.Result(
        title="Toy", method="none", lines=["a line"], data={"n": 1}, goals=[goal], figures=[figure],
        plot=lambda canvas: canvas.subplots().plot([1, 2]),
    )  # fmt: skip
    return harness.Experiment(name=name, run=lambda quick: result)


def test_everything_is_printed_and_written(harness: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Published beside ours, the goals, the machine; the numbers as JSON, and a picture."""
    assert harness.main([experiment(harness, 0.5)], ["--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "processor" in out
    assert ["error", ".1", ".2"] in [line.split() for line in out.splitlines()]
    assert "met" in out
    written = json.loads((tmp_path / "toy.json").read_text())
    assert written["figures"] == [{"what": "error", "published": ".1", "ours": ".2"}]
    assert written["goals"][0]["met"] is True
    assert (tmp_path / "toy.png").read_bytes().startswith(b"\x89PNG")


def test_a_missed_goal_is_shown_and_fails(harness: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At full size the exit code says so; a quick run shows it and passes."""
    missed = experiment(harness, 1.5)
    assert harness.main([missed], ["--folder", str(tmp_path)]) == 1
    assert "MISSED" in capsys.readouterr().out
    assert harness.main([missed], ["--folder", str(tmp_path), "--quick"]) == 0
    assert "MISSED" in capsys.readouterr().out


def test_what_cannot_be_measured_fails(harness: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Quick or not; the others run all the same."""

    def fails(quick: bool) -> Any:
        raise harness.BenchmarkError("no server")

    both = [harness.Experiment(name="bad", run=fails), experiment(harness, 0.5)]
    assert harness.main(both, ["--folder", str(tmp_path), "--quick"]) == 1
    out = capsys.readouterr().out
    assert "bad: not measured: no server" in out
    assert "a line" in out


def test_some_are_chosen_by_name(harness: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Others are not run; a name that nobody has is refused with those there are."""
    two = [experiment(harness, 0.5, "one"), experiment(harness, 0.5, "two")]
    harness.main(two, ["two", "--folder", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.json", "two.png"]
    with pytest.raises(SystemExit):
        harness.main(two, ["three"])
    assert "there are one, two" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["harness", "models", "personalisation"])
def test_examples(paper: Any, name: str) -> None:
    """The examples in docstrings hold."""
    assert doctest.testmod(paper(name)).failed == 0


def test_every_script_is_an_experiment_by_its_name(paper: Any) -> None:
    """`python -m benchmarks.paper` finds each of them."""
    main = paper("__main__")
    assert tuple(experiment.name for experiment in main.experiments()) == main.EXPERIMENTS
