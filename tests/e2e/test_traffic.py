"""Many clients at once: each gets its own answer, by its deadline, whatever the others do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site, Wire

CONFIG = """
[models]
echoer = { path = "ZOO:echo" }
shouter = { path = "ZOO:shout" }
adder = { path = "ZOO:total", input = "float64[3]" }
waiter = { path = "ZOO:gated" }
laggard = { path = "ZOO:gated" }

[apps]
echo = { models = ["echoer"], slo = "5s" }
shout = { models = ["shouter"], slo = "5s" }
total = { models = ["adder"], slo = "20s", cache = false }
gated = { models = ["waiter"], slo = "20s" }
late = { models = ["laggard"], slo = "100ms" }
defaulted = { models = ["laggard"], slo = "100ms", default = "none" }
"""

MARGIN = 5.0
"""Seconds past its objective by which an answer is here even on a machine that does much else."""


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Models that are quick, that let rows gather, and that wait until they are told to go on."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG) as site:
        yield site


def request(app: str, row: Any) -> bytes:
    """A whole HTTP request for a prediction."""
    body = json.dumps({"input": row}).encode()
    return b"POST /apps/%b/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        app.encode(),
        len(body),
        body,
    )


@pytest.fixture
def send(site: Site) -> Iterator[Callable[[str, Any], Wire]]:
    """Asks for a prediction on a raw connection of its own, which is closed in the end."""
    with ExitStack() as stack:

        def send(app: str, row: Any) -> Wire:
            wire = stack.enter_context(site.wire())
            wire.send(request(app, row))
            return wire

        yield send


class Gate:
    """Where the model `gated` waits until it is opened; a row is made of its path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def row(self, n: int = 0) -> dict[str, Any]:
        """An input that waits here."""
        return {"gate": str(self.path), "n": n}

    def reached(self) -> bool:
        """Whether the model waits here, or has waited."""
        return self.path.with_suffix(".reached").exists()

    def open(self) -> None:
        """Let it go on."""
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Callable[[], Gate]]:
    """Makes gates, which are all open in the end."""
    made: list[Gate] = []

    def make() -> Gate:
        made.append(Gate(tmp_path / f"gate-{len(made)}"))
        return made[-1]

    yield make
    for gate in made:
        gate.open()


def test_together_is_as_one_by_one(site: Site, pool: ThreadPoolExecutor) -> None:
    """Ninety-six distinct inputs at once are answered, in shared batches, exactly as they are one at a time."""
    rows = [[n, n * n / 7, -1e-3 * n] for n in range(96)]
    together = list(pool.map(lambda row: site.predict("total", row)["output"], rows))
    model = site.status()["models"]["adder"]
    assert model["batch"]["p50"] > 1
    assert model["rows"] == len(rows) > 2 * model["batches"]
    assert together == [site.predict("total", row)["output"] for row in rows]
    assert together == pytest.approx([sum(row) for row in rows])
    listed = site.data.post("/apps/total/predict", json={"inputs": rows}).json()["predictions"]
    assert [it["output"] for it in listed] == together


def test_one_caller_of_a_batch_leaves(site: Site, send: Callable[..., Wire], gate: Callable[[], Gate]) -> None:
    """Of five who wait one hangs up: the other four are answered, also the one who had asked for the very same."""
    first, second, opened = gate(), gate(), gate()
    opened.open()
    inputs = [opened.row(n) for n in range(24)]  # the learned size of a batch grows with each full one
    assert site.data.post("/apps/gated/predict", json={"inputs": inputs}).status_code == 200
    before = model(site)
    assert before["batch"]["cap"] >= 3
    gone = site.status()["http"]["gone"]
    rows = [first.row(0), second.row(1), second.row(2), second.row(3), second.row(2)]
    wires = [send("gated", rows[0])]
    site.wait(first.reached)
    wires += [send("gated", row) for row in rows[1:4]]
    site.wait(lambda: model(site)["queue"] == 3)
    wires += [send("gated", rows[4])]
    site.wait(lambda: model(site)["cache"]["joined"] == before["cache"]["joined"] + 1)
    first.open()
    site.wait(second.reached)
    assert model(site)["replicas"]["waiter@1/0"]["inflight"] == 3
    wires[2].reset()
    site.wait(lambda: site.status()["http"]["gone"] == gone + 1)
    second.open()
    assert [wires[n].reply().body["output"] for n in (0, 1, 3, 4)] == [rows[n] for n in (0, 1, 3, 4)]
    assert model(site)["rows"] == before["rows"] + 4


