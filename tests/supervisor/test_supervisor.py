from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from skysail.clock import SystemClock
from skysail.errors import InvalidRequest, NotFound
from skysail.supervisor.sockets import bind_unix
from skysail.supervisor.spec import ChildSpec, ChildStatus
from skysail.supervisor.supervisor import EXIT_USELESS, Supervisor
from skysail.wire.link import Link, connect_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

CONTROL = ChildSpec(
    name="control",
    kind="control",
    argv=(sys.executable, str(Path(__file__).with_name("relay.py"))),
    fds=("control", "link"),
)
WAIT = "import signal, sys; print('up'); signal.sigwait([signal.SIGTERM]); print('bye')"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"


@pytest.fixture
def anyio_backend() -> str:
    """These tests use asyncio itself."""
    return "asyncio"


def child(name: str, code: str, kind: Any = "worker", **fields: Any) -> ChildSpec:
    """A child that runs some Python; one that waits for SIGTERM blocks it from the start, so that none is missed."""
    setup = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" if WAIT in code else ""
    return ChildSpec(name=name, kind=kind, argv=(sys.executable, "-c", setup + code), **fields)


class Run:
    """A supervisor under test: its link through control, what it wrote, and how it ended."""

    def __init__(self, supervisor: Supervisor, path: str, lines: list[str], ready: list[None]) -> None:
        self.supervisor = supervisor
        self.path = path
        self.lines = lines
        self.ready = ready
        self.link: Link
        self.reading: asyncio.Task[None]
        self.code: int | None = None

    async def set_children(self, *specs: ChildSpec) -> None:
        """Ask for these workers, as control does."""
        await self.link.call("set_children", children=[msgspec.to_builtins(spec) for spec in specs])

    async def children(self) -> dict[str, ChildStatus]:
        """The parent's children by name."""
        return {s.name: s for s in msgspec.convert(await self.link.call("children"), list[ChildStatus])}

    async def wait_child(self, name: str, condition: Callable[[ChildStatus | None], bool]) -> ChildStatus | None:
        """Poll a real process until the condition holds of it, for at most 20 s."""
        async with asyncio.timeout(20):
            while not condition((found := await self.children()).get(name)):  # noqa: ASYNC110 - a process is polled
                await asyncio.sleep(0.01)
        return found.get(name)

    async def wait_line(self, text: str) -> None:
        """Poll the parent's own output."""
        async with asyncio.timeout(20):
            while not any(text in line for line in self.lines):  # noqa: ASYNC110 - a process is polled
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(tmp_path: Path, *fixed: ChildSpec, drain: float = 5.0, stop: bool = True) -> AsyncIterator[Run]:
    """A supervisor with a relaying control, in this process, stopped at the end."""
    lines: list[str] = []
    ready: list[None] = []
    lifeline, held = os.pipe()
    path = str(tmp_path / "c")
    with bind_unix(path) as control:
        supervisor = Supervisor(
            [CONTROL, *fixed],
            shared={"control": control.fileno()},
            lifeline=lifeline,
            clock=SystemClock(),
            drain=drain,
            on_ready=lambda: ready.append(None),
            write=lines.append,
        )
        run = Run(supervisor, path, lines, ready)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(supervisor.run())
            run.link = await connect_link(path, lambda link, op, args: None)
            reading = run.reading = tasks.create_task(run.link.run())
            yield run
            if stop:
                supervisor.stop()
            run.code = await task
            reading.cancel()
    os.close(held)
    os.close(lifeline)


async def test_workers_are_started_kept_and_stopped(tmp_path: Path) -> None:
    """The workers are those that control named last: missing ones start, extra ones end, the others are left alone."""
    async with running(tmp_path) as run:
        await run.set_children(child("a", WAIT), child("b", WAIT))
        await run.wait_line("[b] up")
        first = await run.wait_child("a", lambda s: s is not None and s.pid is not None)
        await run.set_children(child("a", WAIT), child("c", WAIT))
        await run.wait_child("b", lambda s: s is None)
        await run.wait_child("c", lambda s: s is not None and s.state == "running")
        after = (await run.children())["a"]
        assert first is not None
        assert (after.pid, after.starts) == (first.pid, 1)
        await run.wait_line("[b] bye")
    assert run.code == 0


async def test_a_changed_spec_restarts_the_child(tmp_path: Path) -> None:
    """The same name with another command is another process, once the old one has ended."""
    async with running(tmp_path) as run:
        await run.set_children(child("a", WAIT))
        await run.wait_line("[a] up")
        await run.set_children(child("a", WAIT, env={"X": "1"}))
        await run.wait_child("a", lambda s: s is not None and s.starts == 2)
        await run.wait_line("[a] bye")


