"""A system while it runs: it is started, waited for, asked, looked at and ended, with whatever processes it starts.

Some systems leave processes that are no longer children of the one that was started. This process becomes the parent
of such orphans (a "subreaper"), and only one system runs at a time, in a session that is not ours: every descendant of
ours in another session is the system's.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import itertools
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.environments import interpreter
from benchmarks.peers.systems import System
from benchmarks.peers.workloads import Workload
from benchmarks.report import BenchmarkError

__all__ = ["Running", "checked", "started"]

_ROOT = Path(__file__).parents[2]
_PROC = Path("/proc")
_READY_SECONDS = 90.0
_STOP_SECONDS = 4.0
_ASK_SECONDS = 5.0
_TAIL = 8
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""

_PORTS = itertools.cycle(range(18_000, 29_000, 5))
"""Below those that the system gives to clients."""

_CPU_CLOCK = 2
"""CPUCLOCK_SCHED: user and kernel mode, in nanoseconds."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Running:
    """A system that answers."""

    system: System
    """Which it is."""

    url: str
    """Where it takes predictions."""

    log: Path
    """What it writes."""

    ready_seconds: float
    """How long it took until its first answer."""

    def ask(self, body: str) -> tuple[int, str]:
        """Status and text of the answer to one body; `OSError` where there is none."""
        target = urlsplit(self.url)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=_ASK_SECONDS)
        try:
            connection.request("POST", target.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from error
        finally:
            connection.close()

    def answers(self, body: str) -> bool:
        """Whether it is still of use."""
        try:
            return self.ask(body)[0] == 200
        except OSError:
            return False

    def memory(self) -> dict[str, int]:
        """Bytes in memory: of all its processes together, each page counted once."""
        return {"all": sum(map(_proportional_set, _family()))}

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far, to the nanosecond."""
        return sum(map(_on_cpu, _family()))


@contextmanager
def started(system: System, workload: Workload, *, slo: str = "100ms", models: int = 1) -> Iterator[Running]:
    """A system with a workload's model, in a temporary folder, until the block is left. `slo` and `models` are for
    Skysail alone: its objective, and how many workers with the same model it has.
    """
    python = interpreter(system.environment) if system.environment else Path(sys.executable)
    _adopt_orphans()
    port = _free_port()
    fill = {"python": str(python), "bin": str(python.parent), "port": str(port)}
    own = {"BENCH_MODEL": str(workload.file), "BENCH_PORT": str(port), "BENCH_SLO": slo, "BENCH_MODELS": str(models)}
    path = os.environ.get("PYTHONPATH", "") if not system.environment else ""
    environment = os.environ | _ONE_THREAD | own | {"PYTHONPATH": os.pathsep.join(filter(None, (path, str(_ROOT))))}
    environment |= {key: value.format(**fill) for key, value in system.settings.items()}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    with tempfile.TemporaryDirectory(prefix="skysail-peers-", ignore_cleanup_errors=True) as name:
        log = Path(name, "log")
        with log.open("w") as output:
            began = time.monotonic()
            child = subprocess.Popen(
                shlex.split(system.command.format(**fill)),
                cwd=name, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}{system.path}"
            running = Running(system, url, log, 0.0)
            _wait_ready(child, running, workload.bodies(system.shape)[0], began)
            yield Running(system, url, log, time.monotonic() - began)
        finally:
            _end(child)


def checked(running: Running, workload: Workload, count: int = 40) -> int:
    """How many of so many answers are right; rows of one system may differ by a rounding on a tie."""
    right = 0
    for body, label in list(zip(workload.bodies(running.system.shape), workload.labels, strict=True))[:count]:
        status, answer = running.ask(body)
        right += status == 200 and running.system.label_of(answer) == label
    return right


def _wait_ready(child: subprocess.Popen[bytes], running: Running, body: str, began: float) -> None:
    while time.monotonic() - began < _READY_SECONDS:
        if child.poll() is not None:
            raise BenchmarkError(f"it ended with exit code {child.returncode}: {_tail(running.log)}")
        if running.answers(body):
            return
        time.sleep(0.05)
    raise BenchmarkError(f"it was not ready in {_READY_SECONDS:.0f} s: {_tail(running.log)}")


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_TAIL:])[-600:]


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask it to end, wait, then insist, of everything it started."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    _wait_ended(child, ())
    _wait_ended(child, (signal.SIGKILL,))
    child.wait(_STOP_SECONDS)


def _wait_ended(child: subprocess.Popen[bytes], send: Sequence[signal.Signals]) -> None:
    """Wait until nothing is left of a system, or the time for that is over; meanwhile send signals to what is left."""
    limit = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < limit and (left := _family()):
        for pid in left:
            for number in send:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        child.poll()
        for pid in _orphans() - {child.pid}:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)


@dataclass(frozen=True, kw_only=True)
class _Process:
    pid: int
    parent: int
    session: int
    ended: bool


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                pid = int(entry.name)
                found[pid] = _Process(pid=pid, parent=int(parent), session=int(session), ended=state == "Z")
    return found


def _family() -> list[int]:
    """The processes of the system that runs."""
    processes, session = _processes(), os.getsid(0)
    descendants = {os.getpid()}
    while more := {it.pid for it in processes.values() if it.parent in descendants} - descendants:
        descendants |= more
    family = (processes[pid] for pid in descendants if pid in processes)
    return sorted(it.pid for it in family if it.session != session and not it.ended)


def _orphans() -> set[int]:
    """Processes of the system that were left to us and have ended."""
    ours, session = os.getpid(), os.getsid(0)
    return {it.pid for it in _processes().values() if it.ended and it.parent == ours and it.session != session}


def _adopt_orphans() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise BenchmarkError(f"prctl: {os.strerror(ctypes.get_errno())}; this benchmark needs Linux")


def _on_cpu(pid: int) -> float:
    """Processor time of a process: its own clock, by the number that clock_getcpuclockid(3) would give."""
    try:
        return time.clock_gettime((~pid << 3) | _CPU_CLOCK)
    except OSError:  # it has ended
        return 0.0


def _proportional_set(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _free_port() -> int:
    """Another port each time, with the four above it free too: some systems want more than one."""
    return next(port for port in _PORTS if not any(_taken(port + n) for n in range(5)))


def _taken(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
