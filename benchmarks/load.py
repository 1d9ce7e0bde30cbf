"""A closed loop of clients: each connection sends its next request when it has the answer to the last.

    python -m benchmarks.load URL [--floats 64] [--connections 64] [--seconds 8] [--tool wrk|own]

Every body is another one: sample rows in turn, each with a number of its own in the place of `MARK`, so that no cache
can answer; nor do two runs have a body in common (see `first_number`). Uses `wrk` where it is installed, else a small
generator of ours, which takes several times the processor time and so shows a lower rate on the same cores: compare
only numbers of one tool. A closed loop sends less while the server is slow, so its percentiles flatter (coordinated
omission): it measures capacity, not latency at a given rate.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

import uvloop

__all__ = ["MARK", "Load", "Tool", "first_number", "measure", "sample_bodies"]

MARK = "0.000000000001"
"""The text in a body that is replaced by a number of the same length, another for each request."""

_NUMBERS = 10**11
_GRACE = 30.0
"""Seconds that wrk is given beyond its own duration, in which it ends whatever the server does."""

Tool = Literal["wrk", "own"]
"""What sends the requests."""

_LUA = """
-- Each line of the file is a body; MARK in it becomes 0.TNNNNNNNNNNN: the thread and the number of the request.
local heads, tails, count, thread = {}, {}, 0, 0
local threads = 0
function setup(t) threads = threads + 1; t:set("id", threads) end
function init(args)
  count = tonumber(args[3])
  for line in io.lines(args[1]) do
    local request = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, line)
    local from, to = request:find(args[2], 1, true)
    heads[#heads + 1], tails[#tails + 1] = request:sub(1, from - 1), request:sub(to + 1)
  end
end
function request()
  count = count + 1
  local i = count % #heads + 1
  return heads[i] .. string.format("0.%d%011.0f", id, count % 1e11) .. tails[i]
end
function done(summary, latency)
  local e = summary.errors
  print(string.format("LOAD %d %d %f %f %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a run of the closed loop saw."""

    tool: Tool
    """What sent the requests."""

    requests: int
    """Answers received."""

    seconds: float
    """How long it took."""

    p50: float
    """Median latency in seconds."""

    p99: float
    """99th percentile of the latency in seconds."""

    errors: int
    """Answers that were not 2xx, and connections that failed."""

    def report(self) -> dict[str, float | str]:
        """The numbers as they are printed: requests per second, milliseconds."""
        return {
            "tool": self.tool,
            "rate": round(self.requests / self.seconds, 1),
            "p50_ms": round(self.p50 * 1e3, 3),
            "p99_ms": round(self.p99 * 1e3, 3),
            "requests": self.requests,
            "errors": self.errors,
        }


def sample_bodies(floats: int, rows: int = 100, seed: int = 1) -> list[str]:
    """Bodies `{"input": [...]}` of so many random numbers, the first of which is `MARK`."""
    rng = random.Random(seed)
    tails = (",".join(f"{rng.random():.6f}" for _ in range(floats - 1)) for _ in range(rows))
    return [f'{{"input":[{MARK}{"," if tail else ""}{tail}]}}' for tail in tails]


def measure(
    url: str,
    bodies: Sequence[str],
    *,
    connections: int = 64,
    seconds: float = 8.0,
    warmup: float = 2.0,
    tool: Tool | None = None,
) -> Load:
    """Load a URL with POSTs of these bodies (each holds `MARK` once), after a warm-up that does not count."""
    chosen: Tool = tool or ("wrk" if shutil.which("wrk") else "own")
    run = _run_wrk if chosen == "wrk" else _run_own
    if warmup:
        run(url, bodies, connections, warmup)
    return run(url, bodies, connections, seconds)


def _run_wrk(url: str, bodies: Sequence[str], connections: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder, "load.lua"), Path(folder, "bodies")
        script.write_text(_LUA)
        lines.write_text("\n".join(bodies))
        duration = max(1, round(seconds))
        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "-s", str(script), url]
        command = [*wrk, "--", str(lines), MARK, str(first_number())]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=duration + _GRACE)
    if done.returncode:
        raise OSError(f"wrk ended with exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    numbers = next(line for line in done.stdout.splitlines() if line.startswith("LOAD ")).split()[1:]
    requests, took, p50, p99, errors = map(float, numbers)
    return Load(
        tool="wrk", requests=int(requests), seconds=took / 1e6, p50=p50 / 1e6, p99=p99 / 1e6, errors=int(errors)
    )


def _run_own(url: str, bodies: Sequence[str], connections: int, seconds: float) -> Load:
    return uvloop.run(_closed_loop(url, bodies, connections, seconds))


async def _closed_loop(url: str, bodies: Sequence[str], connections: int, seconds: float) -> Load:
    target = urlsplit(url)
    host, port = target.hostname or "127.0.0.1", target.port or 80
    requests = _requests(target.netloc, target.path, bodies, first_number())
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    clients = [_Client(requests, latencies) for _ in range(connections)]
    started = time.perf_counter()
    await asyncio.gather(*[loop.create_connection(_same(c), host, port) for c in clients])
    await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    for client in clients:
        client.close()
    ranked = sorted(latencies) or [0.0]
    return Load(
        tool="own",
        requests=len(latencies),
        seconds=took,
        p50=ranked[len(ranked) // 2],
        p99=ranked[len(ranked) * 99 // 100],
        errors=sum(client.errors for client in clients),
    )


def first_number() -> int:
    """Where a run's numbers begin: the time in microseconds. No server is asked more often than once in each of them,
    so no later run on this day meets the same number.
    """
    return time.time_ns() // 1000 % _NUMBERS


def _requests(host: str, path: str, bodies: Sequence[str], first: int) -> Iterator[bytes]:
    """Requests without end, no two alike."""
    halves = []
    for body in bodies:
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        before, _, after = f"{head}\r\n\r\n{body}".encode().partition(MARK.encode())
        halves.append((before, after))
    for number, (before, after) in enumerate(itertools.cycle(halves), first):
        yield b"%b0.1%011d%b" % (before, number % _NUMBERS, after)


class _Client(asyncio.Protocol):
    """One connection of the closed loop."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self.errors = 0
        self._requests = requests
        self._latencies = latencies
        self._received = b""
        self._open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._latencies.append(time.perf_counter() - self._sent)
        self.errors += not head.startswith(b"HTTP/1.1 2")
        self._received = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.errors += self._open

    def close(self) -> None:
        self._open = False
        self._transport.close()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def _same(client: _Client) -> type[_Client]:
    """A protocol factory that gives this client."""
    return cast("type[_Client]", lambda: client)


def _length(head: bytes) -> int:
    """The announced length of an answer's body."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def _main() -> None:
    parser = argparse.ArgumentParser(description="Load a URL with a closed loop of clients; prints one JSON line.")
    parser.add_argument("url")
    parser.add_argument("--floats", type=int, default=64, help="numbers in a row")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--tool", choices=["wrk", "own"])
    options = parser.parse_args()
    bodies = sample_bodies(options.floats)
    load = measure(options.url, bodies, connections=options.connections, seconds=options.seconds, tool=options.tool)
    print(
        json.dumps({"url": options.url, "floats": options.floats, "connections": options.connections, **load.report()})
    )


if __name__ == "__main__":
    _main()
