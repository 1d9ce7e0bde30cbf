"""The parent itself: keeps the fixed children and the workers that control asks for, and stops them in order."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from skysail.clock import Clock
from skysail.errors import InvalidRequest, NotFound, SkysailError, nearest
from skysail.supervisor.child import Child
from skysail.supervisor.spec import ChildSpec, ChildStatus
from skysail.wire.link import Link, LinkClosed, open_link

__all__ = ["EXIT_USELESS", "Supervisor"]

EXIT_USELESS = 2
"""The exit status by which a frontend or control says that starting it again is useless (its last line of output says
why). Before the server was ever ready, the parent then gives up."""

_GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL for what has no drain time of its own."""


class Supervisor:
    """Runs children until a signal tells it to stop.

    `fixed` children are there from the start; control, which is one of them and has a link, adds workers and takes them
    away. Over that link control may call `hello`, `set_children`, `children`, `logs`, `remember` and `ready`, and is
    notified of `started`, `report` and `exited`. What control was last told and asked for outlives it: it is restarted
    like any other child, while frontends and workers go on.
    """

    def __init__(
        self,
        fixed: Sequence[ChildSpec],
        *,
        shared: Mapping[str, int],
        lifeline: int,
        clock: Clock,
        drain: float,
        on_ready: Callable[[], None],
        write: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._fixed = fixed
        self._shared = shared
        self._lifeline = lifeline
        self._clock = clock
        self._drain = drain
        self._on_ready = on_ready
        self._write = write
        self._children: dict[str, Child] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._control: Link | None = None
        self._memo: Any = None
        self._ready = False
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Start everything, and return the exit status after a signal has stopped it all. Needs the main thread."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for spec in self._fixed:
                    self._add(spec)
                await self._stopping.wait()
                await self._stop()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
        return self._code

    def stop(self) -> None:
        """Stop in order, as SIGTERM does."""
        self._stopping.set()

    # Signals and the order of stopping.

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            for child in self._children.values():
                child.poll()
        elif number == signal.SIGINT and self._stopping.is_set():
            self._say("stopping at once")
            for child in self._children.values():
                child.kill()
        elif not self._stopping.is_set():
            self._say(f"{number.name}: draining, then stopping")
            self.stop()

    async def _stop(self) -> None:
        """Frontends first, which finish what is in flight while workers and control are there; then all the others."""
        await self._end([c for c in self._children.values() if c.kind == "frontend"], self._drain + _GRACE)
        await self._end(list(self._children.values()), _GRACE)

    async def _end(self, children: list[Child], grace: float) -> None:
        tasks = [self._running[child.name] for child in children]
        for child in children:
            child.want(None, grace)
        if tasks:
            await asyncio.wait(tasks)

    # Children.

    def _add(self, spec: ChildSpec) -> None:
        child = Child(spec, lifeline=self._lifeline, shared=self._shared, observer=self, clock=self._clock)
        self._children[spec.name] = child
        self._running[spec.name] = self._tasks.create_task(self._keep(child))

    async def _keep(self, child: Child) -> None:
        try:
            await child.run()
        finally:
            del self._children[child.name], self._running[child.name]

    def printed(self, child: Child, line: str) -> None:
        """Forward a child's line, with its name before it."""
        self._write(f"[{child.name}] {line}")

    def started(self, child: Child) -> None:
        """Tell control."""
        self._tell("started", name=child.name, pid=child.status().pid)

    def reported(self, child: Child, report: dict[str, Any]) -> None:
        """Pass a worker's report on to control."""
        self._tell("report", name=child.name, report=report)

    def linked(self, child: Child, ours: socket.socket) -> None:
        """Serve the link of a control that is being started."""
        self._tasks.create_task(self._serve(ours))

    def exited(self, child: Child, code: int | None, how: str) -> None:
        """Tell control and the log of an end; give up where starting again is useless."""
        status = child.status()
        if not self._stopping.is_set():  # what ends because everything ends says nothing about a model
            self._tell("exited", status=msgspec.to_builtins(status))
        if status.state == "stopping" and code in (0, -signal.SIGTERM):
            return
        self._say(f"{child.name} {how}")
        if code == EXIT_USELESS and child.kind != "worker" and not (self._ready or self._stopping.is_set()):
            self._code = EXIT_USELESS
            self.stop()

    def _say(self, line: str) -> None:
        self._write(f"[skysail] {line}")

    # The link to control.

    async def _serve(self, ours: socket.socket) -> None:
        link = self._control = await open_link(ours, self._handle)
        try:
            await link.run()
        except SkysailError as error:
            self._say(f"control broke its link: {error}")
        finally:
            if self._control is link:
                self._control = None

    def _tell(self, op: str, **args: Any) -> None:
        """Notify control; when it is not there, it will ask for everything once it is."""
        if self._control is not None:
            try:
                self._control.notify(op, **args)
            except LinkClosed:
                self._control = None

    def _handle(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        match op:
            case "hello":
                return {"memo": self._memo, "children": self._statuses()}
            case "set_children":
                return self._set_children(msgspec.convert(args["children"], list[ChildSpec]))
            case "children":
                return self._statuses()
            case "logs":
                return self._logs(args["name"])
            case "remember":
                self._memo = args["memo"]
            case "ready":
                self._announce()
            case _:
                raise InvalidRequest(f"the parent knows no operation {op!r}")
        return None

    def _set_children(self, specs: list[ChildSpec]) -> None:
        """Make the workers these, and no others. Their sockets are bound when this returns."""
        if self._stopping.is_set():
            return
        wanted = {spec.name: spec for spec in specs if spec.kind == "worker"}
        for child in self._children.values():
            if child.kind == "worker" and child.name not in wanted:
                child.want(None, _GRACE)
        for name, spec in wanted.items():
            if name in self._children:
                self._children[name].want(spec, _GRACE)
            else:
                self._add(spec)

    def _statuses(self) -> list[ChildStatus]:
        return [child.status() for child in self._children.values()]

    def _logs(self, name: str) -> list[str]:
        if name not in self._children:
            raise NotFound(f"no process is called {name!r} ({nearest(name, self._children)})")
        return list(self._children[name].output)

    def _announce(self) -> None:
        if not self._ready:
            self._ready = True
            self._on_ready()
