"""Which Python is the quickest here, since some take clearly longer for the same code.

    python3 benchmarks/python.py            # prints the path of one

A Python that a distribution builds is optimised by a profile (PGO); one that was built from source without
`--enable-optimizations`, as pyenv does unless it is told, is not. All servers that are compared are given the same, and
no slow one. What this runs with is chosen unless another takes a tenth less. Needs nothing but the standard library;
others must be of a version that Skysail takes, and be able to make an environment and to compile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

__all__ = ["loop_seconds", "quickest"]

_LEAST = (3, 11)
_NAMES = ("/usr/bin/python3", "/usr/local/bin/python3", *(f"python3.{minor}" for minor in (11, 12, 13, 14)))
_GAIN = 0.9
_CHECK = """\
import ensurepip, os, sys, sysconfig, venv
sys.exit(sys.version_info < {least} or not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
"""


class _Item:
    def __init__(self, number: int, rest: list[int]) -> None:
        self.number = number
        self.rest = rest

    def plus(self, other: int) -> int:
        return self.number + other


def loop_seconds(rounds: int = 5) -> float:
    """How long this Python takes for a loop of what a server does: objects, calls, dictionaries. The least of some."""
    return min([_loop() for _ in range(rounds)])


def _loop() -> float:
    began, kept = time.perf_counter(), {}
    for number in range(100_000):
        item = _Item(number, [number])
        kept[number % 1_000] = (item.plus(number), b"x%d" % number, item)
        item.rest.append(number)
    return time.perf_counter() - began


def quickest(own: str, others: dict[str, float], own_seconds: float) -> str:
    """Which of some Pythons to take, by the seconds of each for the loop.

    >>> quickest("python3", {"/usr/bin/python3": 0.05}, 0.06), quickest("python3", {"/usr/bin/python3": 0.05}, 0.12)
    ('python3', '/usr/bin/python3')
    """
    best = min(others, key=others.__getitem__, default=own)
    return best if best != own and others[best] < _GAIN * own_seconds else own


def _usable(python: str) -> bool:
    check = _CHECK.format(least=_LEAST)
    return subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0


def _seconds(python: str) -> float:
    done = subprocess.run([python, __file__, "--loop"], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _main() -> None:
    if sys.argv[1:] == ["--loop"]:
        print(loop_seconds())
        return
    found = {os.path.realpath(path) for name in _NAMES if (path := shutil.which(name))} - {
        os.path.realpath(sys.executable)
    }
    others = {python: _seconds(python) for python in sorted(found) if _usable(python)}
    own = loop_seconds()
    chosen = quickest(sys.executable, others, own)
    for python, seconds in {sys.executable: own, **others}.items():
        note = ": taken" if python == chosen else ""
        print(f"{python} takes {seconds * 1e3:.0f} ms for a plain loop{note}", file=sys.stderr)
    print(chosen)


if __name__ == "__main__":
    _main()
