"""The frontend process: `python -m skysail.http.main --spec JSON`, started by the parent."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import uvloop

from skysail.assembly import Frontend, Listener
from skysail.clock import SystemClock
from skysail.config.load import decode_topology, read_config
from skysail.config.schema import Config
from skysail.descriptors import make_room
from skysail.errors import InvalidRequest, SkysailError
from skysail.http.dataplane import DataPlane
from skysail.http.hub import Limits
from skysail.http.peers import Peers
from skysail.http.server import HttpServer
from skysail.malloc import Spare, keep_memory
from skysail.stores.open import open_store
from skysail.supervisor.lifeline import watch_lifeline
from skysail.wire.link import Link, LinkClosed, keep_link

__all__ = ["FrontendSpec", "main", "serve"]

_USELESS = 2
"""The exit status that tells the parent not to start this again (see `skysail.supervisor.supervisor.EXIT_USELESS`)."""

_ORPHAN_DRAIN = 1.0
"""Seconds for what is in flight when the parent is gone: everything must be over within two."""


class FrontendSpec(msgspec.Struct, frozen=True):
    """What the parent hands to a frontend: where the resolved configuration and the run folder are, and its
    descriptors.
    """

    config: str
    run: str
    index: int
    data_fd: int
    lifeline_fd: int
    frontends: tuple[str, ...] = ()
    """Where each frontend of the server listens for the others; where there are others, `listen_fd` is this one's."""
    listen_fd: int | None = None


class _Control(Listener):
    """The frontend's end of its link to the control plane."""

    def __init__(self) -> None:
        self.frontend: Frontend | None = None
        self._link: Link | None = None

    def connected(self, link: Link) -> None:
        """A control plane is there, perhaps a new one: it will send the topology and hear of versions anew."""
        self._link = link
        if self.frontend is not None:
            self.frontend.announce()

    def version_ready(self, model: str, version: int) -> None:
        self._tell("version_ready", model=model, version=version)

    def version_failed(self, model: str, version: int, error: str) -> None:
        self._tell("version_failed", model=model, version=version, error=error)

    def _tell(self, op: str, **args: Any) -> None:
        if self._link is not None:
            try:
                self._link.notify(op, **args)
            except LinkClosed:
                self._link = None

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        frontend = self.frontend
        if frontend is None:
            raise InvalidRequest("the frontend is still starting")
        match op:
            case "topology":
                return frontend.apply(decode_topology(msgspec.json.encode(args["topology"])))
            case "stats":
                return frontend.stats()
            case "weights":
                return frontend.weights(args["app"], args.get("context"))
            case "why":
                return frontend.why(args["id"])
        raise InvalidRequest(f"a frontend knows no operation {op!r}")


async def serve(spec: FrontendSpec, config: Config) -> None:
    """Serve until SIGTERM, or until the parent is gone; then drain."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[float] = loop.create_future()

    def stop(drain: float) -> None:
        if not stopping.done():
            stopping.set_result(drain)

    loop.add_signal_handler(signal.SIGTERM, stop, config.server.drain)

    def orphaned() -> None:
        loop.call_soon_threadsafe(stop, _ORPHAN_DRAIN)

    watch_lifeline(spec.lifeline_fd, orphaned)
    control = _Control()
    store = open_store(config.server.state, config.root)
    frontend = Frontend(config, spec.index, store, clock=SystemClock(), rng=Random(), listener=control)
    async with asyncio.TaskGroup() as tasks:
        await frontend.start(tasks)
        control.frontend = frontend
        link = tasks.create_task(keep_link(str(Path(spec.run) / "control.sock"), control, control.connected))
        peers = _peers(tasks, spec, frontend)
        plane = DataPlane(frontend.engine, frontend, max_rows=config.server.max_rows, token=_token(config))
        server = HttpServer(plane, _limits(config), Spare(SystemClock()).look)
        frontend.http = server
        configured = tasks.create_task(frontend.wait_configured())
        stopping.add_done_callback(lambda _: configured.cancel())
        await asyncio.wait([configured])
        if not stopping.done():
            await server.start(socket.socket(fileno=spec.data_fd))
            _calm_collector()
            keep_memory()
        drain = await stopping
        frontend.draining = True
        await server.drain(drain)
        link.cancel()
        await frontend.aclose()
        if peers is not None:
            peers.cancel()  # only now: until all is written, others may ask for it


def _peers(tasks: asyncio.TaskGroup, spec: FrontendSpec, frontend: Frontend) -> asyncio.Task[None] | None:
    """The links to the other frontends, where there are others."""
    if spec.listen_fd is None:
        return None
    return tasks.create_task(Peers(frontend, spec.index, spec.frontends).run(socket.socket(fileno=spec.listen_fd)))


def _calm_collector() -> None:
    """What is here now stays, and a request leaves no cycles behind: the collector need look neither often nor far.

    Its default, every 700 objects, is every twenty queries; and a full collection would walk through the whole cache.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _limits(config: Config) -> Limits:
    server = config.server
    return Limits(max_body=server.max_body, idle_timeout=server.idle_timeout, header_timeout=server.header_timeout)


def _token(config: Config) -> str | None:
    name = config.server.token_env
    return None if name is None else os.environ.get(name)


def main() -> int:
    """Run a frontend; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m skysail.http.main", description=__doc__)
    parser.add_argument("--spec", required=True, help="a FrontendSpec as JSON")
    spec = msgspec.json.decode(parser.parse_args().spec, type=FrontendSpec)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to stop
    make_room()
    code = 0
    try:
        uvloop.run(serve(spec, read_config(Path(spec.config).read_bytes())))
    except* SkysailError as group:
        code = _USELESS
        for error in group.exceptions:
            print(f"error: {error}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