async def test_one_wanted_again_while_it_stops_is_started_again(tmp_path: Path) -> None:
    """Taking a worker away and back loses nothing: it runs in the end, on the same socket."""
    async with running(tmp_path) as run:
        spec = child("a", WAIT, listen=str(tmp_path / "a"), fds=("listen",))
        await run.set_children(spec)
        await run.wait_line("[a] up")
        first = (await run.wait_child("a", lambda s: s is not None and s.pid)).pid
        await run.set_children()
        await run.set_children(spec)
        await run.wait_child("a", lambda s: s is not None and s.state == "running" and s.pid != first)
        _, writer = await asyncio.open_unix_connection(tmp_path / "a")
        writer.close()


async def test_the_dead_are_restarted_and_the_end_is_told(tmp_path: Path) -> None:
    """A worker that ends is started again, and control and the log hear how it ended and what it printed last."""
    async with running(tmp_path) as run:
        await run.set_children(child("a", "print('last words'); raise SystemExit(3)"))
        await run.wait_child("a", lambda s: s is not None and s.starts >= 3)
        await run.wait_line("[skysail] a exited with status 3")
        exits = [args["status"] for op, args in await run.link.call("events") if op == "exited"]
        assert exits[0]["last_exit"] == "exited with status 3"
        assert exits[0]["tail"] == ["last words"]


