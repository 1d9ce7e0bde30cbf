"""The frontend as a process of its own, with the test as its parent and its control plane."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from skysail.config.load import dump_config
from skysail.config.schema import AppConfig, Config, ServerConfig, Topology
from skysail.wire.link import Link, serve_links

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Parent:
    """Holds a frontend's sockets and its lifeline."""

    def __init__(self, folder: Path, state: str) -> None:
        self.folder = folder
        config = Config(server=ServerConfig(state=state), root=folder)
        (folder / "config.json").write_bytes(dump_config(config))
        self.data = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.data.getsockname()[1]}"
        self.control = socket.socket(socket.AF_UNIX)
        self.control.bind(str(folder / "control.sock"))
        self.control.listen()
        self.lifeline, self.held = os.pipe()
        spec = {
            "config": str(folder / "config.json"),
            "run": str(folder),
            "index": 0,
            "data_fd": self.data.fileno(),
            "lifeline_fd": self.lifeline,
        }
        self.child = subprocess.Popen(
            [sys.executable, "-m", "skysail.http.main", "--spec", msgspec.json.encode(spec).decode()],
            pass_fds=(self.data.fileno(), self.lifeline),
            stderr=subprocess.PIPE,
        )

    async def ended(self) -> int:
        """The exit status."""
        return await asyncio.wait_for(asyncio.to_thread(self.child.wait), 20)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        if self.child.stderr is not None:
            self.child.stderr.close()
        for fd in (self.lifeline, self.held):
            if fd >= 0:
                os.close(fd)
        self.data.close()
        self.control.close()


@pytest.fixture
def parent(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Parent]:
    """A frontend that has been started, with its state where the test says."""
    parent = Parent(tmp_path_factory.mktemp("f"), getattr(request, "param", "memory://"))
    yield parent
    parent.close()


class Control:
    """The control plane's end of the link: one frontend, and what it says."""

    def __init__(self) -> None:
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        return None

    def connected(self, link: Link) -> None:
        self.link.set_result(link)

    def lost(self, link: Link) -> None: ...


async def test_it_serves_what_control_says_and_drains_on_sigterm(parent: Parent) -> None:
    """Clients queue until there is a topology; then health, statistics and errors are true; SIGTERM ends it with 0."""
    control = Control()
    serving = asyncio.create_task(serve_links(parent.control, control, control.connected, control.lost))
    link = await asyncio.wait_for(control.link, 20)
    async with httpx.AsyncClient(base_url=parent.url, timeout=20) as client:
        early = asyncio.create_task(client.get("/v2/health/live"))
        app = AppConfig(name="a", models=("m",), default=b"-1")
        await link.call("topology", topology=msgspec.to_builtins(Topology(apps={"a": app})))
        assert (await early).status_code == 200
        assert (await client.get("/v2/health/ready")).json()["apps"] == {"a": "m: no version is current"}
        answer = (await client.post("/apps/a/predict", json={"input": 1})).json()
        assert (answer["output"], answer["reason"]) == (-1, "unavailable")
        assert (await link.call("stats"))["apps"]["a"]["defaults"] == {"unavailable": 1}
        assert (await link.call("why", id=answer["prediction_id"]))["default"] is True
        assert await link.call("weights", app="a", context=None) == {"m": 1.0}
    parent.child.send_signal(signal.SIGTERM)
    assert await parent.ended() == 0
    serving.cancel()
    await asyncio.wait([serving])


async def test_it_ends_when_its_parent_is_gone(parent: Parent) -> None:
    """The lifeline's end is the order to leave, even while nothing has been configured."""
    os.close(parent.held)
    parent.held = -1
    assert await parent.ended() == 0


@pytest.mark.parametrize("parent", ["sqlite:////proc/nowhere/state.db"], indirect=True)
async def test_a_state_that_cannot_be_opened_is_one_clear_line(parent: Parent) -> None:
    """The exit status says that starting again is useless, and the last line why."""
    assert await parent.ended() == 2
    assert parent.child.stderr is not None
    lines = parent.child.stderr.read().decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "/proc/nowhere" in lines[0]
