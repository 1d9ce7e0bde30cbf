"""The servers that are measured: started as a user would, on free ports of this machine, and ended in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
from benchmarks.bare import NOOP
from benchmarks.machine import cpu_seconds, memory_bytes, scheduled_seconds
from benchmarks.report import BenchmarkError

__all__ = ["Server", "Skysail", "serve", "start_bare", "start_skysail"]

_T = TypeVar("_T")

_ROOT = Path(__file__).parents[1]
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_TAIL = 30

_CONFIG = """
[server]
port = 0
admin_port = 0
cache = {{ bytes = "{cache}" }}
ledger = {{ bytes = "{ledger}" }}

[models.noop]
path = "noop.py:predict"
input = "float32[*]"
replicas = {workers}

[apps.bench]
models = ["noop"]
policy = "single"
slo = "100ms"
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs."""

    name: str
    """`skysail` or `bare`."""

    url: str
    """Where it takes predictions."""

    pids: dict[str, int]
    """Its processes by what they do; where several do the same, by their names."""

    def cpu(self) -> dict[str, float]:
        """Processor seconds of each process so far."""
        return self._each(cpu_seconds)

    def scheduled(self) -> dict[str, float]:
        """The same to the nanosecond, without what threads took that have ended."""
        return self._each(scheduled_seconds)

    def memory(self) -> dict[str, int]:
        """Bytes in memory of each process."""
        return self._each(memory_bytes)

    def _each(self, look: Callable[[int], _T]) -> dict[str, _T]:
        found = {}
        for name, pid in self.pids.items():
            try:
                found[name] = look(pid)
            except OSError as error:
                raise BenchmarkError(f"{self.name}: its {name} cannot be looked at: {error}") from error
        return found


@dataclass(frozen=True, kw_only=True)
class Skysail(Server):
    """A `skysail serve`."""

    admin_url: str
    """Its control plane."""

    state: Path
    """Its state file."""

    def status(self) -> dict[str, Any]:
        """What `GET /status` says: everything that is counted."""
        return _status(self.admin_url)


@contextmanager
def start_skysail(*, cache: str = "64MiB", ledger: str = "2GiB", workers: int = 1) -> Iterator[Skysail]:
    """`skysail serve` with a no-op model and policy `single`; its state is in a temporary folder. Both sizes are the
    defaults.
    """
    with tempfile.TemporaryDirectory(prefix="skysail-bench-") as name:
        folder = Path(name)
        (folder / "noop.py").write_text(NOOP)
        (folder / "skysail.toml").write_text(_CONFIG.format(cache=cache, ledger=ledger, workers=workers))
        with serve(folder) as server:
            yield replace(server, url=f"{server.url}/apps/bench/predict")


@contextmanager
def serve(folder: Path, *module: str) -> Iterator[Skysail]:
    """`skysail serve` of the `skysail.toml` in a folder, which asks for free ports and leaves `state` as it is; or a
    module with arguments that does the same, given the file as its last.
    """
    with _started(*(module or ("skysail.cli.main", "serve")), str(folder / "skysail.toml")) as (pid, ready):
        _, _, url, _, admin_url = ready.split()
        yield Skysail(
            name="skysail",
            url=url,
            pids={"parent": pid} | _pids(admin_url),
            admin_url=admin_url,
            state=folder / ".skysail" / "state.db",
        )


@contextmanager
def start_bare() -> Iterator[Server]:
    """The yardstick: see `benchmarks.bare`."""
    with _started("benchmarks.bare") as (pid, ready):
        _, _, _, worker, _, url = ready.split()
        yield Server(name="bare", url=url, pids={"frontend": pid, "worker": int(worker)})


def _status(admin_url: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = httpx.get(f"{admin_url}/status").raise_for_status().json()
    except httpx.HTTPError as error:
        raise BenchmarkError(f"skysail: its status cannot be read: {error}") from error
    return answer


def _pids(admin_url: str) -> dict[str, int]:
    """The process of each kind; by its name where there are several of its kind."""
    processes: dict[str, dict[str, Any]] = _status(admin_url)["processes"]
    kinds = Counter(process["kind"] for process in processes.values())
    return {
        process["kind"] if kinds[process["kind"]] == 1 else name: process["pid"] for name, process in processes.items()
    }


@contextmanager
def _started(*module: str) -> Iterator[tuple[int, str]]:
    """A Python module run as a server: its process, and the line it says when it is ready."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(_ROOT))))}
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", *module]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        timer = threading.Timer(_START_SECONDS, child.kill)  # which ends the wait for a line
        timer.start()
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            timer.cancel()
            if " ready: " not in line:
                child.kill()
                raise BenchmarkError(f"{' '.join(module)} was not ready in {_START_SECONDS:.0f} s: {line}{_tail(log)}")
            yield child.pid, line
        except OSError as error:
            if child.poll() is None:
                raise
            raise BenchmarkError(f"{module[0]} ended with exit code {child.returncode}:\n{_tail(log)}") from error
        finally:
            timer.cancel()
            _end(child)


def _tail(log: IO[str]) -> str:
    """The end of what a server wrote."""
    log.seek(0)
    return "".join(log.readlines()[-_TAIL:])


def _end(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    assert child.stdout is not None
    child.stdout.close()
