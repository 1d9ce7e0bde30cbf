from __future__ import annotations

from typing import Any

import msgspec
import pytest


def test_applications_show_how_they_do(document: Any, counted: dict[str, Any]) -> None:
    """Weights, answers, defaults by reason, accuracy and latency stand beside what is configured."""
    app = document(counted)["apps"]["digits"]
    assert (app["answers"], app["defaults"], app["weights"]) == (10, {"deadline": 2}, {"svm": 0.7, "new": 0.3})
    assert app["effective_accuracy"] == 0.75
    assert app["latency_ms"] == {"p50": pytest.approx(5 / 7), "p99": 10.0}
    assert app["ready"]


def test_models_show_their_processes_and_what_went_wrong(document: Any, counted: dict[str, Any]) -> None:
    """Each replica has what the parent and the frontend know of it, one that is missing too; so has the traceback."""
    model = document(counted, **{"svm@2/1": "svm@2/1 could not be loaded: boom"})["models"]["svm"]
    assert (model["version"], model["versions"], model["batch"]["cap"]) == (2, [1, 2], 8)
    first, second = model["replicas"]["svm@2/0"], model["replicas"]["svm@2/1"]
    assert (first["process"], first["load"], first["connection"], first["pid"]) == ("running", "ready", "ready", 11)
    assert first["last_exit"] == "exited with status 3"
    assert second["process"] == "missing"
    assert model["failure"] == "svm@2/1 could not be loaded: boom"
    assert model["traceback"] == "ValueError: boom"


def test_ready_is_when_every_application_can_be_answered(document: Any, counted: dict[str, Any]) -> None:
    """Without a frontend, or with an application that none can answer, the server is not ready, and says why."""
    assert document(counted)["ready"]
    down = document({**counted, "ready": {"digits": "no replica of svm is ready"}})
    assert not down["ready"]
    assert down["apps"]["digits"]["why_not"] == "no replica of svm is ready"
    alone = document({}, 0)
    assert not alone["ready"]
    assert alone["apps"]["digits"]["why_not"] == "no frontend is connected"


def test_what_nobody_counted_is_missing_not_zero(document: Any) -> None:
    """While the frontend restarts, numbers are null rather than wrong."""
    alone = document({}, 0)
    app, model = alone["apps"]["digits"], alone["models"]["svm"]
    assert [app["answers"], app["effective_accuracy"], app["weights"], model["rows"]] == [None] * 4


def test_accuracy_and_coverage_are_told(document: Any, counted: dict[str, Any]) -> None:
    """Of each version in each application, and of a model's current version over all of them; coverage as it is."""
    other = {"versions": {"svm@2": {"judged": 2, "right": 0}}}
    told = document({**counted, "apps": {**counted["apps"], "other": other}})
    assert told["apps"]["digits"]["versions"] == {
        "svm@2": {"judged": 8, "effective_accuracy": 0.875},
        "svm@1": {"judged": 2, "effective_accuracy": 0.0},
    }
    assert told["models"]["svm"]["effective_accuracy"] == 0.7
    assert told["apps"]["digits"]["conformal"]["coverage"] == 0.925


def test_processes_are_listed(document: Any, counted: dict[str, Any]) -> None:
    """Every child of the server is there with how often it was started, and all of it is JSON."""
    told = msgspec.json.decode(msgspec.json.encode(document(counted)))
    assert told["processes"]["frontend/0"] == {
        "kind": "frontend",
        "state": "running",
        "pid": 12,
        "starts": 1,
        "last_exit": None,
    }
