from __future__ import annotations

from typing import Any

import pytest

from skysail.demo.drive import Drive, Incident
from skysail.demo.findings import compare, examine
from skysail.demo.score import Result, Scores
from skysail.demo.traffic import Traffic
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run


def test_a_run_is_examined_by_the_servers_records(server: Any, traffic: Traffic, scores: Scores) -> None:
    """After a break and a mending both recoveries are found, and the sampled outputs are compared."""
    clock = ManualClock()

    async def whole() -> Any:
        async with server.client() as client:
            incidents = [
                Incident(1.0, lambda: client.deploy("svm", "bad.joblib")),
                Incident(2.0, lambda: client.rollback("svm")),
            ]
            await Drive(server, client, traffic, scores, clock).run(incidents)
            return await examine(client, scores, seconds=3.0)

    found = run(whole(), clock)
    assert found.broken.live == pytest.approx(1.01, abs=0.03)
    assert found.mended.live == pytest.approx(2.03, abs=0.03)
    assert found.broken.labels == pytest.approx(10, abs=6)
    assert found.mended.labels == pytest.approx(10, abs=6)
    assert found.compared == found.equal == 200


def test_other_outputs_are_not_equal(scores: Scores) -> None:
    """A record that says otherwise than the model scored here is told from one that agrees; a missing one is
    neither.
    """
    why = {
        "models": [
            {"model": "svm@1", "output": 3.0},
            {"model": "svm@2", "output": 3},
            {"model": "mlp@1", "output": None},
        ]
    }
    assert compare(why, scores, Result(query=3, at=0.0, latency=0.0)) == [True, False]
