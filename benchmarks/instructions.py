"""What a query costs the frontend, in instructions: a number that hardly depends on the machine or its other work.

    python -m benchmarks.instructions [--queries 1000] [--floats 64] [--json FILE] [--profile FILE]

Starts `skysail serve` with a no-op model as it is always started, but for its frontend, which Valgrind's Callgrind runs
and counts: sockets, HTTP, engine, cache, batcher, frames to the worker, and the record of each decision. Queries come
alone, then in waves of 64, each over a connection of its own, the next wave when all answers are there. Counted are the
instructions of all threads in user mode; the kernel's are not. Use it to find out whether a change made the path of a
query cheaper (`benchmarks.compare` says by how much), when timings swing by more than the change. It says nothing about
waiting, caches of the processor, or the worker. What is done by the clock, such as commits, is spread over more queries
in waves, so these are steadier.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.bare import NOOP
from benchmarks.load import MARK, first_number, sample_bodies
from benchmarks.machine import describe_machine
from benchmarks.report import BenchmarkError, Measure, Report, spread, table
from benchmarks.servers import Skysail, serve

__all__ = ["count_instructions", "main"]

_RESULTS = Path(__file__).parent / "results"
_WAVE = 64
_WIDTHS = {"alone": 1, "waves": _WAVE}
_WARMUP = 300
"""Queries before anything is counted: connections are set up, and what is made once has been made."""

_CONFIG = """
[server]
port = 0
admin_port = 0

[models.noop]
path = "noop.py:predict"
input = "float32[*]"

[apps.bench]
models = ["noop"]
policy = "single"
slo = "10s"
"""

_WRAPPER = """#!/bin/sh
case "$*" in
*skysail.http.main*) exec valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file={out} \\
    --log-file={log} {python} "$@" ;;
*) exec {python} "$@" ;;
esac
"""

_METHOD = """\
The frontend of `skysail serve`, under Callgrind, with a no-op model in a worker that is not: instructions of all its
threads in user mode, for each of so many queries, all distinct, with everything on. Alone: one connection, each query
when the last was answered. Waves: 64 connections, one query over each, the next wave when all answers are there."""


def count_instructions(queries: int, floats: int, rounds: int = 3, profile: Path | None = None) -> Report:
    """Instructions of the frontend for each query, alone and in waves; `profile` is where Callgrind's file on the last
    waves goes.
    """
    seen: dict[str, list[float]] = {name: [] for name in _WIDTHS}
    with _counted() as (server, out):
        requests = _requests(f"{server.url}/apps/bench/predict", floats)
        for _ in range(rounds):
            for name, width in _WIDTHS.items():
                counts = _count(server, requests, width, queries, out)
                seen[name].append(_total(counts) / queries)
        if profile is not None:
            shutil.copy(counts, profile)
    rows = [[name, spread(values)] for name, values in seen.items()]
    return Report(
        title="Instructions of the frontend for each query",
        method=f"{_METHOD}\nMedian (least–greatest) of {rounds} rounds of {queries} queries each.",
        lines=table([f"{floats} floats", "instructions"], rows),
        data={"queries": queries, "floats": floats, "instructions": seen},
        measures=[
            Measure(what=f"instructions of a query of {floats} floats, {name}", values=values, more_is_worse=True)
            for name, values in seen.items()
        ],
    )


@contextmanager
def _counted() -> Iterator[tuple[Skysail, Path]]:
    """A server whose frontend can be counted, and where the counts are dumped."""
    for program in ("valgrind", "callgrind_control"):
        if shutil.which(program) is None:
            raise BenchmarkError(f"there is no {program}; install valgrind")
    with tempfile.TemporaryDirectory(prefix="skysail-bench-") as name:
        folder, out = Path(name), Path(name, "counts")
        (folder / "noop.py").write_text(NOOP)
        (folder / "skysail.toml").write_text(_CONFIG)
        wrapper = folder / "python"
        wrapper.write_text(_WRAPPER.format(out=out, log=folder / "valgrind.log", python=sys.executable))
        wrapper.chmod(0o700)
        with serve(folder, "benchmarks.instructions", "--serve-with", str(wrapper)) as server:
            yield server, out


def _count(server: Skysail, requests: Iterator[bytes], width: int, queries: int, out: Path) -> Path:
    """Have so many queries counted, `width` at a time; the file with the counts."""
    frontend = server.pids["frontend"]
    target = urlsplit(server.url)
    address = target.hostname or "", target.port or 0
    before = set(out.parent.glob(f"{out.name}*"))
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(width)]
        _ask(clients, requests, _WARMUP)
        _control(frontend, "-i", "on")
        _ask(clients, requests, _WAVE)  # what is translated when it is first counted
        _control(frontend, "-z")
        _ask(clients, requests, queries)
        _control(frontend, "-d")
        _control(frontend, "-i", "off")
    return max(set(out.parent.glob(f"{out.name}*")) - before, key=lambda file: file.stat().st_size)


def _total(counts: Path) -> int:
    """All instructions in one of Callgrind's files."""
    found = re.search(r"^totals: (\d+)", counts.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise BenchmarkError("Callgrind wrote no total")
    return int(found[1])


def _ask(clients: Sequence[socket.socket], requests: Iterator[bytes], queries: int) -> None:
    for _ in range(-(-queries // len(clients))):
        for client in clients:
            client.sendall(next(requests))
        for client in clients:
            answer = client.recv(1 << 16)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise BenchmarkError(f"a query was not answered: {answer[:200]!r}")


def _requests(url: str, floats: int) -> Iterator[bytes]:
    target = urlsplit(url)
    for number, body in enumerate(itertools.cycle(sample_bodies(floats)), first_number()):
        fresh = body.replace(MARK, f"0.1{number % 10**11:011d}")
        head = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(fresh)}\r\n\r\n{fresh}".encode()


def _control(pid: int, *arguments: str) -> None:
    command = ["callgrind_control", *arguments, str(pid)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode or "Error" in done.stdout:
        raise BenchmarkError(f"{' '.join(command)}: {done.stdout.strip()} {done.stderr.strip()}")


def _serve_with(python: str, config: str) -> None:
    """`skysail serve`, whose children are started by another program."""
    os.environ["PYTHONHASHSEED"] = "0"  # the same order of sets and dictionaries in each run
    sys.executable = python
    sys.argv = ["skysail", "serve", config]
    runpy.run_module("skysail.cli.main", run_name="__main__")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description="Instructions of the frontend for each query.")
    parser.add_argument("--queries", type=int, default=640, help="queries that are counted in a round (640)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each alone and in waves (3)")
    parser.add_argument("--floats", type=int, default=64, help="numbers in a row (64)")
    parser.add_argument("--json", type=Path, help="file for the numbers (benchmarks/results/instructions-TIME.json)")
    parser.add_argument("--profile", type=Path, help="keep Callgrind's file, for callgrind_annotate")
    parser.add_argument("--serve-with", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve_with:
        _serve_with(*options.serve_with)
        return 0
    machine = describe_machine()
    print("\n".join(f"{key:10} {value}" for key, value in machine.items()), flush=True)
    try:
        report = count_instructions(options.queries, options.floats, options.rounds, options.profile)
    except (BenchmarkError, OSError, subprocess.SubprocessError) as error:
        print(f"\nnot measured: {error}")
        return 1
    print(f"\n{report}")
    file = options.json or _RESULTS / f"instructions-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine, **report.as_json()}, indent=1) + "\n")
    print(f"\nThe numbers are in {os.path.relpath(file)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
