from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def stragglers(paper: Any) -> Any:
    """The module."""
    return paper("stragglers")


def model(name: str, latency_ms: float | None, output: int | None) -> dict[str, Any]:
    """A model of a decision, as the control plane tells it."""
    return {"model": name, "latency_ms": latency_ms, "output": output}


def test_blocking_is_the_slowest_model(stragglers: Any) -> None:
    """Late outputs count with the time they took; what a model never said, whenever that was known, does not."""
    answers = [
        {"models": ["a@1", "b@1"], "missing": [], "output": 1},
        {"models": ["a@1", "b@1"], "missing": ["b@1"], "output": 2},
        {"models": ["a@1", "b@1"], "missing": ["a@1", "b@1"], "output": -1},
    ]
    asked = [stragglers.Asked(due=0.0, latency=0.01 * n, status=200, answer=a) for n, a in enumerate(answers, 1)]
    decisions = [
        {"latency_ms": 5.0, "models": [model("a@1", 4.0, 1), model("b@1", 5.0, 1)]},
        {"latency_ms": 20.0, "models": [model("a@1", 4.0, 2), model("b@1", 110.0, 1)]},
        {"latency_ms": 20.0, "models": [model("a@1", 21.0, None), model("b@1", None, None)]},
    ]
    run = stragglers.summed(asked, decisions, labels=[1, 1, 1], full=[1, 1, 2])
    assert run.size == 2
    assert (run.mean, run.p99, run.server_p99) == pytest.approx((0.02, 0.03, 0.02))
    assert (run.blocking_mean, run.blocking_p99) == pytest.approx((0.0575, 0.11))
    assert (run.missing, run.late) == pytest.approx((0.5, 2 / 3))
    assert (run.accuracy, run.full_accuracy) == pytest.approx((1 / 3, 2 / 3))
    assert run.loss == pytest.approx(100 / 3)


def test_a_vote_is_as_the_policy_has_it(stragglers: Any) -> None:
    """Most votes win; on a tie the model that is listed earliest."""
    assert stragglers._vote([1, 2, 2]) == 2
    assert stragglers._vote([3, 2, 2, 3, 1]) == 3


@pytest.mark.slow
def test_a_small_run(stragglers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sizes through the server: models are recorded with the time they took, and stall as often as they should."""
    monkeypatch.setattr(stragglers, "_QUICK_SIZES", (1, 2))
    monkeypatch.setattr(stragglers, "_QUICK_QUERIES", 60)
    monkeypatch.setattr(stragglers, "_QUICK_HARD_QUERIES", 60)
    monkeypatch.setattr(stragglers, "_RATE", 60.0)
    monkeypatch.setattr(stragglers, "_ONE_IN", 20)
    result = stragglers._run(True)
    one, two = result.data["sizes"]
    assert one["blocking_p99"] > stragglers._STALL
    assert two["missing"] > 0.0
    assert result.data["quarter"]["size"] == 2
