"""Several frontends are one server: whichever is asked or told, what it says and learns is the same."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
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

[apps]
words = { models = ["plain", "loud"], policy = { name = "adahedge", forget = 1.0 }, slo = "20s" }
"""

SEEN = 0.1
"""Seconds within which a frontend sees what another has learned."""

SLACK = 5.0
"""How often that long a machine that does much else may take."""


class Clients:
    """A connection to each frontend, by its number: connections are made until each has one."""

    def __init__(self, site: Site, stack: ExitStack, frontends: int = 2) -> None:
        self.of: dict[int, httpx.Client] = {}
        options: dict[str, Any] = {"base_url": site.url, "timeout": 40, "verify": False, "trust_env": False}
        for _ in range(200):
            client = stack.enter_context(httpx.Client(**options))
            self.of.setdefault(predict(client, "hello")["frontend"], client)
            if len(self.of) == frontends:
                return
        raise AssertionError(f"200 connections met the frontends {sorted(self.of)} only")


def predict(client: httpx.Client, row: Any, **fields: Any) -> Any:
    """An answer, with the number of the frontend that made it."""
    response = client.post("/apps/words/predict", json={"input": row, **fields})
    assert response.status_code == 200, response.text
    body = response.json()
    return {**body, "frontend": int(body["prediction_id"][:2], 16)}


def observe(client: httpx.Client, id: str, label: Any) -> Any:
    """Feedback that must be accepted, or be a duplicate."""
    response = client.post("/apps/words/observe", json={"prediction_id": id, "label": label})
    assert response.status_code == 200, response.text
    return response.json()


def durable(site: Site) -> tuple[int, float]:
    """How many observations are in the state file, and how many the policy has learned from."""
    with closing(sqlite3.connect(f"file:{site.folder / 'state.db'}?mode=ro", uri=True)) as connection:
        ((observations,),) = connection.execute("SELECT count(*) FROM observations").fetchall()
        states = connection.execute("SELECT state FROM states WHERE key = 'words/adahedge/'").fetchall()
    return observations, State.decode(states[0][0].encode()).count if states else 0.0


def weight(client: httpx.Client, **fields: Any) -> float:
    """How much the loud model's vote counts with one frontend now: it and the quiet one never agree."""
    body = predict(client, "weigh", **fields)
    return float(body["confidence"] if body["output"] == "weigh!" else 1.0 - body["confidence"])


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Two frontends and two models."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG, "frontends = 2") as site:
        yield site


@pytest.fixture
def clients(site: Site) -> Iterator[dict[int, httpx.Client]]:
    """A client of each frontend."""
    with ExitStack() as stack:
        yield Clients(site, stack).of


def test_connections_are_shared_out(site: Site, pool: ThreadPoolExecutor) -> None:
    """Of many connections each frontend gets a good part, and every process of the server is known by its name."""
    rows = [{"input": n} for n in range(100)]
    url = f"{site.url}/apps/words/predict"
    replies = list(pool.map(lambda row: httpx.post(url, json=row, timeout=40, verify=False, trust_env=False), rows))
    met = Counter(reply.json()["prediction_id"][:2] for reply in replies)
    assert set(met) == {"00", "01"}
    assert min(met.values()) >= 20
    assert set(site.pids()) == {"control", "frontend/0", "frontend/1", "plain@1/0", "loud@1/0"}
    status = site.status()
    assert (status["ready"], status["frontends"]) == (True, 2)


def test_what_one_learns_the_other_uses(site: Site, clients: dict[int, httpx.Client]) -> None:
    """A tenth of a second after feedback to one is acknowledged, the other selects by it, in its context too."""
    for teacher, learner, context in ((0, 1, None), (1, 0, None), (0, 1, "user"), (1, 0, "user")):
        fields = {} if context is None else {"context": context}
        before = weight(clients[learner], **fields)
        id = predict(clients[teacher], "word", **fields)["prediction_id"]
        assert observe(clients[teacher], id, "word!")["accepted"] == 1
        told = time.monotonic()
        while weight(clients[learner], **fields) == before:
            assert time.monotonic() - told < SEEN * SLACK
        weights = [weight(client, **fields) for client in clients.values()]
        assert weights[0] == pytest.approx(weights[1])


def test_feedback_by_id_from_either(site: Site, clients: dict[int, httpx.Client]) -> None:
    """The other frontend knows a prediction at once; a second observation, wherever it comes, is a duplicate."""
    before = durable(site)
    for maker, told in ((0, 1), (1, 0)) * 10:
        id = predict(clients[maker], "word")["prediction_id"]
        assert observe(clients[told], id, "word!") == {"accepted": 1, "duplicates": 0, "rejected": []}
        assert observe(clients[maker], id, "word!") == {"accepted": 0, "duplicates": 1, "rejected": []}
        assert site.get(f"/predictions/{id}")["feedback"]["label"] == "word!"
    assert durable(site) == (before[0] + 20, before[1] + 20)


def test_ids_that_nobody_made_are_unknown_to_both(site: Site, clients: dict[int, httpx.Client]) -> None:
    """An id of either, or of a frontend that there is not, that was never given out is refused, and is so at once."""
    for client in clients.values():
        items = [{"prediction_id": f"{n:02x}-000001-0fffffff", "label": "x"} for n in (0, 1, 2) for _ in range(50)]
        told = client.post("/apps/words/observe", json={"observations": items}).json()
        assert {it["code"] for it in told["rejected"]} == {"unknown_prediction"}
        assert len(told["rejected"]) == 150


