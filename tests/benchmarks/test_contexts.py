"""The benchmark of contexts: its arithmetic, and that it measures what it says."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.contexts")


@pytest.mark.parametrize(("q", "expected"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_one_of_the_values(contexts: Any, q: float, expected: int) -> None:
    """The least that a share q does not exceed, in whatever order they come."""
    assert contexts.quantile([float(n) for n in range(100, 0, -1)], q) == expected


def confidences(*values: float | None) -> Callable[[str], tuple[str, object]]:
    """A server whose answers have these confidences."""
    said = iter(values)
    return lambda context: (f"id of {context}", next(said))


def test_the_answer_that_shows_feedback_is_counted(contexts: Any) -> None:
    """The first answer after the feedback is number one; what counts is that the confidence is another."""
    told: list[tuple[str, int]] = []

    def tell(id: str, label: int) -> None:
        told.append((id, label))

    seconds, number = contexts.seen_after(confidences(None, 1.0), tell, "alice", 1)
    assert (number, told) == (1, [("id of alice", 1)])
    assert seconds > 0
    assert contexts.seen_after(confidences(0.5, 0.5, 0.5, 0.4), tell, "bob", 0)[1] == 3


def test_feedback_that_is_never_seen_is_an_error(contexts: Any) -> None:
    """A server that does not learn is not measured."""
    with pytest.raises(contexts.BenchmarkError, match="not seen in 4 answers"):
        contexts.seen_after(confidences(*[0.5] * 9), lambda id, label: None, "alice", 1, most=4)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_a_small_run(contexts: Any) -> None:
    """The file is written, every kind of lookup is made, and a real server shows its feedback at once."""
    report = contexts.measure_contexts(3_000, 300)
    assert report.data["file_bytes"] > 100 * 3_000
    assert set(report.data["lookups_ms"]) == {"no lookup", "warm", "cold", "from disk"}
    assert all(found["p50"] > 0 for found in report.data["lookups_ms"].values())
    assert report.data["seen_by_answer"] == [1] * len(report.data["seen_ms"])
    assert len(report.goals) == 5
