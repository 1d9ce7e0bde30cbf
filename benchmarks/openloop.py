"""An open loop of clients: requests are sent when they are due, whether or not the server has kept up.

    python -m benchmarks.openloop URL --phases 2000:3 6000:10 2000:5 [--floats 64] [--limit 0.05]

Arrivals are random (Poisson), phase after phase; a latency is counted from when the request was due (no coordinated
omission), and one that is not answered 2 s after it was due is given up, as an impatient client would. Use it for the
latency at a given rate and for overload; for capacity see `benchmarks.load`. The generator is a C program
(`openloop.c`), compiled when it is first needed, into `benchmarks/.build`: Python would be late itself at such rates.
It says how late it was all the same; where that is a good part of a latency, the machine is too small for the rate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.load import MARK, first_number, sample_bodies
from benchmarks.report import BenchmarkError

__all__ = ["OpenLoop", "Phase", "Window"]

_SOURCE = Path(__file__).with_suffix(".c")
_BUILD = Path(__file__).parent / ".build"
_GRACE = 20.0
"""Seconds that the program is given beyond its phases and the time-out of the last request."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A time of steady load."""

    rate: float
    """Requests a second, on average."""

    seconds: float
    """How long."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What became of the requests that were due in some time. Latencies are in milliseconds, from when a request was
    due; not a number where there is none.
    """

    seconds: float
    """How long that time is."""

    offered: int
    """Requests that were due."""

    answered: int
    """Those answered with 2xx."""

    in_limit: int
    """Those of them answered within the limit."""

    refused: int
    """Those answered with 503 or 429."""

    errors: int
    """Those answered otherwise, and those whose connection failed."""

    timeouts: int
    """Those sent and given up."""

    unsent: int
    """Those given up before a connection was free for them."""

    p50_ms: float
    """Median latency of those answered with 2xx."""

    p99_ms: float
    """99th percentile of it."""

    max_ms: float
    """The greatest."""

    refused_p99_ms: float
    """99th percentile of the latency of those refused."""

    late_p99_ms: float
    """99th percentile of how late the generator itself came to them."""

    late_max_ms: float
    """The latest it came."""

    @property
    def failed(self) -> int:
        """All that were not answered with 2xx."""
        return self.offered - self.answered

    @property
    def goodput(self) -> float:
        """Answers within the limit, a second."""
        return self.in_limit / self.seconds


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """What an open loop saw."""

    phases: list[Window]
    """Each phase."""

    seconds: list[Window]
    """Each second from the start."""

    statuses: dict[str, int]
    """Answers of each HTTP status."""

    connections: int
    """The most connections there were at once."""

    @classmethod
    def run(
        cls,
        url: str,
        bodies: Sequence[str],
        phases: Sequence[Phase],
        *,
        limit: float = 0.05,
        timeout: float = 2.0,
        connections: int = 512,
        seed: int = 1,
    ) -> Self:
        """POST these bodies to a URL, phase after phase; `MARK` in one becomes another number for each request. Answers
        within `limit` seconds are counted apart. The same seed gives the same arrivals.
        """
        target = urlsplit(url)
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder, "bodies")
            lines.write_text("\n".join(bodies) + "\n")
            command = [
                *(str(_compiled()), target.hostname or "127.0.0.1", str(target.port or 80), target.path or "/"),
                *(str(lines), str(connections), str(timeout), str(limit), str(seed)),
                ",".join(f"{phase.rate:.9g}:{phase.seconds:.9g}" for phase in phases),
                *(MARK, str(first_number())),
            ]
            allowed = sum(phase.seconds for phase in phases) + timeout + _GRACE
            try:
                done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=allowed)
            except subprocess.TimeoutExpired:
                raise BenchmarkError(f"the open loop did not end in {allowed:.0f} s") from None
        if done.returncode:
            raise BenchmarkError(f"the open loop ended with exit code {done.returncode}: {done.stderr.strip()}")
        return cls._read(json.loads(done.stdout))

    @classmethod
    def _read(cls, seen: dict[str, Any]) -> Self:
        phases, seconds = ([_window(it) for it in seen[name]] for name in ("phases", "seconds"))
        return cls(phases=phases, seconds=seconds, statuses=seen["statuses"], connections=seen["connections"])

    def report(self) -> dict[str, Any]:
        """The numbers as JSON values; null for what is not a number."""
        return {
            key: [_json(it) for it in value] if key in {"phases", "seconds"} else value
            for key, value in asdict(self).items()
        }


def _window(seen: dict[str, Any]) -> Window:
    numbers: dict[str, Any] = {key: math.nan if value is None else value for key, value in seen.items()}
    return Window(**numbers)


def _json(window: dict[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in window.items()}


def _compiled() -> Path:
    """The program, made of the source as it is now."""
    program = _BUILD / f"openloop-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}"
    if program.exists():
        return program
    _BUILD.mkdir(exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    made = program.with_name(f"{program.name}.{os.getpid()}")
    try:
        command = [*compiler, "-O2", "-std=gnu11", "-Wall", "-o", str(made), str(_SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise BenchmarkError(
            f"there is no C compiler {compiler[0]!r}, which the open-loop generator needs: install one (Debian, "
            "Ubuntu: gcc and libc6-dev), or name another in CC"
        ) from None
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(
            f"the open-loop generator, which needs Linux, was not compiled by {compiler[0]!r}: {error.stderr.strip()}"
        ) from None
    made.replace(program)
    return program


def _phase(text: str) -> Phase:
    rate, _, seconds = text.partition(":")
    return Phase(rate=float(rate), seconds=float(seconds))


def _main() -> None:
    parser = argparse.ArgumentParser(description="Load a URL with an open loop of clients; prints one JSON line.")
    parser.add_argument("url")
    parser.add_argument("--phases", nargs="+", type=_phase, required=True, metavar="RATE:SECONDS")
    parser.add_argument("--floats", type=int, default=64, help="numbers in a row")
    parser.add_argument("--limit", type=float, default=0.05, help="seconds within which answers are counted apart")
    parser.add_argument("--connections", type=int, default=512, help="at most so many")
    options = parser.parse_args()
    bodies = sample_bodies(options.floats)
    seen = OpenLoop.run(options.url, bodies, options.phases, limit=options.limit, connections=options.connections)
    print(json.dumps({"url": options.url, "floats": options.floats, **seen.report()}))


if __name__ == "__main__":
    _main()
