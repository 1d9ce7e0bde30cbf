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
    "conformal": None,
    "eta": 1.0,
    "weights": {"svm": 0.75, "mlp": 0.25},
    "hedge": None,
    "policy_raised": None,
    "left_out": {},
    "weights_now": {"svm": 0.8, "mlp": 0.2},
    "models": [
        {
            "model": "svm@1",
            "asked": "picked",
            "propensity": 1.0,
            "output": 7,
            "late": False,
            "failure": None,
            "latency_ms": 2.0,
            "mean": None,
            "loss": None,
        },
        {
            "model": "mlp@3",
            "asked": "picked",
            "propensity": 1.0,
            "output": None,
            "late": False,
            "failure": "missing",
            "latency_ms": None,
            "mean": None,
            "loss": None,
        },
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
            "conformal": None,
            "weights": {"svm": 0.9, "mlp": 0.1},
            "ready": True,
            "why_not": None,
            "policy_failures": 0,
            "policy_traceback": None,
        }
    },
    "models": {
        "svm": {
            "version": 2,
            "effective_accuracy": 0.9625,
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


def rows(seen: str) -> list[list[str]]:
    """The cells of a table's rows, without those of its head."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in seen.splitlines() if line.startswith("│")]


def test_why_tells_each_models_part() -> None:
    """What was answered, and for each model its version, weight, propensity, output or failure, and time."""
    seen = text(why_view(WHY))
    assert "digits answered 7 in context alice after 3.3 ms" in seen
    assert rows(seen) == [
        ["svm@1", "0.75 → 0.80", "1.00", "7", "2.0 ms", ""],
        ["mlp@3", "0.25 → 0.20", "1.00", "missing", "", ""],
    ]
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


def test_why_tells_what_was_out_of_the_ordinary() -> None:
    """A hedge, a model left out, a mean that stood in, one that was not asked at all, a policy that raised."""
    svm, mlp = WHY["models"]
    models = [svm | {"failure": "lost", "mean": 3.5, "loss": 1.0}, mlp | {"asked": "hedge", "output": 7, "late": True}]
    models[1]["failure"] = None
    odd = {
        "models": models,
        "hedge": "model",
        "fallback": True,
        "left_out": {"big": 41.7, "new": None},
        "policy_raised": "combine",
    }
    seen = text(why_view(WHY | odd | {"weights": {"svm": 0.8, "mlp": 0.2, "new": 0.0}, "weights_now": None}))
    assert "svm@1 took longer than it nearly ever does, so mlp@3 was asked too" in seen
    assert "big was left out, for it would have taken 42 ms" in seen
    assert "new was left out, for it was busy, and not known yet" in seen
    assert "the policy raised in combine and was stood in for" in seen
    assert "drawn first failed" not in seen
    assert "another policy by now" in seen
    assert rows(seen) == [
        ["svm@1", "0.80", "1.00", "lost; its mean, 3.5, stood in", "2.0 ms", "1.00"],
        ["mlp@3", "0.20", "hedge", "7, too late", "", ""],
        ["new", "0.00", "not asked", "", "", ""],
    ]
    assert "so a second replica was asked too" in text(why_view(WHY | {"hedge": "replica"}))


def test_status_says_loudly_that_a_policy_raises() -> None:
    """How often, and where the last time."""
    app = STATUS["apps"]["digits"] | {"policy_failures": 3, "policy_traceback": "in select: KeyError: 'arm'\n"}
    seen = text(status_view(STATUS | {"apps": {"digits": app}}))
    assert "the policy of digits raised 3 times" in seen
    assert "in select: KeyError: 'arm'" in seen


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


@pytest.mark.parametrize(
    ("conformal", "said"),
    [
        ({"level": None}, "too few labels had come by then"),
        (
            {"level": 0.9, "set": [7, 8]},
            "the label should be in [7,8] (at level 0.90; the policy's own confidence is 0.50)",
        ),
        ({"level": 0.9, "set": [7], "covered": True}, "the label should be in [7], and was"),
        ({"level": 0.9, "interval": [1.5, 2], "covered": False}, "the label should be in [1.5,2], and was not"),
        ({"level": 0.9, "covered": True}, "the label might be anything, and was"),
    ],
)
def test_why_tells_what_was_to_hold_the_label(conformal: dict[str, Any], said: str) -> None:
    """The set or the interval, at which level, and whether it did."""
    none = {"policy_confidence": 0.5, "set": None, "interval": None, "covered": None}
    assert said in text(why_view({**WHY, "conformal": {**none, **conformal}}))


def test_status_tells_the_coverage() -> None:
    """How many labels were held, of how many that should be."""
    tally = {"target": 0.9, "coverage": 0.925, "recent": 0.91, "size": 1.25}
    app = {**STATUS["apps"]["digits"], "conformal": tally}
    seen = text(status_view({**STATUS, "apps": {"digits": app}}))
    assert "confidence in digits: held 0.925 of the labels (0.910 of late), to hold 0.9; mean size 1.250" in seen
