"""Models and workers go wrong in every way: callers hear of it in time, and service comes back by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

CONFIG = """
[models]
alone = { path = "ZOO:gated" }
moody = { path = "ZOO:moody", replicas = 2, cache = false }
sleepy = { path = "ZOO:moody", timeout = "0.5s", cache = false }
steady = { path = "ZOO:echo" }

[apps]
solo = { models = ["alone"], slo = "20s" }
moods = { models = ["moody"], slo = "20s" }
dreams = { models = ["sleepy"], slo = "20s" }
both = { models = ["moody", "steady"], slo = "20s", policy = "vote" }
"""


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Models that do what their input says, one of them in two replicas."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG, troubled=True) as site:
        yield site


@pytest.fixture(autouse=True)
def _well_before(site: Site) -> None:
    """Each test begins with every replica connected."""
    site.wait(lambda: all(r["connection"] == "ready" for r in replicas(site).values()))


def replicas(site: Site) -> dict[str, dict[str, Any]]:
    """Every replica by name, but for what it learns all the time."""
    return {
        name: {key: value for key, value in it.items() if key != "batch"}
        for model in site.status()["models"].values()
        for name, it in model["replicas"].items()
    }


def test_a_worker_dies_in_mid_batch(site: Site, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Its callers are told at once, health tells the truth while the only model is away and again when it is back, and
    the next request is answered.
    """
    gate = tmp_path / "gate"
    caller = pool.submit(site.ask, "solo", {"gate": str(gate)})
    site.wait(gate.with_suffix(".reached").exists)
    before = replicas(site)["alone@1/0"]
    os.kill(before["pid"], signal.SIGKILL)
    reply = caller.result()
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
    assert "alone@1/0" in reply.json()["error"]["message"]
    assert reply.headers["Retry-After"]
    health = site.wait(lambda: (it := site.data.get("/v2/health/ready")).status_code == 503 and it.json())
    assert set(health["apps"]) == {"solo"}
    assert health["live"]
    assert not site.status()["ready"]
    site.wait(site.ready)
    gate.touch()
    assert site.predict("solo", {"gate": str(gate), "n": 1})["output"]["n"] == 1
    after = replicas(site)["alone@1/0"]
    assert after["starts"] == before["starts"] + 1
    assert "SIGKILL" in after["last_exit"]
    assert "alone@1/0 was killed by SIGKILL" in site.log


def test_another_replica_takes_over(site: Site, pool: ThreadPoolExecutor) -> None:
    """With a second replica nobody hears of a worker that is killed, however many ask meanwhile."""
    victim = replicas(site)["moody@1/0"]

    def ask(n: int) -> Any:
        if n == 100:
            os.kill(victim["pid"], signal.SIGKILL)
        return site.predict("moods", n)["output"]

    assert list(pool.map(ask, range(200))) == list(range(200))
    site.wait(lambda: replicas(site)["moody@1/0"]["starts"] == victim["starts"] + 1)


def test_a_bad_row_fails_alone(site: Site) -> None:
    """A row at which the model raises, or even calls `sys.exit`, is an error by itself; those around it are answered
    by the same worker, and its traceback is in /status.
    """
    before = replicas(site)
    response = site.data.post("/apps/dreams/predict", json={"inputs": [1, "raise", 2, "leave", 3]})
    found = response.json()["predictions"]
    assert [it.get("output") for it in found] == [1, None, 2, None, 3]
    assert [it["error"]["code"] for it in (found[1], found[3])] == ["model_error", "model_error"]
    assert "ValueError: this row is bad" in found[1]["error"]["message"]
    assert site.ask("dreams", "raise").status_code == 502
    assert "in moody" in site.status()["models"]["sleepy"]["traceback"]
    assert replicas(site) == before


def test_the_next_model_answers_for_one_that_errs(site: Site) -> None:
    """Where another model of the application has an answer, a failure is only named in the explanation."""
    told = site.predict("both", "raise")
    assert (told["output"], told["missing"], told["default"]) == ("raise", ["moody@1"], False)
    why = site.get(f"/predictions/{told['prediction_id']}")
    assert [it["output"] for it in why["models"]] == [None, "raise"]
    assert why["models"][0]["failure"].startswith("model_error")


def test_a_model_that_quits(site: Site) -> None:
    """`os._exit` in a model ends its worker, whose callers are told; a new one takes its place and says how."""
    before = replicas(site)["sleepy@1/0"]
    reply = site.ask("dreams", "quit")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
    site.wait(lambda: replicas(site)["sleepy@1/0"]["connection"] == "ready")
    assert site.predict("dreams", "well")["output"] == "well"
    after = replicas(site)["sleepy@1/0"]
    assert (after["starts"], after["last_exit"]) == (before["starts"] + 1, "exited with status 7")


def test_a_hang_is_ended(site: Site) -> None:
    """A batch past the model's `timeout` is given up: its caller is told, the worker replaced, and the log shows where
    it hung.
    """
    before = replicas(site)["sleepy@1/0"]
    reply = site.ask("dreams", "hang")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
    assert "0.5 s" in reply.json()["error"]["message"]
    site.wait(lambda: replicas(site)["sleepy@1/0"]["connection"] == "ready")
    assert site.predict("dreams", "awake")["output"] == "awake"
    after = replicas(site)["sleepy@1/0"]
    assert (after["starts"], after["kills"]) == (before["starts"] + 1, before["kills"] + 1)
    assert "SIGABRT" in after["last_exit"]
    assert "in loop_for_ever" in site.log


def test_a_deadly_row_is_kept_away(site: Site, pool: ThreadPoolExecutor) -> None:
    """A row that has killed three workers is refused without trying it on a fourth; other rows are answered before,
    and after.
    """

    def refused() -> bool:
        reply = site.ask("moods", "die")
        assert reply.status_code in {502, 503}, reply.text
        return reply.status_code == 502

    def ask(n: int) -> Any:
        return site.wait(lambda: (it := site.ask("moods", n)).status_code == 200 and it.json()["output"])

    others = pool.map(ask, range(1000, 1020))
    site.wait(refused)
    assert list(others) == list(range(1000, 1020))
    site.wait(lambda: all(r["connection"] == "ready" for r in replicas(site).values()))
    before = replicas(site)
    for _ in range(3):
        reply = site.ask("moods", "die")
        assert (reply.status_code, reply.json()["error"]["code"]) == (502, "model_error")
        assert "killed three workers" in reply.json()["error"]["message"]
    assert site.predict("moods", "alive")["output"] == "alive"
    assert replicas(site) == before
