"""The control process: `python -m skysail.admin.main --spec JSON`, started by the parent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec
import uvicorn

from skysail.admin.api import AdminApi
from skysail.admin.app import make_app
from skysail.admin.links import FrontendLinks, ParentLink
from skysail.assembly import check_policy
from skysail.clock import SystemClock
from skysail.config.load import read_config
from skysail.config.schema import Config
from skysail.errors import DeployError, SkysailError
from skysail.registry.artifacts import Artifacts
from skysail.registry.control import Control
from skysail.registry.documents import Documents, RememberedDocuments, StoredDocuments
from skysail.registry.readiness import Readiness
from skysail.stores.base import Store
from skysail.stores.open import open_store
from skysail.stores.sqlite import SQLiteStore
from skysail.supervisor.lifeline import watch_lifeline
from skysail.supervisor.supervisor import EXIT_USELESS
from skysail.wire.link import open_link, serve_links

__all__ = ["ControlSpec", "main", "serve"]

_log = logging.getLogger(__name__)

_CLOSING = 3
"""Seconds that requests under way have when the process is told to stop."""


class ControlSpec(msgspec.Struct, frozen=True):
    """What the parent hands to control: where the configuration and the run folder are, and its descriptors."""

    config: str
    run: str
    data_url: str
    admin_url: str
    admin_fd: int
    control_fd: int
    link_fd: int
    lifeline_fd: int


class _Server(uvicorn.Server):
    """uvicorn for a process that is told when to stop: without its signal handlers, for SIGTERM is ours, and without
    its loop, which looks ten times a second whether to stop, and makes the date of the answers meanwhile (so they have
    none). An idle process does not wake.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        await self._stopping.wait()


async def serve(spec: ControlSpec) -> None:
    """Serve until SIGTERM, or until the parent is gone.

    Raises `StoreError` or `ConfigError` where the state cannot be used, and `DeployError` where no model can.
    """
    config = await asyncio.to_thread(_read, spec.config)
    stopping = asyncio.Event()
    _stop_at_the_end(spec, stopping)
    store = open_store(config.server.state, config.root)
    try:
        with socket.socket(fileno=spec.control_fd) as links, socket.socket(fileno=spec.admin_fd) as http:
            await _run(spec, config, store, links, http, stopping)
    finally:
        store.close()


async def _run(
    spec: ControlSpec,
    config: Config,
    store: Store,
    links: socket.socket,
    http: socket.socket,
    stopping: asyncio.Event,
) -> None:
    readiness = Readiness(config.server.frontends)
    parent = ParentLink(readiness)
    parent.link = await open_link(socket.socket(fileno=spec.link_fd), parent)
    frontends = FrontendLinks(readiness, config.server.drain)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(parent.link.run())]
        await parent.hello()
        control = Control(
            parent=parent,
            frontends=frontends,
            readiness=readiness,
            documents=_documents(store, parent),
            artifacts=Artifacts(_artifacts(store, spec)),
            run=Path(spec.run),
            clock=SystemClock(),
        )
        await control.start()
        running.append(tasks.create_task(serve_links(links, frontends, frontends.connected, frontends.lost)))
        running.append(tasks.create_task(_start(control, parent, config)))
        server = _http(AdminApi(control, parent, frontends, config, check_policy), config, stopping)
        serving = tasks.create_task(server.serve(sockets=[http]))
        await stopping.wait()
        await serving
        for task in running:
            task.cancel()


def _read(path: str) -> Config:
    return read_config(Path(path).read_bytes())


def _stop_at_the_end(spec: ControlSpec, stopping: asyncio.Event) -> None:
    """Have SIGTERM, and the end of the parent, set the event; the parent's folder then has nobody else to remove it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)

    def orphaned() -> None:
        shutil.rmtree(spec.run, ignore_errors=True)
        loop.call_soon_threadsafe(stopping.set)

    watch_lifeline(spec.lifeline_fd, orphaned)


async def _start(control: Control, parent: ParentLink, config: Config) -> None:
    """Merge the file with what was there before, unless a predecessor of this process has; then wait for readiness.

    Raises `DeployError` where no application can be answered, and so nothing is there to wait for.
    """
    if not parent.memo.get("merged"):
        done = await control.apply(config, wholly=False, within=None)
        failed = [f"{name}: " + why.partition("\n")[0] for name, why in done.failed.items()]
        for line in failed:  # the rest of what a worker said is in the log already
            _log.error("%s", line)
        if failed and not control.registry.answerable:
            raise DeployError(f"no application can be answered: {failed[0]}")
        await parent.remember("merged", True)
    await control.wait_ready()
    await parent.ready()


def _documents(store: Store, parent: ParentLink) -> Documents:
    if store.durable:
        return StoredDocuments(store)
    return RememberedDocuments(parent.memo.get("registry"), lambda text: parent.remember("registry", text))


def _artifacts(store: Store, spec: ControlSpec) -> Path:
    """Beside the state, for as long as that lives."""
    return (store.path.absolute().parent if isinstance(store, SQLiteStore) else Path(spec.run)) / "artifacts"


def _http(api: AdminApi, config: Config, stopping: asyncio.Event) -> _Server:
    name = config.server.token_env
    token = None if name is None else os.environ.get(name)
    return _Server(
        uvicorn.Config(
            make_app(api.routes(), token),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_CLOSING,
        ),
        stopping,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run control; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m skysail.admin.main", description=__doc__)
    parser.add_argument("--spec", required=True, help="a ControlSpec as JSON")
    spec = msgspec.json.decode(parser.parse_args(argv).spec, type=ControlSpec)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    code = 0
    try:
        asyncio.run(serve(spec))
    except* SkysailError as group:
        code = EXIT_USELESS
        print(f"error: {_first(group)}", file=sys.stderr, flush=True)
    return code


def _first(error: BaseException) -> BaseException:
    """The first error of a group of groups."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
