"""One child process, kept as it is wanted: started, watched, started again after it died, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from skysail.clock import Clock
from skysail.supervisor.backoff import Backoff
from skysail.supervisor.pipes import PipeLines
from skysail.supervisor.sockets import bind_unix
from skysail.supervisor.spec import ChildSpec, ChildStatus, describe_exit

__all__ = ["TAIL", "Child", "Observer"]

TAIL = 100
"""Lines of output kept for each child."""


class Observer(Protocol):
    """Who hears of a child's life."""

    def printed(self, child: Child, line: str) -> None:
        """It wrote a line to its standard output or error."""
        ...

    def started(self, child: Child) -> None:
        """A process runs."""
        ...

    def reported(self, child: Child, report: dict[str, Any]) -> None:
        """It wrote a line to its report pipe."""
        ...

    def linked(self, child: Child, ours: socket.socket) -> None:
        """It was given a link, of which this is our end."""
        ...

    def exited(self, child: Child, code: int | None, how: str) -> None:
        """Its process ended, as `how` says in words; `code` is `None` when it could not even be started."""
        ...


class Child:
    """Keeps one process as `want` said last. `run` is its whole life, and ends when it is no longer wanted.

    The process leads its own process group, so a Ctrl-C at the terminal reaches the parent alone, which decides.
    """

    def __init__(
        self,
        spec: ChildSpec,
        *,
        lifeline: int,
        shared: Mapping[str, int],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.name = spec.name
        self.kind = spec.kind
        self.output: deque[str] = deque(maxlen=TAIL)
        self._lifeline = lifeline
        self._shared = shared
        self._observer = observer
        self._clock = clock
        self._wanted: ChildSpec | None = spec
        self._backoff = Backoff()
        self._changed = asyncio.Event()
        self._exited = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: list[PipeLines] = []
        self._kill_timer: asyncio.TimerHandle | None = None
        self._starts = 0
        self._report: dict[str, Any] = {}
        self._last_exit: str | None = None
        self._last_tail: tuple[str, ...] = ()
        self._listener = None if spec.listen is None else bind_unix(spec.listen)

    def want(self, spec: ChildSpec | None, grace: float) -> None:
        """From now on: the process of this spec, or none.

        One that runs otherwise gets SIGTERM, and SIGKILL if it is still there after `grace` seconds.
        """
        if spec == self._wanted:
            return
        self._wanted = spec
        self._changed.set()
        if self._process is not None:
            self._process.terminate()
            if self._kill_timer is None:
                self._kill_timer = asyncio.get_running_loop().call_later(grace, self._overdue, grace)

    def kill(self) -> None:
        """End the process, and what it started, at once."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _overdue(self, grace: float) -> None:
        self._printed(f"(still there {grace:g} s after SIGTERM: killed)")
        self.kill()

    def poll(self) -> None:
        """Look whether the process has ended; to be called at each SIGCHLD."""
        if self._process is not None and self._process.poll() is not None:
            self._exited.set()

    def status(self) -> ChildStatus:
        """The child as it is now."""
        running = self._process is not None
        return ChildStatus(
            name=self.name,
            kind=self.kind,
            state="stopping" if self._wanted is None else "running" if running else "waiting",
            pid=None if self._process is None else self._process.pid,
            starts=self._starts,
            report=self._report,
            last_exit=self._last_exit,
            tail=self._last_tail,
        )

    async def run(self) -> None:
        """Start the process, and again whenever it ends, for as long as it is wanted."""
        try:
            while (spec := self._wanted) is not None:
                began = self._clock.monotonic()
                await self._run_once(spec)
                if self._wanted == spec:
                    await self._pause(self._backoff.pause(self._clock.monotonic() - began))
        finally:
            self._release()

    async def _run_once(self, spec: ChildSpec) -> None:
        self._changed.clear()
        self._exited.clear()
        self._report = {}
        try:
            self._process = process = self._spawn(spec)
        except OSError as error:
            self._ended(None, f"could not be started: {error}")
            return
        self._starts += 1
        self._observer.started(self)
        self.poll()  # it may have ended before it was ours to watch
        await self._exited.wait()
        self._process = None
        if self._kill_timer is not None:
            self._kill_timer.cancel()
            self._kill_timer = None
        self._close_pipes()
        self._ended(process.returncode, describe_exit(process.returncode))

    def _ended(self, code: int | None, how: str) -> None:
        self._last_exit = how
        self._last_tail = tuple(self.output)
        self._observer.exited(self, code, how)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _spawn(self, spec: ChildSpec) -> subprocess.Popen[bytes]:
        """Start the process with its descriptors; ours of its ends are closed again, whether or not it started."""
        output, theirs = os.pipe()
        self._watch(output, self._printed)
        closing = [theirs]
        try:
            fds = {"lifeline": self._lifeline}
            for name in spec.fds:
                fds[name] = self._descriptor(name, closing)
            numbers = {f"{name.partition('/')[0]}_fd": fd for name, fd in fds.items()}
            arguments = msgspec.json.encode({**spec.spec, **numbers}).decode()
            return subprocess.Popen(
                [*spec.argv, "--spec", arguments],
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                pass_fds=tuple(fds.values()),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **spec.env},
                cwd=spec.cwd,
                process_group=0,
            )
        except OSError:
            self._close_pipes()
            raise
        finally:
            for fd in closing:
                os.close(fd)

    def _descriptor(self, name: str, closing: list[int]) -> int:
        if name == "listen" and self._listener is not None:
            return self._listener.fileno()
        if name == "report":
            ours, theirs = os.pipe()
            self._watch(ours, self._reported)
            closing.append(theirs)
            return theirs
        if name == "link":
            mine, other = socket.socketpair()
            closing.append(other.detach())
            self._observer.linked(self, mine)
            return closing[-1]
        return self._shared[name]

    def _watch(self, fd: int, line: Callable[[str], None]) -> None:
        pipe = PipeLines(fd, line)
        pipe.start()
        self._pipes.append(pipe)

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.finish()
        self._pipes.clear()

    def _printed(self, line: str) -> None:
        self.output.append(line)
        self._observer.printed(self, line)

    def _reported(self, line: str) -> None:
        try:
            self._report = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            self._printed(f"(unreadable report) {line}")
        else:
            self._observer.reported(self, self._report)

    def _release(self) -> None:
        """Leave nothing behind, also when `run` is cancelled while the process runs."""
        if self._process is not None:
            self.kill()
            self._process.wait()
        self._close_pipes()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if self._listener is not None:
            path = self._listener.getsockname()
            self._listener.close()
            Path(path).unlink(missing_ok=True)
            self._listener = None
