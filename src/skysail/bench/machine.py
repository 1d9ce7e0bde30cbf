"""What numbers of speed depend on, as far as it can be told: the machine, the versions, what processes take of it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from skysail import engine

__all__ = ["cpu_seconds", "describe_machine"]

_PROC = Path("/proc")
_LIBRARIES = ("uvloop", "httptools", "msgspec", "numpy")


def describe_machine() -> dict[str, str]:
    """The machine and the versions, by what they are."""
    one, five, fifteen = os.getloadavg()
    return {
        "processor": f"{_processor()}, {_cores()} cores",
        "system": platform.platform(),
        "load": f"{one:.1f} {five:.1f} {fifteen:.1f} over 1, 5 and 15 minutes, before the run",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in ("skysail", *_LIBRARIES)),
        "data path": "interpreted" if engine.__file__.endswith(".py") else "compiled",
    }


def cpu_seconds(pid: int) -> float | None:
    """How long a process has been on a processor; `None` where the system does not say, or the process is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cores() -> int:
    """The cores that this process, and those it starts, may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