async def test_a_killed_worker_keeps_its_socket(tmp_path: Path) -> None:
    """While a worker restarts, connections to it wait in the socket that the parent holds for the next process."""
    accept = """
import json, os, socket, sys
spec = json.loads(sys.argv[2])
peer, _ = socket.socket(fileno=spec['listen_fd']).accept()
if peer.recv(4) == b'die!': os.kill(os.getpid(), 9)
peer.sendall(b'here')
"""
    async with running(tmp_path) as run:
        path = str(tmp_path / "a")
        await run.set_children(child("a", accept, listen=path, fds=("listen",)))
        answers = []
        for words in (b"die!", b"live"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(words)
            answers.append(await reader.read())
            writer.close()
        assert answers == [b"", b"here"]
        await run.wait_line("a was killed by SIGKILL")
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(path)


async def test_reports_reach_control(tmp_path: Path) -> None:
    """A line of JSON on the report pipe is passed on and kept; what is not JSON is shown as output."""
    report = """
import json, os, signal, sys
fd = json.loads(sys.argv[2])['report_fd']
os.write(fd, b'{"state":"loading"}\\nnonsense\\n{"state":"ready"}\\n')
signal.pause()
"""
    async with running(tmp_path) as run:
        await run.set_children(child("a", report, fds=("report",)))
        await run.wait_child("a", lambda s: s is not None and s.report == {"state": "ready"})
        await run.wait_line("[a] (unreadable report) nonsense")
        events = [args["report"]["state"] for op, args in await run.link.call("events") if op == "report"]
        assert events == ["loading", "ready"]


async def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    """A command that does not exist is an end like any other, with the reason."""
    async with running(tmp_path) as run:
        await run.set_children(ChildSpec(name="a", kind="worker", argv=("/no/such/python",)))
        await run.wait_line("a could not be started: [Errno 2] No such file or directory: '/no/such/python'")
        status = (await run.children())["a"]
        assert status.state == "waiting"
        assert status.starts == 0


async def test_a_stubborn_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ignores SIGTERM gets SIGKILL after the grace."""
    monkeypatch.setattr("skysail.supervisor.supervisor._GRACE", 0.1)
    async with running(tmp_path) as run:
        await run.set_children(child("a", STUBBORN))
        await run.wait_line("[a] up")
        await run.set_children()
        await run.wait_child("a", lambda s: s is None)
        await run.wait_line("[a] (still there 0.1 s after SIGTERM: killed)")


async def test_a_restarted_control_finds_all_as_it_was(tmp_path: Path) -> None:
    """Control dies: workers go on untouched, and its successor is given the memo and the state of every child."""
    async with running(tmp_path) as run:
        await run.set_children(child("a", WAIT))
        await run.wait_line("[a] up")
        await run.link.call("remember", memo={"any": ["thing"]})
        before = (await run.children())["a"]
        run.link.notify("die", code=1)
        await asyncio.wait([run.reading])
        link = await connect_link(run.path, lambda link, op, args: None)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(link.run())
            hello = await relayed(link, "hello")
            link.close()
            await reading
        assert hello["memo"] == {"any": ["thing"]}
        assert {c["name"]: c["pid"] for c in hello["children"]}["a"] == before.pid


async def relayed(link: Link, op: str) -> Any:
    """Call through a relay that may still be starting."""
    async with asyncio.timeout(20):
        return await link.call(op)


async def test_ready_is_announced_once(tmp_path: Path) -> None:
    """However often control says so, the operator is told once."""
    async with running(tmp_path) as run:
        await run.link.call("ready")
        await run.link.call("ready")
        assert run.ready == [None]


async def test_output_is_forwarded_and_kept(tmp_path: Path) -> None:
    """Each line of a child appears under its name, and the last hundred can be asked for."""
    async with running(tmp_path) as run:
        await run.set_children(child("a", f"for i in range(150): print(i)\n{WAIT}"))
        await run.wait_line("[a] up")
        assert await run.link.call("logs", name="a") == [str(i) for i in range(51, 150)] + ["up"]
        with pytest.raises(NotFound, match="no process is called 'b'"):
            await run.link.call("logs", name="b")
        with pytest.raises(InvalidRequest, match="nonsense"):
            await run.link.call("nonsense")


async def test_frontends_drain_before_anything_else_stops(tmp_path: Path) -> None:
    """On SIGTERM a frontend is given time while workers still run; only then are those stopped; the status is 0."""
    frontend = child(
        "frontend/0",
        "import signal, time; print('up'); signal.sigwait([signal.SIGTERM]); time.sleep(0.2); print('drained')",
        "frontend",
    )
    setup = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    frontend = msgspec.structs.replace(frontend, argv=(*frontend.argv[:2], setup + frontend.argv[2]))
    async with running(tmp_path, frontend, stop=False) as run:
        await run.set_children(child("a", WAIT))
        await run.wait_line("[a] up")
        await run.wait_line("[frontend/0] up")
        os.kill(os.getpid(), signal.SIGTERM)
    assert run.code == 0
    said = [line for line in run.lines if line in ("[frontend/0] drained", "[a] bye")]
    assert said == ["[frontend/0] drained", "[a] bye"]


async def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    """An impatient operator presses Ctrl-C again, and nothing is waited for."""
    async with running(tmp_path, child("frontend/0", STUBBORN, "frontend"), drain=1000, stop=False) as run:
        await run.wait_line("[frontend/0] up")
        os.kill(os.getpid(), signal.SIGINT)
        await run.wait_line("SIGINT: draining")
        os.kill(os.getpid(), signal.SIGINT)
    assert run.code == 0


async def test_a_useless_start_ends_the_server(tmp_path: Path) -> None:
    """A frontend that says before all was ever ready that it cannot work ends the server, with its status and words."""
    code = f"print('the state file is from a newer version'); raise SystemExit({EXIT_USELESS})"
    broken = child("frontend/0", code, "frontend")
    async with running(tmp_path, broken, stop=False) as run:
        pass
    assert run.code == EXIT_USELESS
    assert "[frontend/0] the state file is from a newer version" in run.lines


ORPHANS = """
import asyncio, os, sys
from skysail.clock import SystemClock
from skysail.supervisor.sockets import bind_tcp
from skysail.supervisor.spec import ChildSpec
from skysail.supervisor.supervisor import Supervisor

CHILD = '''
import json, os, signal, sys, threading
from skysail.supervisor.lifeline import watch_lifeline
spec = json.loads(sys.argv[2])
watch_lifeline(spec["lifeline_fd"], lambda: None, grace=0.5)
print("pid", os.getpid(), flush=True)
while True: signal.pause()
'''
sock = bind_tcp("127.0.0.1", 0, "port")
print("port", sock.getsockname()[1], flush=True)
lifeline, held = os.pipe()
names = ("frontend", "control", "worker")
fixed = [ChildSpec(name=k, kind=k, argv=(sys.executable, "-c", CHILD), fds=("data",)) for k in names]
supervisor = Supervisor(fixed, shared={"data": sock.fileno()}, lifeline=lifeline, clock=SystemClock(), drain=1.0,
                        on_ready=lambda: None, write=lambda line: print(line.partition("] ")[2], flush=True))
asyncio.run(supervisor.run())
"""


async def test_killing_the_parent_leaves_no_orphan_and_no_port(tmp_path: Path) -> None:
    """After kill -9 of the parent every child ends, by the lifeline alone, and the port is free again."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", ORPHANS, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    said: dict[str, list[int]] = {"port": [], "pid": []}
    while len(said["pid"]) < 3:
        words = (await parent.stdout.readline()).split()
        said[words[0].decode()].append(int(words[1]))
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(20):
        for pid in said["pid"]:
            await wait_gone(pid)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", said["port"][0])


async def wait_gone(pid: int) -> None:
    """Poll a process until it has ended, collected or not."""
    while (await asyncio.to_thread(state, pid))[:1] not in ("", "Z"):  # noqa: ASYNC110 - a process is polled
        await asyncio.sleep(0.01)


def state(pid: int) -> str:
    """What `ps` says of a process; nothing for one that is not there."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()