def test_the_same_observation_sent_to_both_at_once_counts_once(
    site: Site, clients: dict[int, httpx.Client], pool: ThreadPoolExecutor
) -> None:
    """Whichever commits first is first."""
    before = durable(site)
    ids = [predict(clients[n % 2], f"both {n}")["prediction_id"] for n in range(20)]
    told = list(pool.map(lambda it: observe(clients[it[0]], it[1], "x"), [(n, id) for id in ids for n in (0, 1)]))
    assert sum(it["accepted"] for it in told) == 20
    assert sum(it["duplicates"] for it in told) == 20
    assert durable(site) == (before[0] + 20, before[1] + 20)


def test_counts_are_of_all_frontends(site: Site, clients: dict[int, httpx.Client]) -> None:
    """Answers add up, quantiles are of all answers, and each has a batch cap of its own."""
    before = site.status()["apps"]["words"]["answers"]
    for client in clients.values():
        for n in range(10):
            predict(client, f"count {n}")
    status = site.status()
    assert status["apps"]["words"]["answers"] == before + 20
    assert status["apps"]["words"]["latency_ms"]["p99"] > 0
    assert set(status["models"]["plain"]["batch"]["caps"]) == {"frontend/0", "frontend/1"}
    page = site.admin.get("/metrics").text
    assert f'skysail_answers_total{{app="words"}} {before + 20:.1f}' in page
    assert "skysail_frontends 2.0" in page


def test_a_deployment_is_whole_and_disturbs_nobody(site: Site) -> None:
    """Under load through many connections, no query fails while versions come and go; then all are the new one's."""
    zoo = Path(__file__).with_name("zoo.py")
    url = f"{site.url}/apps/words/predict"
    stop, statuses = threading.Event(), Counter[int]()

    def ask(thread: int) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            body = {"input": f"deploy {thread} {n}"}
            reply = httpx.post(url, json=body, timeout=40, verify=False, trust_env=False)
            statuses[reply.status_code if not reply.json().get("missing") else -1] += 1

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            told = site.deploy("loud", f"{zoo}:shout", threads=2)
            assert told.status_code == 200, told.text
        ref = f"loud@{told.json()['version']}"
        with ExitStack() as stack:
            for client in Clients(site, stack).of.values():
                assert ref in predict(client, "deployed")["models"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def counter(site: Site, name: str) -> float:
    """A counter of the application, from the page for Prometheus."""
    page = site.admin.get("/metrics").text
    return float(next(line for line in page.splitlines() if line.startswith(name + "{")).rpartition(" ")[2])


def test_one_is_killed_while_both_learn(site: Site, pool: ThreadPoolExecutor) -> None:
    """The other goes on; all that was acknowledged is kept, nothing counts twice, and no counter ever falls."""
    with ExitStack() as stack:
        clients = Clients(site, stack).of
        ids = [predict(clients[n % 2], f"kill {n}")["prediction_id"] for n in range(300)]
        for client in clients.values():
            client.close()
    site.wait(lambda: site.status()["ledger"]["pending"] == 0)
    observed, learned = durable(site)
    answers = counter(site, "skysail_answers_total")
    acknowledged = threading.Semaphore(0)

    def tell(id: str) -> bool:
        body = {"prediction_id": id, "label": "x"}
        try:
            reply = httpx.post(f"{site.url}/apps/words/observe", json=body, timeout=40, verify=False, trust_env=False)
        except httpx.TransportError:
            return False
        acknowledged.release()
        return reply.status_code == 200

    pid = site.pids()["frontend/1"]
    told = [pool.submit(tell, id) for id in ids]
    for _ in range(30):
        acknowledged.acquire(timeout=20)
    os.kill(pid, signal.SIGKILL)
    first = [it.result() for it in told]
    assert sum(first) > 100
    site.wait(lambda: site.status()["ready"])
    assert site.pids()["frontend/1"] != pid
    assert counter(site, "skysail_answers_total") >= answers
    replies = [observe(site.data, id, "x") for id in ids]
    assert all(reply["accepted"] + reply["duplicates"] == 1 for reply in replies)
    assert all(reply["duplicates"] for reply, known in zip(replies, first, strict=True) if known)
    assert durable(site) == (observed + 300, learned + 300)
    with ExitStack() as stack:
        weights = [weight(client) for client in Clients(site, stack).of.values()]
    assert weights[0] == pytest.approx(weights[1])


def test_both_drain(serving: Callable[..., AbstractContextManager[Site]], tmp_path: Path) -> None:
    """SIGTERM lets both answer what they have in hand, and what they decided is written."""
    with serving(tmp_path, CONFIG, "frontends = 2") as site, ExitStack() as stack:
        clients = Clients(site, stack).of
        ids = [predict(client, "last")["prediction_id"] for client in clients.values()]
        for client in clients.values():
            client.close()
        site.stop()
        with closing(sqlite3.connect(f"file:{site.folder / 'state.db'}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT frontend, boot, last FROM blocks").fetchall()
        for id in ids:
            frontend, boot, number = (int(part, 16) for part in id.split("-"))
            assert any((f, b) == (frontend, boot) and last >= number for f, b, last in rows)


def test_memory_cannot_be_shared(write: Callable[..., Path], cli: Callable[..., Any], tmp_path: Path) -> None:
    """A state in memory with several frontends is refused, with the remedy."""
    told = cli("serve", write(tmp_path, CONFIG, 'frontends = 2\nstate = "memory://"'))
    assert told.returncode == 2
    assert "server.frontends = 2" in told.stderr
    assert "sqlite:///FILE" in told.stderr
