"""The machine: what it is, how busy it is, and what processes take of it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
import sysconfig
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.python import loop_seconds
from benchmarks.report import BenchmarkError

from skysail import engine

__all__ = ["MIB", "MemorySampler", "cpu_seconds", "describe_machine", "memory_bytes", "scheduled_seconds"]

MIB = 1 << 20

_EXTENSION = sysconfig.get_config_var("EXT_SUFFIX")
_PROC = Path("/proc")
_LIBRARIES = ("uvloop", "httptools", "msgspec", "numpy")


def describe_machine() -> dict[str, str]:
    """Everything that numbers of speed depend on, as far as it can be told."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()) + " over 1, 5 and 15 minutes, before the run",
        "python": f"{platform.python_implementation()} {platform.python_version()}, "
        f"{loop_seconds() * 1e3:.0f} ms for the loop of benchmarks/python.py; SQLite {sqlite3.sqlite_version}",
        "versions": versions,
        "data path": "compiled (mypyc)" if engine.__file__.endswith(_EXTENSION) else "interpreted",
        "commit": _commit(),
    }


def memory_bytes(pid: int) -> int:
    """What a process holds in memory (its resident set)."""
    return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """How long a process has been on a processor, in user and kernel mode."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scheduled_seconds(pid: int) -> float:
    """How long the threads that a process has now were on a processor, to the nanosecond: for what hardly runs."""
    tasks = (_PROC / str(pid) / "task").iterdir()
    return sum([int((task / "schedstat").read_text().split()[0]) for task in tasks]) / 1e9


class MemorySampler:
    """Looks at the memory of processes every so often while it is entered, from a thread; `peak` is the most seen.

    It stops looking when a process is gone, of which whoever uses that process will hear.
    """

    def __init__(self, look: Callable[[], dict[str, int]], every: float = 0.25) -> None:
        self.peak: dict[str, int] = {}
        self._memory = look
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        ended = False
        while not ended:
            try:
                seen = self._memory()
            except BenchmarkError:
                return
            self.peak = {name: max(size, self.peak.get(name, 0)) for name, size in seen.items()}
            ended = self._ended.wait(self._every)


def _processor() -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit that is measured, and whether files differ from it."""
    try:
        changed = _git("status", "--porcelain", "src", "benchmarks")
        return _git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    root = Path(__file__).parents[1]
    return subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout.strip()
