"""The end of a server: what was begun is finished."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

CONFIG = """
[models]
waiter = { path = "ZOO:gated" }

[apps]
gated = { models = ["waiter"], slo = "20s" }
"""


def test_sigterm_while_starting(write: Callable[..., Path], tmp_path: Path) -> None:
    """A server that is told to stop while its models load ends in order, at once, and calls nothing an error."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_suffix('.reached').touch()\ntime.sleep(30)\n"
    )
    file = write(tmp_path, CONFIG.replace("ZOO:gated", "slow.py:predict"))
    command = [sys.executable, "-m", "skysail.cli.main", "serve", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 40
        while not (tmp_path / "slow.reached").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        out, log = process.communicate(timeout=15)
    assert (process.returncode, out) == (0, ""), log
    assert log == "[skysail] SIGTERM: draining, then stopping\n"


def test_sigterm_drains(
    serving: Callable[..., AbstractContextManager[Site]],
    tmp_path: Path,
    pool: ThreadPoolExecutor,
) -> None:
    """The request in flight is answered, its connection and the idle ones closed, new ones refused; status 0."""
    gate = tmp_path / "gate"
    with serving(tmp_path, CONFIG, 'drain = "20s"') as site:
        children = site.children()
        idle, busy = site.wire(), site.wire()
        with idle, busy:
            idle.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.reply().body["live"]
            caller = pool.submit(site.ask, "gated", {"gate": str(gate)})
            site.wait(gate.with_suffix(".reached").exists)
            site.process.terminate()
            with pytest.raises(EOFError):
                idle.reply()
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{site.url}/v2/health/live", timeout=1, verify=False, trust_env=False)
            assert site.process.poll() is None
            assert not caller.done()
            gate.touch()
            reply = caller.result()
        assert (reply.status_code, reply.json()["default"]) == (200, False)
        assert reply.headers["Connection"] == "close"
        assert site.process.wait(20) == 0
        assert not site.left(children)
    with serving(tmp_path, CONFIG) as again:
        assert again.get(f"/predictions/{reply.json()['prediction_id']}")["output"] == {"gate": str(gate)}
