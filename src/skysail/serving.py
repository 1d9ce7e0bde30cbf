"""A whole server as a child process, for the demo and for measuring: from its ready line to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

from skysail.errors import DeployError

__all__ = ["Addresses", "Serving"]

_READY = re.compile(r"skysail ready: (http://\S+) admin (http://\S+)")
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_TAIL = 30


class Addresses(NamedTuple):
    """Where a server is reached."""

    url: str
    """The data plane."""

    admin_url: str
    """The control plane."""


class Serving:
    """A Python module that runs a server, such as `skysail.cli.main`, with its arguments; used with `async with`.

    It is ended with its caller, in order, by its process id. Not for operating a server: that is a service manager's.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._child: asyncio.subprocess.Process | None = None
        self._log: deque[str] = deque(maxlen=_TAIL)
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
            start_new_session=True,  # Ctrl-C is for the caller, who then ends the server in order
        )
        self._reader = asyncio.create_task(self._read_log(_stream(self._child.stderr)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_ready(self) -> Addresses:
        """The addresses in the server's ready line; `DeployError` with its last words if it ends, or says nothing in
        120 s.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                while line := (await _stream(self._process.stdout).readline()).decode():
                    if match := _READY.match(line):
                        return Addresses(*match.groups())
        except TimeoutError:
            await self.stop()
            raise DeployError(f"the server was not ready within {_START_SECONDS:.0f} s; it said:\n{self.log}") from None
        code = await self.stop()
        raise DeployError(f"the server ended with exit code {code} before it was ready; it said:\n{self.log}")

    async def wait(self) -> int:
        """The exit code, once the server has ended by itself."""
        return await self._process.wait()

    async def stop(self) -> int:
        """End the server in order (SIGTERM), or by force after 20 s; harmless when it has ended. Gives its exit
        code.
        """
        child = self._process
        if child.returncode is None:
            # Not `child.send_signal`: it reaps a child that has just ended, and asyncio never learns its exit code.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), _STOP_SECONDS)
        except TimeoutError:
            child.kill()
        code = await child.wait()
        if self._reader is not None:
            await self._reader
        return code

    @property
    def log(self) -> str:
        """The last lines that the server and its workers wrote."""
        return "\n".join(self._log)

    @property
    def _process(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise RuntimeError("the server has not been started: use it with 'async with'")
        return self._child

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self._log.append(line.decode(errors="replace").rstrip())


def _stream(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    """The pipe that was asked for at the start."""
    if stream is None:
        raise RuntimeError("the server's output is not a pipe")
    return stream
