"""A running system as monitoring is told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skysail.monitoring.status import status
from skysail.supervisor.spec import ChildStatus

_APPS: dict[str, Any] = {"digits": {"models": ["svm", "new"], "policy": "adahedge", "slo_ms": 20.0}}

_MODELS: dict[str, Any] = {
    "svm": {"current": 2, "replicas": 2, "versions": [{"version": 1}, {"version": 2}]},
}

_COUNTED: dict[str, Any] = {
    "apps": {
        "digits": {
            "answers": 10,
            "defaults": {"deadline": 2},
            "errors": {"invalid_input": 1},
            "effective": {"judged": 4, "right": 3},
            "versions": {"svm@2": {"judged": 8, "right": 7}, "svm@1": {"judged": 2, "right": 0}},
            "conformal": {
                "target": 0.9,
                "level": 0.92,
                "judged": 40,
                "covered": 37,
                "coverage": 0.925,
                "recent": 0.91,
                "bounded": 36,
                "size": 1.25,
            },
            "latency": {"le": [0.001, 0.01], "counts": [7, 2, 1], "sum": 0.05, "recent": [0, 0, 0]},
            "weights": {"svm": 0.7, "new": 0.3},
            "observations": 5,
            "duplicates": 1,
            "policy_failures": 0,
            "policy_traceback": None,
        }
    },
    "models": {
        "svm@2": {
            "replicas": {"svm@2/0": {"state": "ready", "pid": 11, "inflight": 1, "kills": 0}},
            "input": "float64[64]",
            "queue": 3,
            "batches": 5,
            "rows": 20,
            "errors": {"model_error": 1},
            "batch": {"cap": 8, "depth": 1, "p50": 4.0, "p99_ms": 2.5},
            "traceback": "ValueError: boom",
            "cache": {"hits": 1, "misses": 9, "joined": 2},
        }
    },
    "cache": {"entries": 9, "bytes": 900, "evicted": 0},
    "ledger": {"pending": 1, "commits": 2, "written": 9, "dropped": 0, "failing": None},
    "http": {"connections": 1, "requests": 12, "gone": 0, "errors": {"invalid_input": 1}},
    "ready": {"digits": None},
    "memory_bytes": 1000,
}

_CHILDREN = [
    ChildStatus(
        name="svm@2/0",
        kind="worker",
        state="running",
        pid=11,
        starts=2,
        report={"state": "ready"},
        last_exit="exited with status 3",
        tail=(),
    ),
    ChildStatus(
        name="frontend/0", kind="frontend", state="running", pid=12, starts=1, report={}, last_exit=None, tail=()
    ),
]


@pytest.fixture
def counted() -> dict[str, Any]:
    """What the frontends counted."""
    return dict(_COUNTED)


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    """Makes the `/status` document of what frontends counted, and how many they are."""

    def make(counted: dict[str, Any], frontends: int = 1, **failures: str) -> dict[str, Any]:
        return status(
            apps=_APPS, models=_MODELS, children=_CHILDREN, failures=failures, counted=counted, frontends=frontends
        )

    return make
