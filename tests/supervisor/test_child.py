from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from skysail.clock import SystemClock
from skysail.supervisor.child import TAIL, Child
from skysail.supervisor.spec import ChildSpec

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """These tests use asyncio itself."""
    return "asyncio"


class Log:
    """Hears of a child, and queues what it prints and how it ends."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.ends: asyncio.Queue[tuple[int | None, str]] = asyncio.Queue()
        self.reports: list[dict[str, Any]] = []
        self.links: list[socket.socket] = []

    def printed(self, child: Child, line: str) -> None:
        """A line."""
        self.lines.put_nowait(line)

    def started(self, child: Child) -> None:
        """A start; the process is known by now."""
        assert child.status().pid is not None

    def reported(self, child: Child, report: dict[str, Any]) -> None:
        """A report."""
        self.reports.append(report)

    def linked(self, child: Child, ours: socket.socket) -> None:
        """Our end of a link."""
        self.links.append(ours)

    def exited(self, child: Child, code: int | None, how: str) -> None:
        """An end."""
        self.ends.put_nowait((code, how))


@asynccontextmanager
async def running(spec: ChildSpec, **shared: int) -> AsyncIterator[tuple[Child, Log, asyncio.Task[None]]]:
    """A child that runs, and at the end is cancelled, as when the parent itself fails."""
    log = Log()
    lifeline, held = os.pipe()
    child = Child(spec, lifeline=lifeline, shared=shared, observer=log, clock=SystemClock())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, child.poll)
    task = asyncio.create_task(child.run())
    try:
        async with asyncio.timeout(20):
            yield child, log, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        loop.remove_signal_handler(signal.SIGCHLD)
        os.close(lifeline)
        os.close(held)
        for link in log.links:
            link.close()


def python(code: str, **fields: Any) -> ChildSpec:
    """A child that runs some Python."""
    return ChildSpec(name="a", kind="worker", argv=(sys.executable, "-c", code), **fields)


async def test_the_spec_arrives_with_its_descriptors() -> None:
    """What the child is told is the spec, with a number for each descriptor it asked for, all of which are open."""
    code = """
import json, os, sys
spec = json.loads(sys.argv[2])
for name, value in spec.items():
    if name.endswith("_fd"): os.fstat(value)
print(json.dumps(spec))
"""
    read, write = os.pipe()
    async with running(python(code, spec={"x": "y"}, fds=("report", "link", "data")), data=read) as (_, log, _):
        told = json.loads(await log.lines.get())
        assert sorted(told) == ["data_fd", "lifeline_fd", "link_fd", "report_fd", "x"]
        assert told["data_fd"] == read
        assert len(log.links) == 1
    os.close(read)
    os.close(write)


async def test_environment_and_folder_are_the_specs(tmp_path: Path) -> None:
    """The spec's variables are added to the parent's, and the child starts in its folder."""
    code = "import os; print(os.getcwd(), os.environ['A'], 'PATH' in os.environ)"
    async with running(python(code, env={"A": "b"}, cwd=str(tmp_path))) as (_, log, _):
        assert await log.lines.get() == f"{tmp_path} b True"


async def test_killing_takes_what_the_child_started() -> None:
    """A model's own subprocess does not outlive a worker that had to be killed."""
    code = """
import subprocess, time
print(subprocess.Popen(['sleep', '1000']).pid)
time.sleep(1000)
"""
    async with running(python(code)) as (child, log, _):
        grandchild = int(await log.lines.get())
        child.kill()
        assert await log.ends.get() == (-9, "was killed by SIGKILL (by hand, or by the system because memory ran out)")
        await wait_gone(grandchild)


async def wait_gone(pid: int) -> None:
    """Poll a process until it has ended, collected or not."""
    while (await asyncio.to_thread(state, pid))[:1] not in ("", "Z"):  # noqa: ASYNC110 - a process is polled
        await asyncio.sleep(0.01)


def state(pid: int) -> str:
    """What `ps` says of a process; nothing for one that is not there."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return [path.name for path in folder.iterdir()]


async def test_a_child_that_cannot_be_started_leaks_nothing(tmp_path: Path) -> None:
    """Each attempt fails with the reason, is told as an end, and gives back every descriptor."""
    listen = str(tmp_path / "s")
    spec = ChildSpec(name="a", kind="worker", argv=(str(tmp_path / "no"),), fds=("report", "listen"), listen=listen)
    async with running(spec) as (child, log, _):
        code, how = await log.ends.get()
        assert code is None
        assert "No such file or directory" in how
        before = len(names(Path("/dev/fd")))
        await log.ends.get()
        assert len(names(Path("/dev/fd"))) == before
        assert child.status().state == "waiting"
    assert not names(tmp_path)


async def test_cancelled_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the parent fails, a child is killed and collected, and its socket is gone."""
    spec = python("import time; print('up', flush=True); time.sleep(1000)", fds=("listen",), listen=str(tmp_path / "s"))
    async with running(spec) as (child, log, _):
        await log.lines.get()
        pid = child.status().pid
        assert pid is not None
        assert names(tmp_path) == ["s"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not names(tmp_path)


async def test_the_status_follows_the_process() -> None:
    """Running, then waiting to be started again, then stopping; the last report is of the present process."""
    code = """
import json, os, sys
os.write(json.loads(sys.argv[2])['report_fd'], b'{"n": 1}\\n')
sys.exit(print('bye') or 7)
"""
    async with running(python(code, fds=("report",))) as (child, log, task):
        assert child.status().starts == 0
        await log.ends.get()
        status = child.status()
        assert (status.state, status.pid, status.starts, status.report) == ("waiting", None, 1, {"n": 1})
        assert (status.last_exit, status.tail) == ("exited with status 7", ("bye",))
        child.want(None, 1.0)
        await task
        assert child.status().state == "stopping"


async def test_output_that_never_ends_costs_little() -> None:
    """A child that prints without end is heard, and only its last lines are kept."""
    code = "\nwhile True: print('x' * 100)"
    async with running(python(code)) as (child, log, _):
        for _ in range(10 * TAIL):
            await log.lines.get()
        assert len(child.output) == TAIL
