"""The near end of the generator's process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import TracebackType
from typing import Self

import msgspec

from skysail.bench.trial import Closed, Open, Order, Setup, Trial
from skysail.errors import SkysailError

__all__ = ["RemoteGenerator"]


class RemoteGenerator:
    """`skysail.bench.generator` in a process of its own, which ends with this; used with `async with`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "skysail.bench.generator",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
            start_new_session=True,
        )
        self._tell(self._setup)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        child = self._process
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()  # it holds nothing that would be lost
        await child.communicate()

    async def run(self, order: Closed | Open) -> Trial:
        """What came of a loop. Raises `SkysailError` with the process's last words where it ended instead."""
        self._tell(order)
        stdout = self._process.stdout
        line = b"" if stdout is None else await stdout.readline()
        if not line:
            _, said = await self._process.communicate()
            told = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise SkysailError(f"the generator ended: {told}; see whether the server still runs")
        return msgspec.json.decode(line, type=Trial)

    def _tell(self, order: Order) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    @property
    def _process(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise RuntimeError("the generator has not been started: use it with 'async with'")
        return self._child
