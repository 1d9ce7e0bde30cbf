from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from skysail.bench import generator
from skysail.bench.generator import Generator, main
from skysail.bench.requests import Requests
from skysail.bench.trial import Closed, Open, Setup, Trial
from skysail.clock import SystemClock


@pytest.fixture
def sender(server: Any) -> Iterator[Generator]:
    """A generator of three rows to the server."""
    requests = Requests([b"[1]", b"[2]", b"[3]"], host="h", path="/apps/a/predict")
    with Generator(server.address, requests, SystemClock()) as sender:
        yield sender


def test_a_closed_loop_asks_again_and_again(server: Any, sender: Generator) -> None:
    """Every query that was sent reached the server and was answered, all inputs distinct, some ids kept."""
    trial = sender.closed(Closed(4, 0.2))
    assert trial.sent == len(server.bodies) > 4
    assert trial.offered is None
    assert not trial.errors
    assert 0 < trial.p50 <= trial.p90 <= trial.p99 <= trial.worst
    assert len(set(server.bodies)) == len(server.bodies)
    inputs = {tuple(json.loads(body)["input"]) for body in server.bodies}  # of four connections, in any order
    assert (2,) in inputs
    assert trial.ids
    assert trial.cpu > 0


def test_an_open_loop_asks_when_queries_are_due(server: Any, sender: Generator) -> None:
    """As many as come at that rate are sent, whatever the number of connections; the same seed asks as often."""
    first = sender.open(Open(rate=400.0, seconds=0.3, connections=2, seed=1))
    again = sender.open(Open(rate=400.0, seconds=0.3, connections=5, seed=1))
    assert first.sent == again.sent
    assert len(server.bodies) == 2 * first.sent
    assert first.sent == pytest.approx(120, rel=0.4)
    assert first.offered == 400.0
    assert not first.errors


def test_a_stall_is_in_the_latencies(server: Any, sender: Generator) -> None:
    """While the server stands still for 0.4 s, all that was due meanwhile waits, and its latencies say so: a fifth of
    the queries waited for over 0.2 s, though hardly any was under way at once (coordinated omission would hide them).
    """
    pause = threading.Event()

    def stall(number: int) -> tuple[int, Any]:
        if number == 1:
            pause.wait(0.4)
        return 200, {"prediction_id": "p", "default": False}

    server.reply = stall
    trial = sender.open(Open(rate=300.0, seconds=0.8, connections=2, seed=2))
    assert not trial.errors
    assert trial.worst >= 0.3
    assert trial.p90 >= 0.2


def test_errors_are_counted_by_code(server: Any, sender: Generator) -> None:
    """Each kind by its code, with what the first one said; what was answered counts for the rate."""

    def reply(number: int) -> tuple[int, Any]:
        if number % 2:
            return 503, {"error": {"code": "overload", "message": "too much work"}}
        return 200, {"prediction_id": "p", "default": False}

    server.reply = reply
    trial = sender.closed(Closed(2, 0.1))
    assert trial.errors["overload"] > 0
    assert trial.message == "too much work"
    assert 0 < trial.rate < trial.sent / 0.1


def test_a_connection_that_breaks_is_replaced(server: Any, sender: Generator) -> None:
    """Its query is lost, and said to be; the loop goes on over another connection."""
    server.reply = lambda number: None if number == 3 else (200, {"default": False})
    trial = sender.closed(Closed(2, 0.1))
    assert trial.errors == {"lost": 1}
    assert trial.sent > 3


def test_what_is_not_answered_is_not_waited_for_without_end(
    server: Any, sender: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time of patience queries without answer count as errors, those that were never sent too."""
    monkeypatch.setattr(generator, "_PATIENCE", 0.05)
    stopped = threading.Event()

    def hang(number: int) -> tuple[int, Any]:
        stopped.wait(10)
        return 200, {"default": False}

    server.reply = hang
    trial = sender.open(Open(rate=200.0, seconds=0.1, connections=1, seed=3))
    stopped.set()
    assert trial.errors["unanswered"] > 1
    assert trial.rate == 0


def test_large_rows_are_sent_whole(server: Any) -> None:
    """A row that fills the socket's buffer several times is sent piece by piece."""
    row = msgspec.json.encode(["x" * 1000] * 8000)
    requests = Requests([row], host="h", path="/apps/a/predict")
    with Generator(server.address, requests, SystemClock()) as sender:
        trial = sender.closed(Closed(2, 0.05))
    assert not trial.errors
    assert len(json.loads(server.bodies[-1])["input"]) == 8000


def test_orders_come_in_and_results_go_out(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process reads a setup, then answers each order with a trial, until there are no more."""
    rows = tmp_path / "rows"
    rows.write_bytes(b"[1]\n[2]")
    host, port = server.address
    setup = Setup(host=host, port=port, path="/apps/a/predict", rows=str(rows), token="t")
    orders = [setup, Closed(2, 0.05), Open(100.0, 0.1, 2, 1)]
    given, told = io.BytesIO(b"".join([msgspec.json.encode(order) + b"\n" for order in orders])), io.BytesIO()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=given))
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=told))
    monkeypatch.setattr(generator.gc, "disable", lambda: None)
    monkeypatch.setattr(generator.signal, "signal", lambda *_: None)
    main()
    first, second = [msgspec.json.decode(line, type=Trial) for line in told.getvalue().splitlines()]
    assert first.offered is None
    assert second.offered == 100.0
    assert b"Authorization: Bearer t" in server.heads[0]
    given.seek(0)
    given.readline()
    with pytest.raises(ValueError, match="first order"):
        main()
