"""The worker's loop, over real sockets, in a thread."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from skysail.clock import SystemClock
from skysail.inputs import InputSpec
from skysail.wire.messages import HEADER, MAX_FRAME, MODEL_ERROR, PROTOCOL, Batch, Hello, Result, encode
from skysail.worker import serve
from skysail.worker.batch import BatchRunner
from skysail.worker.decode import make_decoder
from skysail.worker.serve import Server, Stop

HELLO = Hello(PROTOCOL, "m", 1, "m@1/0", 1, "json", True)
PATIENCE = 20.0

Dial = Callable[[], Any]
Run = Callable[[Batch], Result]


def echo(batch: Batch) -> Result:
    """Every row back as it came."""
    return Result(batch.id, bytes(len(batch.rows)), batch.rows, 0.0, 0.0, "")


@contextmanager
def serving(
    listener: socket.socket, run: Run = echo, limit: int = MAX_FRAME, rest: Callable[[], None] = lambda: None
) -> Iterator[Stop]:
    """A server in a thread, stopped and joined at the end."""
    with Stop() as stop:
        thread = threading.Thread(target=Server(listener, HELLO, run, stop, limit=limit, rest=rest).serve)
        thread.start()
        try:
            yield stop
        finally:
            stop.request()
            thread.join(PATIENCE)
            assert not thread.is_alive()


class Gate:
    """A model whose batches wait to be let through, and which knows the order in which they came."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.open = threading.Event()
        self.ids: list[int] = []

    def __call__(self, batch: Batch) -> Result:
        self.ids.append(batch.id)
        self.began.release()
        assert self.open.wait(PATIENCE)
        return echo(batch)


def test_it_greets_and_answers(listener: socket.socket, dial: Dial) -> None:
    """Each connection hears hello first, and then a result for each batch, in order."""
    with serving(listener):
        for _ in range(2):
            frontend = dial()
            assert frontend.hello() == HELLO
            for id in range(3):
                frontend.send(id, [b"1", b"[2]"])
            assert [frontend.result().id for _ in range(3)] == [0, 1, 2]


def test_large_batches_come_through(listener: socket.socket, dial: Dial) -> None:
    """Frames that fill the socket's buffers many times over come through both ways."""
    row = bytes(5_000_000)
    with serving(listener):
        frontend = dial()
        frontend.hello()
        assert frontend.ask(1, [row, b"x", row]).payloads == [row, b"x", row]


def test_connections_take_turns(listener: socket.socket, dial: Dial) -> None:
    """A connection with many batches waiting does not hold up another with one."""
    gate = Gate()
    with serving(listener, gate):
        busy, modest = dial(), dial()
        busy.hello()
        modest.hello()
        for id in range(10):
            busy.send(id, [b"1"])
        assert gate.began.acquire(timeout=PATIENCE)
        modest.send(100, [b"1"])
        gate.open.set()
        assert modest.result().id == 100
        assert [busy.result().id for _ in range(10)] == list(range(10))
        assert gate.ids.index(100) <= 2


def test_many_waiting_batches_are_all_answered(listener: socket.socket, dial: Dial) -> None:
    """More batches than may wait in the worker wait in the socket, and are answered in order."""
    gate = Gate()
    with serving(listener, gate):
        frontend = dial()
        frontend.hello()
        frontend.send(0, [b"1"])
        assert gate.began.acquire(timeout=PATIENCE)
        sender = threading.Thread(target=lambda: [frontend.send(id, [b"1"]) for id in range(1, 100)])
        sender.start()
        gate.open.set()
        assert [frontend.result().id for _ in range(100)] == list(range(100))
        sender.join(PATIENCE)


def test_a_frontend_may_go_at_any_byte(listener: socket.socket, dial: Dial) -> None:
    """Whatever offset of a frame a connection ends at, the others are served as before."""
    frame = b"".join(encode(Batch(1, [b"[1,2]", b"x"], b"\0\1")))
    with serving(listener):
        other = dial()
        other.hello()
        for offset in range(len(frame) + 1):
            frontend = dial()
            frontend.hello()
            frontend.socket.sendall(frame[:offset])
            frontend.socket.close()
            assert other.ask(offset, [b"7"]).payloads == [b"7"]


