"""Any process of the server is killed with -9: what was promised is kept."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from skysail.types import State

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

CONFIG = """
[models]
plain = { path = "ZOO:echo" }
loud = { path = "ZOO:shout" }
hung = { path = "ZOO:moody" }

[apps]
words = { models = ["plain", "loud"], policy = { name = "adahedge", forget = 1.0 }, slo = "20s" }
moods = { models = ["hung"], slo = "20s" }
"""

SLOW = """
import time
from pathlib import Path
here = Path(__file__)
here.with_suffix(".reached").touch()
for _ in range(30_000):
    if here.with_suffix(".gate").exists():
        break
    time.sleep(0.001)
def predict(batch):
    return list(batch)
"""
"""A model that is long in loading."""


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Two models that learn, and one that may hang."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG) as site:
        yield site


def durable(site: Site) -> tuple[int, float]:
    """How many observations are in the state file, and how many the policy has learned from."""
    with closing(sqlite3.connect(f"file:{site.folder / 'state.db'}?mode=ro", uri=True)) as connection:
        ((observations,),) = connection.execute("SELECT count(*) FROM observations").fetchall()
        states = connection.execute("SELECT state FROM states WHERE key = 'words/adahedge/'").fetchall()
    return observations, State.decode(states[0][0].encode()).count if states else 0.0


def teach(site: Site, numbers: range) -> list[str]:
    """Answers that were given feedback; the quiet model is right."""
    ids = [site.predict("words", f"word {n}")["prediction_id"] for n in numbers]
    for n, id in zip(numbers, ids, strict=True):
        assert site.observe("words", id, f"word {n}")["accepted"] == 1
    return ids


def test_control_is_killed(site: Site) -> None:
    """Answers and feedback go on without it; back again, it knows what there was, and has started nothing anew."""
    deployed = site.deploy("loud", f"{Path(__file__).with_name('zoo.py')}:shout", threads=2)
    assert deployed.json() == {"model": "loud", "version": 2}, deployed.text
    site.wait(lambda: "loud@1/0" not in site.pids())
    before, models = site.pids(), site.get("/models")
    with site.load("words", lambda n: f"control {n % 50}") as load:
        pid = site.kill("control")
        teach(site, range(10))
        site.wait(lambda: site.pids()["control"] not in (None, pid))
        site.wait(lambda: site.status()["ready"])
        done = len(load.asked)
        site.wait(lambda: len(load.asked) > done + 10)
    assert not load.failed
    after = site.pids()
    assert {**after, "control": 0} == {**before, "control": 0}
    assert site.get("/models") == models
    assert site.status()["models"]["loud"]["version"] == 2
    assert site.status()["apps"]["words"]["observations"] >= 10
    deployed = site.deploy("loud", f"{Path(__file__).with_name('zoo.py')}:shout")
    assert deployed.json() == {"model": "loud", "version": 3}, deployed.text


def test_a_worker_dies_while_control_is_away(site: Site) -> None:
    """Nobody needs control for a worker to be started again and found: the answers go on, and are soon whole again."""
    pids = site.pids()
    os.kill(pids["control"], signal.SIGSTOP)
    try:
        with site.load("words", lambda n: f"away {n}") as load:
            os.kill(pids["plain@1/0"], signal.SIGKILL)
            site.wait(lambda: load.asked and "plain@1" not in load.asked[-1].body["models"])
            site.wait(lambda: "plain@1" in load.asked[-1].body["models"] and not load.asked[-1].body["missing"])
        assert not load.failed
    finally:
        os.kill(pids["control"], signal.SIGCONT)
    assert site.wait(lambda: site.processes()["plain@1/0"])["starts"] == 2


def test_control_is_killed_in_the_middle_of_a_deployment(site: Site, pool: ThreadPoolExecutor) -> None:
    """The version being tried is forgotten with its worker, the current one stays, and its number is used up."""
    (site.folder / "slow.py").write_text(SLOW)
    before = site.get("/models/hung")
    deploying = pool.submit(site.deploy, "hung", "slow.py:predict")
    site.wait((site.folder / "slow.reached").exists)
    assert f"hung@{before['current'] + 1}/0" in site.pids()
    site.kill("control")
    assert isinstance(deploying.exception(), httpx.TransportError)
    site.wait(lambda: set(site.pids()) == {"control", "frontend/0", "plain@1/0", f"loud@{loud(site)}/0", "hung@1/0"})
    site.wait(lambda: site.status()["ready"])
    assert site.get("/models/hung") == before
    (site.folder / "slow.gate").touch()
    deployed = site.deploy("hung", "slow.py:predict")
    assert deployed.json() == {"model": "hung", "version": before["current"] + 2}, deployed.text


def loud(site: Site) -> int:
    """The current version of the loud model."""
    version: int = site.get("/models/loud")["current"]
    return version


def test_the_frontend_is_killed(site: Site, pool: ThreadPoolExecutor) -> None:
    """Who connects while it is away is answered once it is back; what was acknowledged is kept, and counts once."""
    ids = teach(site, range(100, 120))
    kept, weights = durable(site), site.status()["apps"]["words"]["weights"]
    before = site.pids()
    pid = site.kill("frontend/0")
    queued = list(pool.map(lambda n: patiently(site, f"queued {n}"), range(20)))
    assert [reply.status_code for reply in queued] == [200] * 20, queued[0].text
    assert not any(reply.json()["default"] or reply.json()["missing"] for reply in queued)
    site.wait(lambda: site.status()["ready"])
    after = site.pids()
    assert after["frontend/0"] != pid
    assert {**after, "frontend/0": 0} == {**before, "frontend/0": 0}
    assert durable(site) == kept
    assert site.status()["apps"]["words"]["weights"] == pytest.approx(weights)
    again = [{"prediction_id": id, "label": "otherwise"} for id in ids]
    told = site.data.post("/apps/words/observe", json={"observations": again}).json()
    assert told == {"accepted": 0, "duplicates": 20, "rejected": []}
    assert durable(site) == kept
    assert site.get(f"/predictions/{ids[0]}")["feedback"]["label"] == "word 100"


def test_the_frontend_is_killed_while_it_learns(site: Site, pool: ThreadPoolExecutor) -> None:
    """Killed amid a stream of feedback: all that was acknowledged is there, and nothing is there twice."""
    ids = [site.predict("words", f"stream {n}")["prediction_id"] for n in range(300)]
    site.wait(lambda: site.status()["ledger"]["pending"] == 0)
    observed, learned = durable(site)
    acknowledged = threading.Semaphore(0)

    def observe(id: str) -> bool:
        try:
            response = site.data.post("/apps/words/observe", json={"prediction_id": id, "label": "x"})
        except httpx.TransportError:
            return False
        acknowledged.release()
        return response.status_code == 200

    pid = site.pids()["frontend/0"]
    told = [pool.submit(observe, id) for id in ids]
    for _ in range(30):
        acknowledged.acquire(timeout=20)
    os.kill(pid, signal.SIGKILL)
    first = [it.result() for it in told]
    site.wait(lambda: site.status()["ready"])
    replies = [site.observe("words", id, "x") for id in ids]
    assert all(reply["accepted"] + reply["duplicates"] == 1 for reply in replies)
    assert all(reply["duplicates"] for reply, known in zip(replies, first, strict=True) if known)
    assert durable(site) == (observed + 300, learned + 300)


def test_the_parent_is_killed(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """Within three seconds all its children have ended, also one that hangs, and the same ports can be served again."""
    with serving(tmp_path, CONFIG) as site:
        for _ in range(3):
            site.predict("words", "x")
        children = site.children()
        assert len(children) == 5
        hanging = pool.submit(patiently, site, "hang", app="moods")
        site.wait(lambda: site.status()["models"]["hung"]["replicas"]["hung@1/0"]["inflight"] == 1)
        site.process.kill()
        site.wait(lambda: not site.left(children), 3.0)
        assert isinstance(hanging.exception(), httpx.TransportError) or hanging.result().status_code != 200
        ports = [str(httpx.URL(url).port) for url in (site.url, site.admin_url)]
    with serving(tmp_path, CONFIG, options=("--port", ports[0], "--admin-port", ports[1])) as again:
        assert again.url == site.url
        assert again.predict("words", "y")["output"] in {"y", "y!"}


def patiently(site: Site, row: Any, app: str = "words") -> httpx.Response:
    """An answer on a connection of its own."""
    url = f"{site.url}/apps/{app}/predict"
    return httpx.post(url, json={"input": row}, timeout=40, verify=False, trust_env=False)
