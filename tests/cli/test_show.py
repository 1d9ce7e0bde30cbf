from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType

from skysail.cli.show import status_view, why_view

WHY: dict[str, Any] = {
    "prediction_id": "id-1",
    "app": "digits",
    "policy": "adahedge",
    "context": "alice",
    "time": 0.0,
    "latency_ms": 3.26,
    "output": 7,
    "confidence": 0.9,
    "agreement": 0.5,
    "default": False,
    "reason": None,
    "fallback": False,
    "eta": 1.0,
    "weights": {"svm": 0.75, "mlp": 0.25},
    "models": [
        {"model": "svm@1", "propensity": 1.0, "output": 7, "failure": None, "latency_ms": 2.0},
        {"model": "mlp@3", "propensity": 1.0, "output": None, "failure": "missing", "latency_ms": None},
    ],
    "feedback": None,
}
STATUS: dict[str, Any] = {
    "apps": {
        "digits": {
            "answers": 1200,
            "defaults": {"deadline": 3, "overload": 0},
            "effective_accuracy": 0.975,
            "latency_ms": {"p50": 2.1, "p99": 8.04},
            "weights": {"svm": 0.9, "mlp": 0.1},
            "ready": True,
            "why_not": None,
        }
    },
    "models": {
        "svm": {
            "version": 2,
            "replicas": {"svm@2/0": {"connection": "ready", "load": "ready", "process": "running"}},
            "batch": {"cap": 64, "p50": 4, "p99_ms": 5.5},
            "errors": {"model_error": 2},
            "failure": None,
            "traceback": "Traceback …\nValueError: poisoned\n",
        }
    },
}


def text(view: RenderableType) -> str:
    """A view as it looks on a wide terminal without colours."""
    console = Console(file=StringIO(), width=140)
    console.print(view)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_why_tells_each_models_part() -> None:
    """What was answered, and for each model its version, weight, propensity, output or failure, and time."""
    seen = text(why_view(WHY))
    assert "digits answered 7 in context alice after 3.3 ms" in seen
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in seen.splitlines() if "@" in line]
    assert rows == [["svm@1", "0.75", "1.00", "7", "2.0 ms"], ["mlp@3", "0.25", "1.00", "missing", ""]]
    assert "no feedback yet" in seen


@pytest.mark.parametrize(
    ("feedback", "said"),
    [({"label": 7, "reward": None}, "the right answer is 7"), ({"label": None, "reward": 0.5}, "reward 0.5")],
)
def test_why_tells_the_feedback(feedback: dict[str, Any], said: str) -> None:
    """A label or a reward."""
    assert said in text(why_view(WHY | {"feedback": feedback}))


def test_why_tells_a_default_and_a_fallback() -> None:
    """An answer that is not the first choice's says so."""
    unsure = {"default": True, "reason": "deadline", "confidence": None, "agreement": None, "context": None}
    seen = text(why_view(WHY | unsure | {"fallback": True}))
    assert "digits answered the default, deadline after" in seen
    assert "confidence –" in seen
    assert "drawn first failed" in seen


def test_status_shows_apps_and_models() -> None:
    """Counts, latencies, weights, batches, errors and the last traceback are all there."""
    seen = text(status_view(STATUS))
    for part in ("1200", "3 deadline", "0.975", "8.0", "svm 0.90, mlp 0.10", "64", "5.5", "2 model_error", "poisoned"):
        assert part in seen
    assert "0 overload" not in seen


def test_status_before_anything_was_counted() -> None:
    """Without a frontend's numbers there are dashes, and it says what is wrong."""
    unknown = {"latency_ms": {"p50": None, "p99": None}, "ready": False, "why_not": "no frontend is connected"}
    app = dict.fromkeys(STATUS["apps"]["digits"]) | unknown
    model = dict.fromkeys(STATUS["models"]["svm"]) | {
        "version": 1,
        "replicas": {"svm@1/0": {"connection": None, "load": "failed", "process": "waiting"}},
        "failure": "ImportError: no module",
    }
    seen = text(status_view({"apps": {"digits": app}, "models": {"svm": model}}))
    assert "digits cannot be answered: no frontend is connected" in seen
    assert "failed" in seen
    assert "last failure of svm" in seen
