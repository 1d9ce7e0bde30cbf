"""`run`: a configuration becomes a running server, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from skysail.clock import SystemClock
from skysail.config.load import dump_config
from skysail.config.schema import Config
from skysail.supervisor.sockets import bind_shared, bind_tcp, bind_unix, run_folder
from skysail.supervisor.spec import ChildSpec
from skysail.supervisor.supervisor import Supervisor

__all__ = ["run"]

_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""For glibc, in a frontend: rows come and go through the cache for ever, and with its defaults the holes that they
leave add up. An operator's own settings stand.
"""


def run(config: Config, *, announce: Callable[[str], None] = lambda line: print(line, flush=True)) -> int:
    """Serve a configuration; returns the exit status, 0 after an orderly end on SIGTERM or SIGINT.

    `announce` gets the one line that says that every application can be answered, and where. Raises `ConfigError` when
    a port is taken. Call it in the main thread, for it handles signals; it does not return before the server ends.
    """
    server = config.server
    with ExitStack() as held_open:
        data = [
            held_open.enter_context(sock) for sock in bind_shared(server.host, server.port, "port", server.frontends)
        ]
        admin = held_open.enter_context(bind_tcp(server.admin_host, server.admin_port, "admin_port"))
        folder = held_open.enter_context(run_folder())
        control = held_open.enter_context(bind_unix(str(folder / "control.sock")))
        urls = {"data_url": _url(data[0].getsockname()), "admin_url": _url(admin.getsockname())}
        _write_run_folder(folder, config)
        lifeline, held = os.pipe()  # the write end is inherited by nobody: it closes when this process ends, however
        try:
            supervisor = Supervisor(
                _children(config, folder, urls),
                shared={
                    **{f"data/{index}": sock.fileno() for index, sock in enumerate(data)},
                    "admin": admin.fileno(),
                    "control": control.fileno(),
                },
                lifeline=lifeline,
                clock=SystemClock(),
                drain=server.drain,
                on_ready=lambda: announce(f"skysail ready: {urls['data_url']} admin {urls['admin_url']}"),
            )
            return asyncio.run(supervisor.run())
        finally:
            os.close(held)
            os.close(lifeline)


def _write_run_folder(folder: Path, config: Config) -> None:
    """What children read: the resolved configuration, and this package alone in a folder for `PYTHONPATH`.

    A model with its own interpreter is run with that folder on its path, so that it finds Skysail there and everything
    else in its own environment.
    """
    (folder / "config.json").write_bytes(dump_config(config))
    (folder / "lib").mkdir()
    (folder / "lib" / "skysail").symlink_to(Path(__file__).parent.parent, target_is_directory=True)


def _children(config: Config, folder: Path, urls: dict[str, str]) -> list[ChildSpec]:
    """The children that every server has: control, and the frontends."""
    spec: dict[str, Any] = {"config": str(folder / "config.json"), "run": str(folder)}
    control = ChildSpec(
        name="control",
        kind="control",
        argv=(sys.executable, "-P", "-m", "skysail.admin.main"),
        spec={**spec, **urls},
        fds=("admin", "control", "link"),
    )
    sockets = [str(folder / f"frontend-{index}.sock") for index in range(config.server.frontends)]
    return [control, *[_frontend(spec, index, sockets) for index in range(len(sockets))]]


def _frontend(spec: dict[str, Any], index: int, sockets: list[str]) -> ChildSpec:
    """A frontend; where there are others, each listens on a socket of its own for what they tell and ask each other."""
    alone = len(sockets) == 1
    return ChildSpec(
        name=f"frontend/{index}",
        kind="frontend",
        argv=(sys.executable, "-P", "-m", "skysail.http.main"),
        spec={**spec, "index": index, "frontends": sockets},
        fds=(f"data/{index}",) if alone else (f"data/{index}", "listen"),
        listen=None if alone else sockets[index],
        env={name: value for name, value in _ALLOCATOR.items() if name not in os.environ},
    )


def _url(address: Any) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
