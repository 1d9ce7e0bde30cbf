"""The state cannot be written: predictions go on, feedback waits, and everybody is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

CONFIG = """
[models]
plain = { path = "ZOO:echo" }

[apps]
words = { models = ["plain"], slo = "20s" }
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the files of another process")
def test_a_full_disk(serving: Callable[..., AbstractContextManager[Site]], tmp_path: Path) -> None:
    """Observations are refused with 503 while nothing can be written; nothing else fails, /status and health say so,
    and all is well again once there is room.
    """
    import resource  # noqa: PLC0415 - not everywhere

    with serving(tmp_path, CONFIG) as site:
        frontend = site.pids()["frontend/0"]
        early = site.predict("words", "early")["prediction_id"]
        site.wait(lambda: site.status()["ledger"]["pending"] == 0)
        soft, hard = resource.prlimit(frontend, resource.RLIMIT_FSIZE)
        resource.prlimit(frontend, resource.RLIMIT_FSIZE, (0, hard))
        for n in range(20):
            assert site.predict("words", f"on and on {n}")["output"] == f"on and on {n}"
        response = site.data.post("/apps/words/observe", json={"prediction_id": early, "label": "early"})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"]
        assert "state.db" in response.json()["error"]["message"]
        assert "state.db" in site.wait(lambda: site.status()["ledger"]["failing"])
        health = site.data.get("/v2/health/ready")
        assert (health.status_code, health.json()["ready"]) == (200, True)
        assert "state.db" in health.json()["state"]
        late = site.predict("words", "late")["prediction_id"]
        resource.prlimit(frontend, resource.RLIMIT_FSIZE, (soft, hard))
        site.wait(lambda: site.status()["ledger"]["failing"] is None)
        assert site.observe("words", early, "early")["accepted"] == 1
        assert site.observe("words", late, "late")["accepted"] == 1
        assert "state" not in site.data.get("/v2/health/ready").json()
        assert site.pids()["frontend/0"] == frontend
