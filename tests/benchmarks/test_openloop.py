from __future__ import annotations

import http.server
import json
import math
import shutil
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/proc/self/statm").exists(), reason="the generator is made for Linux by cc"
)


@pytest.fixture
def openloop(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generator; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.openloop")


class Server(http.server.ThreadingHTTPServer):
    """Answers by the path, and keeps what it was sent."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.ending = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Clients that give up are what some tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        kind = self.path.strip("/")
        if kind == "early":
            self._send(503, ("Connection", "close"), b"")
            self.close_connection = True
            return
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if kind == "silence":
            self.server.ending.wait(10)
        elif kind == "chunked":
            self._send(200, ("Transfer-Encoding", "chunked"), b"2\r\nok\r\n3\r\n1\r\n\r\n0\r\n\r\n")
        elif kind == "close":
            self._send(200, ("Connection", "close"), b"ok")
            self.close_connection = True
        elif kind == "drop":
            self._send(200, ("Content-Length", "2"), b"ok")
            self.close_connection = True
        else:
            self._send(int(kind), ("Content-Length", "2"), b"ok")

    def _send(self, status: int, header: tuple[str, str], body: bytes) -> None:
        self.send_response(status)
        self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    """A tiny server."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.ending.set()
        server.shutdown()
        thread.join()


def bodies(openloop: Any, count: int = 3) -> list[str]:
    """Bodies with a mark and a number of their own."""
    return [f'{{"input":[{openloop.MARK},{n}]}}' for n in range(count)]


def test_all_that_is_due_is_sent_and_counted(openloop: Any, server: Server) -> None:
    """Two phases come to what the server saw; every body is another one; lateness is told; seconds add up."""
    phases = [openloop.Phase(rate=200, seconds=0.3), openloop.Phase(rate=400, seconds=0.3)]
    seen = openloop.OpenLoop.run(f"{server.url}/200", bodies(openloop), phases, limit=5.0)
    first, second = seen.phases
    assert first.offered + second.offered == len(server.bodies) == seen.statuses["200"]
    assert 30 < first.offered < 95
    assert 75 < second.offered < 170
    for window in seen.phases:
        assert (window.answered, window.failed, window.in_limit) == (window.offered, 0, window.offered)
        assert 0 < window.p50_ms <= window.p99_ms <= window.max_ms
        assert 0 <= window.late_p99_ms <= window.late_max_ms
        assert math.isnan(window.refused_p99_ms)
    assert sum(window.offered for window in seen.seconds) == len(server.bodies)
    assert len(set(server.bodies)) == len(server.bodies)
    assert {json.loads(body)["input"][1] for body in server.bodies} == {0, 1, 2}
    assert json.loads(json.dumps(seen.report(), allow_nan=False))["phases"][0]["refused_p99_ms"] is None


def test_the_same_seed_gives_the_same_arrivals(openloop: Any, server: Server) -> None:
    """Two servers can be offered the very same load."""
    runs = [
        openloop.OpenLoop.run(f"{server.url}/200", bodies(openloop), [openloop.Phase(rate=300, seconds=0.2)], seed=seed)
        for seed in (3, 3, 4)
    ]
    counts = [run.phases[0].offered for run in runs]
    assert counts[0] == counts[1]
    assert len(server.bodies) == len(set(server.bodies)) == sum(counts)


@pytest.mark.parametrize("kind", ["chunked", "close"])
def test_every_framing_of_an_answer_is_understood(openloop: Any, server: Server, kind: str) -> None:
    """Chunks whose text looks like an end, and a connection that closes after each answer."""
    seen = openloop.OpenLoop.run(f"{server.url}/{kind}", bodies(openloop), [openloop.Phase(rate=100, seconds=0.2)])
    assert seen.phases[0].answered == seen.phases[0].offered == len(server.bodies) > 0


def test_a_connection_that_was_closed_meanwhile_is_replaced(openloop: Any, server: Server) -> None:
    """A server may close what was kept: the request that was on its way is sent again, and is no error."""
    seen = openloop.OpenLoop.run(f"{server.url}/drop", bodies(openloop), [openloop.Phase(rate=300, seconds=0.3)])
    assert seen.phases[0].answered == seen.phases[0].offered > 0


def test_a_refusal_before_the_body_was_read_is_understood(openloop: Any, server: Server) -> None:
    """The answer counts, though the rest of the request could not be sent."""
    long = [f'{{"input":[{openloop.MARK}{",0.5" * 500_000}]}}']
    seen = openloop.OpenLoop.run(f"{server.url}/early", long, [openloop.Phase(rate=50, seconds=0.3)])
    assert seen.phases[0].refused == seen.phases[0].offered > 0


@pytest.mark.parametrize(("status", "kind"), [(503, "refused"), (429, "refused"), (500, "errors"), (404, "errors")])
def test_answers_are_told_apart_by_status(openloop: Any, server: Server, status: int, kind: str) -> None:
    """A refusal is not an error, and has a latency of its own; neither is an answer."""
    seen = openloop.OpenLoop.run(f"{server.url}/{status}", bodies(openloop), [openloop.Phase(rate=100, seconds=0.2)])
    [window] = seen.phases
    assert getattr(window, kind) == window.failed == window.offered > 0
    assert window.answered == 0
    assert math.isnan(window.p99_ms)
    assert math.isnan(window.refused_p99_ms) is (kind == "errors")


def test_a_silent_server_is_given_up(openloop: Any, server: Server) -> None:
    """What was sent times out; what had no connection is unsent; waiting counts from when a request was due."""
    began = time.monotonic()
    phases = [openloop.Phase(rate=100, seconds=0.2)]
    seen = openloop.OpenLoop.run(f"{server.url}/silence", bodies(openloop), phases, timeout=0.3, connections=2)
    [window] = seen.phases
    assert seen.connections == 2
    assert window.timeouts >= 2
    assert window.timeouts + window.unsent == window.offered
    assert time.monotonic() - began < 10


def test_where_nobody_listens_all_are_errors(openloop: Any, server: Server) -> None:
    """A refused connection is counted, and ends nothing."""
    server.server_close()
    seen = openloop.OpenLoop.run(f"{server.url}/200", bodies(openloop), [openloop.Phase(rate=100, seconds=0.1)])
    assert seen.phases[0].errors == seen.phases[0].offered > 0


def test_what_cannot_be_run_is_said(openloop: Any, server: Server) -> None:
    """The program's own words stand in the error."""
    with pytest.raises(import_module("benchmarks.report").BenchmarkError, match="a phase is RATE:SECONDS"):
        openloop.OpenLoop.run(server.url, bodies(openloop), [openloop.Phase(rate=0, seconds=1)])


def test_without_a_compiler_the_remedy_is_named(openloop: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says what is missing and how to get it; one that fails is quoted."""
    error = import_module("benchmarks.report").BenchmarkError
    monkeypatch.setattr(openloop, "_BUILD", tmp_path / ".build")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(error, match=r"'no-such-compiler'.*gcc"):
        openloop._compiled()
    monkeypatch.setenv("CC", "false")
    with pytest.raises(error, match="was not compiled by 'false'"):
        openloop._compiled()
    assert list((tmp_path / ".build").iterdir()) == []