def test_a_frontend_may_go_in_the_midst_of_its_batch(listener: socket.socket, dial: Dial) -> None:
    """The result of one that is gone is dropped, its waiting batches are not run, and the others are served."""
    gate = Gate()
    with serving(listener, gate):
        gone, other = dial(), dial()
        gone.hello()
        other.hello()
        for id in range(5):
            gone.send(id, [b"1"])
        assert gate.began.acquire(timeout=PATIENCE)
        gone.socket.close()
        other.send(100, [b"1"])
        gate.open.set()
        assert other.result().id == 100
        assert other.ask(101, [b"2"]).id == 101
        assert len(gate.ids) < 7


@pytest.mark.parametrize(
    "nonsense",
    [b"GET / HTTP/1.1\r\n\r\n", HEADER.pack(MAX_FRAME + 1, 2), HEADER.pack(0, 1), HEADER.pack(3, 2) + b"abc"],
)
def test_a_violation_ends_its_connection_only(
    nonsense: bytes, listener: socket.socket, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that breaks the protocol is hung up on, with a word in the log; another is served on."""
    with serving(listener), caplog.at_level(logging.WARNING):
        other, broken = dial(), dial()
        other.hello()
        broken.hello()
        broken.socket.sendall(nonsense)
        with pytest.raises(EOFError):
            broken.receive()
        assert other.ask(1, [b"7"]).payloads == [b"7"]
    assert "m@1/0: hung up on a frontend: " in caplog.text


def test_a_frontend_that_takes_nothing_is_dropped(
    listener: socket.socket, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not read its results is hung up on after a while, and the others are served."""
    monkeypatch.setattr(serve, "_STALLED", 0.02)
    with serving(listener, lambda batch: echo(batch._replace(rows=[bytes(batch.id)]))):
        stalled, other = dial(), dial()
        stalled.hello()
        other.hello()
        stalled.send(10_000_000, [b"1"])
        assert stalled.socket.recv(1, socket.MSG_PEEK)
        assert other.ask(2, [b"1"]).payloads == [b"\0\0"]
        with pytest.raises(EOFError):
            stalled.receive()


def test_outputs_that_are_too_large_are_errors(listener: socket.socket, dial: Dial) -> None:
    """A result over the limit of a frame is an error for its rows, not a broken connection."""
    with serving(listener, lambda batch: echo(batch._replace(rows=[bytes(1_000)] * len(batch.rows))), limit=500):
        frontend = dial()
        frontend.hello()
        result = frontend.ask(1, [b"1", b"2"])
        assert list(result.statuses) == [MODEL_ERROR] * 2
        assert b"the outputs of this batch cannot be sent: a Result of" in result.payloads[0]


def test_the_batch_in_hand_is_finished(listener: socket.socket, dial: Dial) -> None:
    """Asked to stop, the server answers the batch it is at, runs no other, and hangs up."""
    gate = Gate()
    with serving(listener, gate) as stop:
        frontend = dial()
        frontend.hello()
        frontend.send(1, [b"1"])
        frontend.send(2, [b"1"])
        assert gate.began.acquire(timeout=PATIENCE)
        stop.request()
        stop.request()
        gate.open.set()
        assert frontend.result().id == 1
        with pytest.raises((EOFError, ConnectionResetError)):
            frontend.receive()
        assert gate.ids == [1]


def test_it_rests_after_each_batch(listener: socket.socket, dial: Dial) -> None:
    """What is done then keeps nobody waiting: the answer has been sent."""
    rests = threading.Semaphore(0)
    with serving(listener, rest=rests.release):
        frontend = dial()
        frontend.hello()
        for number in (1, 2):
            frontend.ask(number, [b"1"])
            assert rests.acquire(timeout=PATIENCE)
        assert not rests.acquire(blocking=False)


def test_a_stop_before_the_start_is_kept(listener: socket.socket) -> None:
    """A server that was stopped before it served does not serve."""
    with Stop() as stop:
        stop.request()
        Server(listener, HELLO, echo, stop).serve()
        assert stop.requested


def test_rows_of_a_model_come_through(listener: socket.socket, dial: Dial) -> None:
    """With a real batch runner: outputs, bad rows and poisoned rows, each at its place."""
    decoder = make_decoder(InputSpec.parse("float32[2]"))
    runner = BatchRunner(decoder, lambda batch: [int(10 / x) for x in batch.sum(axis=1).tolist()], SystemClock())
    with serving(listener, runner.run):
        frontend = dial()
        frontend.hello()
        result = frontend.ask(1, [b"[1,1]", b"[0,0]", b"[1]", b"[4,1]"])
        assert list(result.statuses) == [0, 2, 1, 0]
        assert result.payloads[0] == b"5"
        assert result.payloads[1] == b"ZeroDivisionError: float division by zero"
        assert "ZeroDivisionError" in result.traceback