def test_a_caller_who_leaves_takes_queued_work_along(
    site: Site, send: Callable[..., Wire], gate: Callable[[], Gate]
) -> None:
    """What nobody waits for any more never reaches the model."""
    door = gate()
    holding = send("gated", door.row(0))
    site.wait(door.reached)
    done = model(site)["rows"]
    leaving = send("gated", door.row(1))
    site.wait(lambda: model(site)["queue"] == 1)
    leaving.reset()
    site.wait(lambda: model(site)["queue"] == 0)
    door.open()
    assert holding.reply().status == 200
    assert site.predict("gated", door.row(2))["output"]["n"] == 2
    assert model(site)["rows"] == done + 2


def model(site: Site) -> Any:
    """The status of the model that waits at gates."""
    return site.status()["models"]["waiter"]


def test_clients_that_leave_anywhere(site: Site) -> None:
    """Connections closed or reset at every byte of a request leave nothing behind; a whole one is still answered."""
    whole = request("echo", "half")
    before = site.status()["http"]["connections"]
    for offset in range(len(whole)):
        for leave in (lambda wire: wire.reset(), lambda wire: wire.__exit__()):
            wire = site.wire()
            wire.send(whole[:offset])
            leave(wire)
    site.wait(lambda: site.status()["http"]["connections"] <= before)
    with site.wire() as wire:
        wire.send(whole)
        wire.socket.shutdown(1)
        assert wire.reply().body["output"] == "half"
        with pytest.raises(EOFError):
            wire.reply()
    assert site.predict("echo", "after")["output"] == "after"
    assert site.status()["models"]["echoer"]["replicas"]["echoer@1/0"]["starts"] == 1


def test_the_cache_keeps_models_apart(site: Site) -> None:
    """One input to two models is two entries: each answers for itself, the first time and from the cache."""
    before = site.status()
    for _ in range(2):
        assert site.predict("echo", "hello")["output"] == "hello"
        assert site.predict("shout", "hello")["output"] == "hello!"
    after = site.status()
    assert after["cache"]["entries"] == before["cache"]["entries"] + 2
    for model in ("echoer", "shouter"):
        new, old = after["models"][model], before["models"][model]
        assert {key: new["cache"][key] - old["cache"][key] for key in ("hits", "misses")} == {"hits": 1, "misses": 1}
        assert new["rows"] == old["rows"] + 1


def test_the_expired_are_answered(site: Site, send: Callable[..., Wire], gate: Callable[[], Gate]) -> None:
    """With the model held up, callers get the default or an explained error in time, running or queued; a late output
    completes the record.
    """
    door = gate()
    began = time.monotonic()
    running = send("defaulted", door.row(0))
    site.wait(door.reached)
    queued = send("late", door.row(1))
    default, error = running.reply(), queued.reply()
    assert time.monotonic() - began < MARGIN
    assert (default.status, default.body["output"], default.body["reason"]) == (200, "none", "deadline")
    assert default.body["missing"] == default.body["models"] == ["laggard@1"]
    assert (error.status, error.body["error"]["code"]) == (504, "deadline")
    door.open()
    why = f"/predictions/{default.body['prediction_id']}"
    assert site.wait(lambda: site.get(why)["models"][0]["output"])["n"] == 0
    assert site.get(why)["models"][0]["latency_ms"] > 100
    assert site.get(why)["output"] == "none"


def test_a_client_may_be_in_more_haste(site: Site, gate: Callable[[], Gate]) -> None:
    """A deadline of the client's own is kept where it is tighter than the objective."""
    began = time.monotonic()
    response = site.ask("gated", gate().row(), deadline_ms=50)
    assert time.monotonic() - began < MARGIN
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline")


def test_feedback_counts_once_each(site: Site, pool: ThreadPoolExecutor) -> None:
    """Of observations sent at the same time all count that are of different answers, and one of those of the same."""
    ids = [site.predict("echo", f"count {n}")["prediction_id"] for n in range(8)]
    before = site.status()["apps"]["echo"]
    told = list(pool.map(lambda id: site.observe("echo", id, "x"), ids))
    assert [(it["accepted"], it["duplicates"]) for it in told] == [(1, 0)] * 8
    one = site.predict("echo", "once")["prediction_id"]
    told = list(pool.map(lambda n: site.observe("echo", one, n), range(8)))
    assert sorted((it["accepted"], it["duplicates"]) for it in told) == [(0, 1)] * 7 + [(1, 0)]
    after = site.status()["apps"]["echo"]
    assert after["observations"] - before["observations"] == 9
    assert after["duplicates"] - before["duplicates"] == 7


def test_why_follows_at_once(site: Site) -> None:
    """A decision can be asked about as soon as it is answered, and its feedback as soon as that is acknowledged."""
    told = site.predict("shout", "why", context="me & you/é")
    why = site.get(f"/predictions/{told['prediction_id']}")
    assert (why["app"], why["context"], why["output"], why["feedback"]) == ("shout", "me & you/é", "why!", None)
    site.observe("shout", told["prediction_id"], "why!")
    assert site.get(f"/predictions/{told['prediction_id']}")["feedback"]["label"] == "why!"
