"""The environments of the peers: each has its own, made when first needed, with the versions in `requirements/`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.report import BenchmarkError

__all__ = ["ENVIRONMENTS", "REQUIREMENTS", "interpreter", "versions"]

ENVIRONMENTS = Path(__file__).parents[2] / ".venv-peers"
"""Where they are, each in a folder of its name."""

REQUIREMENTS = Path(__file__).parent / "requirements"
"""The versions in each."""

_OLDER = {"triton": (3, 11, 6)}
"""What an environment's Python must be older than: the stubs in Triton's wheel do not start with a newer one."""

_STAMP = ".installed"


def interpreter(name: str, seconds: float = 900.0) -> Path:
    """The Python of an environment, which is made where it is not there as it now should be."""
    folder, requirements = ENVIRONMENTS / name, REQUIREMENTS / f"{name}.txt"
    python, stamp = folder / "bin" / "python", folder / _STAMP
    base = _base(name)
    wanted = hashlib.sha256(base.encode() + requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    _run([base, "-m", "venv", str(folder)], name, seconds)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(requirements)], name, seconds)
    stamp.write_text(wanted)
    return python


def versions(name: str, packages: tuple[str, ...]) -> str:
    """The versions of some packages, as the requirements pin them."""
    pinned = dict(
        line.split("==", 1) for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines() if "==" in line
    )
    return ", ".join(f"{package} {pinned[package]}" for package in packages)


def _base(name: str) -> str:
    """The Python that an environment is made with: ours, unless it must be an older one."""
    limit = _OLDER.get(name)
    if limit is None or sys.version_info[:3] < limit:
        return os.path.realpath(sys.executable)
    for candidate in ("/usr/bin/python3", "/usr/bin/python3.11", "/usr/local/bin/python3.11", "python3.11"):
        found = shutil.which(candidate)
        if found and limit[:2] <= _version(found) < limit:
            return found
    before = ".".join(map(str, limit))
    raise BenchmarkError(
        f"{name} needs a Python {limit[0]}.{limit[1]} older than {before}, and there is none; on Debian 12 it is the "
        "system's own: install python3 and python3-venv"
    )


def _version(python: str) -> tuple[int, ...]:
    command = [python, "-c", "import sys; print(*sys.version_info[:3])"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    return tuple(map(int, done.stdout.split()))


def _run(command: list[str], name: str, seconds: float) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the environment of {name} was not installed in {seconds:.0f} s") from None
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise BenchmarkError(f"the environment of {name} could not be made: {last}")
