from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from skysail.config.load import load_config
from skysail.errors import ConfigError
from skysail.supervisor.main import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SERVE = """
import sys
from skysail.config.load import load_config
from skysail.supervisor.main import run
sys.exit(run(load_config(sys.argv[1])))
"""

CONFIG = """
[server]
port = 0
admin_port = 0
drain = "1s"
state = "{state}"

[models.rules]
path = "rules.py:predict"
input = "json"

[apps.echo]
models = ["rules"]
slo = "500ms"
"""


class Server:
    """A server of its own, with all its processes."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"skysail ready: (http://\S+) admin (http://\S+)\n", line)
        assert match is not None, (line, self.log())
        self.url, self.admin_url = match.groups()

    def log(self) -> str:
        """What it wrote to its standard error."""
        return (self.folder / "log").read_text()

    def get(self, path: str) -> Any:
        """A document of the control plane."""
        return httpx.get(self.admin_url + path, timeout=20).raise_for_status().json()

    def pids(self) -> dict[str, int]:
        """Its children, by name."""
        return {name: process["pid"] for name, process in self.get("/status")["processes"].items()}

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Poll real processes until something holds, for at most 20 s."""
        deadline = time.monotonic() + 20
        while not (found := attempt(condition)):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return found


def attempt(condition: Callable[[], Any]) -> Any:
    """The condition, false while nobody answers."""
    try:
        return condition()
    except httpx.HTTPError:
        return False


@contextmanager
def serving(folder: Path, state: str = "sqlite:///state.db") -> Iterator[Server]:
    """A running server, stopped by SIGTERM at the end."""
    (folder / "rules.py").write_text("def predict(batch):\n    print('asked', flush=True)\n    return list(batch)\n")
    (folder / "app.toml").write_text(CONFIG.format(state=state))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder / "app.toml")], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield Server(process, folder)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not yet collected does not)."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


def test_a_server_from_start_to_end(tmp_path: Path) -> None:
    """Ready, it answers on both planes; SIGTERM ends it with status 0, and neither process nor folder stays."""
    with serving(tmp_path) as server:
        assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
        assert server.get("/status")["ready"]
        pids = server.pids()
        assert set(pids) == {"control", "frontend/0", "rules@1/0"}
        folder = server.get("/logs/control")["process"]
        assert folder == "control"
    assert server.process.returncode == 0
    assert not any(map(alive, pids.values()))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0))


def test_control_dies_and_nothing_else_does(tmp_path: Path) -> None:
    """After kill -9 of control, workers and frontend go on, its successor knows what was deployed, and says so."""
    with serving(tmp_path, "memory://") as server:
        path = f"{tmp_path}/rules.py:predict"
        body = {"path": path, "threads": 2}
        answer = httpx.post(f"{server.admin_url}/models/rules/versions", json=body, timeout=60)
        assert answer.json() == {"model": "rules", "version": 2}
        before = server.pids()
        os.kill(before["control"], signal.SIGKILL)
        after = server.wait(lambda: (now := server.pids()).get("control") not in (None, before["control"]) and now)
        assert {name: pid for name, pid in after.items() if name != "control"} == {
            name: pid for name, pid in before.items() if name != "control"
        }
        server.wait(lambda: server.get("/status")["ready"])
        assert server.get("/models/rules")["current"] == 2
        assert "control was killed by SIGKILL" in server.log()


def test_a_restart_finds_what_was_deployed(tmp_path: Path) -> None:
    """Stopped and started again with the same file, the server serves the version that was current."""
    with serving(tmp_path) as server:
        body = {"path": f"{tmp_path}/rules.py:predict", "threads": 2}
        assert httpx.post(f"{server.admin_url}/models/rules/versions", json=body, timeout=60).json()["version"] == 2
    with serving(tmp_path) as server:
        assert server.get("/models/rules")["current"] == 2
        assert set(server.pids()) == {"control", "frontend/0", "rules@2/0"}


def test_killing_the_parent_ends_everything(tmp_path: Path) -> None:
    """After kill -9 of the parent no process of the server is left, its ports are free, and so is its folder."""
    with serving(tmp_path) as server:
        pids = server.pids()
        server.process.kill()
        server.wait(lambda: not any(map(alive, pids.values())))
        for url in (server.url, server.admin_url):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0))


def test_a_model_may_have_an_environment_of_its_own(tmp_path: Path) -> None:
    """A worker run by another interpreter finds Skysail, and nothing else of the server's own folders on its path."""
    with serving(tmp_path) as server:
        own = tmp_path / "python"
        own.write_text(f'#!/bin/sh\necho "path $PYTHONPATH"\nexec {sys.executable} "$@"\n')
        own.chmod(0o755)
        body = {"path": f"{tmp_path}/rules.py:predict", "python": str(own)}
        answer = httpx.post(f"{server.admin_url}/models/rules/versions", json=body, timeout=60)
        assert answer.json() == {"model": "rules", "version": 2}
        (line, *_) = server.get("/logs/rules@2/0")["lines"]
        assert re.fullmatch(r"path \S+/skysail-\w+/lib", line)


def test_a_taken_port_is_told_at_once(tmp_path: Path) -> None:
    """A second server beside a running one does not start, and says which port is taken and by which key to change."""
    (tmp_path / "rules.py").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = CONFIG.format(state="memory://").replace("admin_port = 0", f"admin_port = {port}")
        (tmp_path / "app.toml").write_text(text)
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} is taken.*admin_port"):
            run(load_config(tmp_path / "app.toml"))
