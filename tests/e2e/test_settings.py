"""A server that keeps nothing, asks for a token, and has next to nothing to do."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Site

    Cli = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
[models]
plain = { path = "ZOO:echo" }
loud = { path = "ZOO:shout" }

[apps]
words = { models = ["loud", "plain"], policy = "adahedge", slo = "20s" }
"""

SETTINGS = 'state = "memory://"\ntoken_env = "SKYSAIL_TOKEN"\nidle_timeout = "1s"'

TOKEN = "open sesame"

MOST_CPU = 0.02
"""Of one core, for all processes together."""

MOST_WAKINGS = 6
"""Of all processes together, in three seconds, in which connections are let go. Whoever polls wakes more often."""

MOST_MEMORY = 80 << 20


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """State in memory, and a token to be sent to both planes."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG, SETTINGS, environ={"SKYSAIL_TOKEN": TOKEN}) as site:
        yield site


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_idleness_costs_nothing(site: Site) -> None:
    """With no request there is no work: in three seconds hardly any thread wakes, all processes together use under 2 %
    of a core, and the frontend holds less than 80 MiB.
    """
    pids = [site.process.pid, *site.children()]
    assert site.status()["memory_bytes"] < MOST_MEMORY
    before, began, woken = sum(map(cpu, pids)), time.monotonic(), sum(map(wakings, pids))
    time.sleep(3)  # the only way to see what happens when nothing does
    used = (sum(map(cpu, pids)) - before) / (time.monotonic() - began)
    assert used < MOST_CPU
    assert sum(map(wakings, pids)) - woken <= MOST_WAKINGS
    assert memory(site.pids()["frontend/0"]) < MOST_MEMORY


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wakings(pid: int) -> int:
    """How often the threads of a process have gone to sleep so far, and so have been awake."""
    statuses = [task.joinpath("status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum([int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.MULTILINE)[0]) for text in statuses])


def memory(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_silent_connections_are_closed(site: Site) -> None:
    """A connection that is silent for longer than `idle_timeout` after its answer is closed."""
    with site.wire() as wire:
        wire.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.reply().body["live"]
        with pytest.raises(EOFError):
            wire.reply()


def test_memory_learns_like_a_file(site: Site) -> None:
    """Without a file answers, feedback and explanations work the same, and outlive control."""
    ids = [site.predict("words", f"w{n}", context="c")["prediction_id"] for n in range(10)]
    assert [site.observe("words", id, f"w{n}")["accepted"] for n, id in enumerate(ids)] == [1] * 10
    assert site.observe("words", ids[0], "w0") == {"accepted": 0, "duplicates": 1, "rejected": []}
    weights = site.status(context="c")["apps"]["words"]["weights"]
    assert weights["plain"] > 0.8
    pid = site.kill("control")
    site.wait(lambda: site.pids()["control"] not in (None, pid))
    site.wait(lambda: site.status()["ready"])
    assert site.status(context="c")["apps"]["words"]["weights"] == weights
    why = site.get(f"/predictions/{ids[3]}")
    assert (why["context"], why["feedback"]["label"]) == ("c", "w3")
    assert not list(site.folder.glob("*.db*"))


@pytest.mark.parametrize("token", [None, "open", f"{TOKEN}x"])
def test_a_wrong_token(site: Site, token: str | None) -> None:
    """Without the token both planes answer nothing but that they live; with it, everything."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with httpx.Client(headers=headers, verify=False, trust_env=False) as client:
        refused = [
            client.post(f"{site.url}/apps/words/predict", json={"input": 1}),
            client.post(f"{site.url}/apps/words/observe", json={"prediction_id": "x", "label": 1}),
            client.get(f"{site.url}/apps/words"),
            client.get(f"{site.admin_url}/status"),
            client.get(f"{site.admin_url}/metrics"),
            client.post(f"{site.admin_url}/models/plain/versions", json={"path": "zoo.py:echo"}),
            client.delete(f"{site.admin_url}/apps/words"),
        ]
        assert {(it.status_code, it.json()["error"]["code"]) for it in refused} == {(401, "unauthorized")}
        assert {it.headers["WWW-Authenticate"] for it in refused} == {"Bearer"}
        assert client.get(f"{site.url}/v2/health/ready").status_code == 200
        assert client.get(f"{site.admin_url}/health").status_code == 200
    assert site.predict("words", "x")["output"] in {"x", "x!"}


def test_the_token_on_the_command_line(site: Site, cli: Cli) -> None:
    """Commands take the token from the environment, and say what is missing without it."""
    arguments = ("predict", "words", '"hello"', "--url", site.url)
    told = cli(*arguments, environ={"SKYSAIL_TOKEN": TOKEN})
    assert (told.returncode, told.stderr) == (0, "")
    assert "hello" in told.stdout
    refused = cli(*arguments, environ={"SKYSAIL_TOKEN": ""})
    assert refused.returncode == 1
    assert "token" in refused.stderr
