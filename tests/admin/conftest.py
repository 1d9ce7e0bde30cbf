"""A control plane in this process, between a parent and a frontend that are stand-ins, with real sockets in between."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from skysail.admin import main
from skysail.config.load import dump_config
from skysail.config.schema import AppConfig, Config, ModelConfig, ServerConfig
from skysail.errors import InvalidRequest, NotFound, UnknownPrediction
from skysail.supervisor.sockets import bind_unix
from skysail.supervisor.spec import ChildSpec, ChildStatus
from skysail.wire.link import Link, keep_link, open_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
def anyio_backend() -> str:
    """These tests use asyncio itself."""
    return "asyncio"


class Parent:
    """Remembers, and has workers report at once: those whose path holds `broken` fail."""

    def __init__(self) -> None:
        self.memo: Any = None
        self.workers: dict[str, ChildSpec] = {}
        self.ready = asyncio.Event()

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        match op:
            case "hello":
                return {"memo": self.memo, "children": self.statuses()}
            case "set_children":
                self.set_children(link, msgspec.convert(args["children"], list[ChildSpec]))
            case "children":
                return self.statuses()
            case "logs" if args["name"] in self.workers:
                return [f"a line of {args['name']}"]
            case "logs":
                raise NotFound(f"no process is called {args['name']!r}")
            case "remember":
                self.memo = args["memo"]
            case "ready":
                self.ready.set()
            case _:
                raise InvalidRequest(op)
        return None

    def statuses(self) -> list[ChildStatus]:
        """Its workers, all running and loaded."""
        return [
            ChildStatus(
                name=name,
                kind="worker",
                state="running",
                pid=1,
                starts=1,
                report={"state": "ready"},
                last_exit=None,
                tail=(),
            )
            for name in self.workers
        ]

    def set_children(self, link: Link, specs: list[ChildSpec]) -> None:
        """Run these workers."""
        new = [spec for spec in specs if spec.name not in self.workers]
        self.workers = {spec.name: spec for spec in specs}
        for spec in new:
            link.notify("started", name=spec.name, pid=1)
            broken = "broken" in spec.spec["path"]
            report = {"state": "failed", "error": "boom", "traceback": "the trace"} if broken else {"state": "ready"}
            link.notify("report", name=spec.name, report=report)


class Frontend:
    """Serves whatever topology it is told, and knows one decision."""

    def __init__(self) -> None:
        self.topology: dict[str, Any] = {}
        self.told = asyncio.Event()

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        match op:
            case "topology":
                self.topology = args["topology"]
                self.told.set()
                for version in self.topology["versions"]:
                    link.notify("version_ready", model=version["config"]["name"], version=version["version"])
            case "stats":
                return {"run": "00-000001-", "apps": {}, "models": {}, "ready": dict.fromkeys(self.topology["apps"])}
            case "weights":
                return {args["context"]: 1.0}
            case "why" if args["id"] == "known":
                return {"prediction_id": "known"}
            case "why":
                raise UnknownPrediction(f"no decision {args['id']!r} is kept")
            case _:
                raise InvalidRequest(op)
        return None


@dataclass
class Plane:
    """A running control plane and those around it."""

    parent: Parent
    frontend: Frontend
    http: httpx.AsyncClient
    folder: Path
    task: asyncio.Task[None]
    links: list[Link] = field(default_factory=list)

    async def get(self, path: str) -> Any:
        """The document at a path."""
        return (await self.http.get(path)).raise_for_status().json()


def config_of(folder: Path, state: str, token_env: str | None = None) -> Config:
    """A configuration of two models and an application."""
    (folder / "rules.py").write_text("def predict(batch): return batch")
    path = f"{folder}/rules.py:predict"
    models = {n: ModelConfig(name=n, path=path, runtime="python", input="json", import_root=str(folder)) for n in "ab"}
    return Config(
        server=ServerConfig(state=state, token_env=token_env),
        models=models,
        apps={"x": AppConfig(name="x", models=("a", "b"))},
        root=folder,
    )


@asynccontextmanager
async def _running(folder: Path, config: Config, parent: Parent, frontends: int = 1) -> AsyncIterator[Plane]:
    (folder / "config.json").write_bytes(dump_config(config))
    ours, theirs = socket.socketpair()
    frontend = Frontend()
    with socket.create_server(("127.0.0.1", 0)) as admin, bind_unix(str(folder / "control.sock")) as control:
        url = f"http://127.0.0.1:{admin.getsockname()[1]}"
        spec = main.ControlSpec(
            config=str(folder / "config.json"),
            run=str(folder),
            data_url="",
            admin_url=url,
            admin_fd=os.dup(admin.fileno()),
            control_fd=os.dup(control.fileno()),
            link_fd=theirs.detach(),
            lifeline_fd=-1,
        )
        link = await open_link(ours, parent)
        async with asyncio.TaskGroup() as tasks, httpx.AsyncClient(base_url=url, timeout=20) as http:
            aside = [tasks.create_task(link.run())]
            task = tasks.create_task(main.serve(spec))
            plane = Plane(parent, frontend, http, folder, task)
            aside += [
                tasks.create_task(keep_link(str(folder / "control.sock"), frontend, plane.links.append, pause=0.01))
                for _ in range(frontends)
            ]
            while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            yield plane
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait([task])
            for other in aside:
                other.cancel()
            link.close()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs control planes: `running(parent, state=…, token_env=…, frontends=…)`, stopped by SIGTERM at the end."""
    monkeypatch.setattr(main, "watch_lifeline", lambda fd, gone: None)  # it would end the process of the tests

    def run(parent: Parent | None = None, state: str = "memory://", frontends: int = 1, **server: Any) -> Any:
        config = config_of(tmp_path, state, **server)
        return _running(tmp_path, config, Parent() if parent is None else parent, frontends)

    return run
