from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The comparison; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.compare")


def measure(what: str, values: list[float], *, more_is_worse: bool = False) -> dict[str, Any]:
    """A measure as files have it."""
    return {"what": what, "values": values, "more_is_worse": more_is_worse}


def written(file: Path, *measures: dict[str, Any], goals: list[dict[str, Any]] | None = None) -> str:
    """A result with these measures in it, as `make bench-peers` writes it."""
    file.write_text(json.dumps({"measures": measures, "goals": goals or []}))
    return str(file)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([2.0, 2.1, 2.2], [1.7, 1.8, 1.9], "worse"),
        ([2.0, 2.1, 2.2], [2.4, 2.5, 2.6], "better"),
        ([2.0, 2.1, 2.2], [1.7, 1.8, 2.15], "same"),  # the old median is within what the new run saw
        ([1.0, 2.1, 2.2], [1.7, 1.8, 1.9], "same"),  # the new median is within what the old run saw
        ([100.0], [99.5], "same"),  # less than a hundredth
        ([100.0], [98.5], "worse"),
        ([0.0], [0.0], "same"),
        ([0.0], [3.0], "better"),
    ],
)
def test_a_number_changed_only_beyond_the_spread_of_both(
    compare: Any, tmp_path: Path, old: list[float], new: list[float], verdict: str
) -> None:
    """Medians stand apart from all that the other run saw, and by over a hundredth; costs count the other way."""
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, values in zip(files, (old, new), strict=True):
        written(file, measure("rate", values), measure("cost", values, more_is_worse=True))
    rate, cost = compare.changes(*[compare.read_measures(file) for file in files])
    assert rate.verdict == verdict
    assert cost.verdict == {"worse": "better", "better": "worse", "same": "same"}[verdict]


def test_the_report_names_what_is_worse(compare: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each number stands there with its change; what is worse is named at the end, and the exit code tells."""
    old = written(
        tmp_path / "old", measure("rate", [10.0, 11.0]), measure("instructions", [50_000], more_is_worse=True)
    )
    new = written(
        tmp_path / "new", measure("rate", [10.5, 11.5]), measure("instructions", [60_000], more_is_worse=True)
    )
    assert compare.main([old, new]) == 1
    out = capsys.readouterr().out
    assert "+20.0%  worse" in out
    assert "rate" in out
    assert out.rstrip().endswith("worse by more than the spread: instructions")
    assert compare.main([new, old]) == 0
    assert capsys.readouterr().out.rstrip().endswith("worse by more than the spread: nothing")


def test_what_one_run_lacks_is_said(compare: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers of one run alone, and goals that are no longer met, are named, and decide nothing."""
    goal = {"what": "p99", "value": 1.0, "limit": 2.0}
    old = written(tmp_path / "old", measure("a", [1.0]), measure("b", [1.0]), goals=[goal | {"met": True}])
    new = written(tmp_path / "new", measure("a", [1.0]), measure("c", [1.0]), goals=[goal | {"met": False}])
    assert compare.main([old, new]) == 0
    out = capsys.readouterr().out
    assert "only in the old run: b" in out
    assert "only in the new run: c" in out
    assert "a goal that was met is missed: p99" in out


def test_reports_of_make_bench_are_compared(compare: Any, tmp_path: Path) -> None:
    """Its measures stand in reports, and are named after them."""
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"machine": {}, "reports": {"throughput": {"measures": [measure("rate", [0.5])]}}}))
    assert list(compare.read_measures(file)) == ["throughput: rate"]


@pytest.mark.parametrize("content", ["", "[", "{}", '{"measures": []}', '{"measures": [], "reports": {}}'])
def test_a_file_without_numbers_is_refused(
    compare: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """Neither side may be no result at all: the file is named, and the exit code is another."""
    empty, good = tmp_path / "empty.json", written(tmp_path / "good", measure("a", [1.0]))
    empty.write_text(content)
    assert compare.main([str(empty), good]) == compare.main([good, str(empty)]) == 2
    assert "empty.json" in capsys.readouterr().err


def test_runs_of_different_things_are_not_compared(
    compare: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing in common is an error, not a success."""
    files = [written(tmp_path / what, measure(what, [1.0])) for what in ("a", "b")]
    assert compare.main(files) == 2
    assert "no number in common" in capsys.readouterr().err
