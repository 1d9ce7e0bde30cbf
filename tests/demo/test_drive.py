from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from skysail.demo.drive import Drive, Incident
from skysail.demo.score import SKYSAIL, Scores
from skysail.demo.traffic import Traffic
from skysail.errors import ModelError
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run


def drive(server: Any, traffic: Traffic, scores: Scores, incidents: Iterable[Incident] = ()) -> Drive:
    """A drive of the traffic against the server, in no time."""
    clock = ManualClock()

    async def whole() -> Drive:
        async with server.client() as client:
            found = Drive(server, client, traffic, scores, clock)
            await found.run(incidents)
            return found

    return run(whole(), clock)


def test_every_query_is_sent_in_time_and_every_label_taught(server: Any, traffic: Traffic, scores: Scores) -> None:
    """Each query goes out at its moment, its answer is scored, and its label follows by prediction id, in lists."""
    done = drive(server, traffic, scores)
    results = sorted(scores.results, key=lambda result: result.query)
    assert [result.query for result in results] == list(range(300))
    assert [result.sent for result in results] == pytest.approx(traffic.at.tolist(), abs=1e-6)
    assert [result.latency for result in results] == pytest.approx([0.01] * 300)
    assert scores.errors()[SKYSAIL] == 0.0
    assert done.taught == len(server.labels) == 300
    assert server.labels == {result.id: traffic.labels[result.query] for result in results}
    assert server.calls.count("POST /apps/digits/observe") < 100
    assert done.failures == []


def test_a_label_waits_for_its_delay(server: Any, traffic: Traffic, scores: Scores) -> None:
    """No query was sent with a label known that is younger than its delay."""
    drive(server, traffic, scores)
    for result in scores.results:
        known = sum(other.at + traffic.delays[other.query] <= result.sent for other in scores.results)
        assert result.taught <= known


def test_incidents_happen_under_load(server: Any, traffic: Traffic, scores: Scores) -> None:
    """What is done to the server is done at its moment, and the queries around it go on."""

    async def breaks() -> None:
        server.svm = "svm@2"

    drive(server, traffic, scores, [Incident(1.0, breaks)])
    refs = [result.refs[0] for result in sorted(scores.results, key=lambda result: result.query)]
    assert refs == ["svm@1"] * refs.index("svm@2") + ["svm@2"] * refs.count("svm@2")
    assert refs.index("svm@2") == pytest.approx(100, abs=2)


def test_an_incident_that_fails_ends_the_run(server: Any, traffic: Traffic, scores: Scores) -> None:
    """A deployment that the server refuses is an error, not a silent success."""
    server.refuse.add("versions")

    async def whole() -> None:
        async with server.client() as client:
            await Drive(server, client, traffic, scores, ManualClock()).run(
                [Incident(0.0, lambda: client.deploy("svm", "x"))]
            )

    with pytest.raises(ExceptionGroup) as caught:
        run(whole())
    assert caught.group_contains(ModelError, match="refused")


@pytest.mark.parametrize(("refused", "said"), [("predict", "query 0: model_error: refused"), ("observe", "labels: ")])
def test_failures_are_noted_in_words(server: Any, traffic: Traffic, scores: Scores, refused: str, said: str) -> None:
    """A request that fails ends nothing: it is counted, and a query without an answer is wrong."""
    server.refuse.add(refused)
    done = drive(server, traffic, scores)
    assert any(said in failure for failure in done.failures)
    assert done.taught == 0
    assert len(scores.results) == 300
    assert scores.errors()[SKYSAIL] == (1.0 if refused == "predict" else 0.0)


def test_a_rejected_label_is_a_failure(server: Any, traffic: Traffic, scores: Scores) -> None:
    """A label that the server does not take is noted with the server's words."""
    forget = server.decisions.pop

    async def forgets() -> None:
        forget("id-0")

    done = drive(server, traffic, scores, [Incident(0.02, forgets)])
    assert done.failures == ["a label: unknown_prediction: no such id"]
    assert done.taught == 299


def test_the_status_is_kept_with_its_time(server: Any, traffic: Traffic, scores: Scores) -> None:
    """The weights are noted several times a second, to the end of the run."""
    done = drive(server, traffic, scores)
    times = [at for at, _ in done.weights]
    assert len(times) > 10
    assert times == sorted(times)
    assert times[-1] >= 3.0
    assert done.weights[-1][1]["svm"] == 0.8
    assert done.status["cache"]["hits"] == 10


def test_a_status_that_fails_is_noted(server: Any, traffic: Traffic, scores: Scores) -> None:
    """Without a status there are no weights, and the failure is told."""
    server.refuse.add("status")
    done = drive(server, traffic, scores)
    assert done.weights == []
    assert done.failures[0] == "status: model_error: refused"


def test_defaults_are_counted(server: Any, traffic: Traffic, scores: Scores) -> None:
    """Default answers count as such."""

    async def breaks() -> None:
        server.svm, server.since = "svm@2", len(server.labels)

    done = drive(server, traffic, scores, [Incident(1.0, breaks)])
    assert done.defaults == sum(result.default for result in scores.results) > 0
