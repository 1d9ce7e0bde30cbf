"""What the tests of measuring share: a small server that answers as it is told, and the document of a run."""

from __future__ import annotations

import json
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skysail.bench.trial import Trial


class TinyServer:
    """An HTTP server in a thread; `reply` makes the status and body of an answer out of the number of the request, or
    hangs up by `None`.

    It answers one request after the other, so that a reply that takes long stalls all connections.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []
        self.reply: Callable[[int], tuple[int, Any] | None] = lambda number: (200, answer(number))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._ours, self._theirs = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytes] = {}
        self._thread = threading.Thread(target=self._serve)

    def start(self) -> None:
        """Answer from now on."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._theirs, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection; returns when the thread has ended."""
        self._ours.close()
        self._thread.join()
        for each in (self._listener, self._theirs, *self._received):
            each.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is self._theirs:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif not self._answer(key.fileobj):
                    self._selector.unregister(key.fileobj)
                    del self._received[key.fileobj]
                    key.fileobj.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._received[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _answer(self, connection: socket.socket) -> bool:
        """Read what has come, and answer if that is a whole request; whether the connection stays open."""
        try:
            data = connection.recv(1 << 20)
            received = self._received[connection] + data
            head, end, body = received.partition(b"\r\n\r\n")
            if not end or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
                self._received[connection] = received
                return bool(data)
            self._received[connection] = b""
            self.bodies.append(body)
            self.heads.append(head)
            replied = self.reply(len(self.bodies))
            if replied is None:
                return False
            text = json.dumps(replied[1], separators=(",", ":")).encode()
            connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (replied[0], len(text)) + text)
        except ConnectionError:
            return False
        return True


def answer(number: int) -> dict[str, Any]:
    """A prediction, as the data plane words it."""
    return {"prediction_id": f"id-{number}", "output": 1, "default": False, "reason": None}


@pytest.fixture
def server() -> Iterator[TinyServer]:
    """A server that answers every request."""
    server = TinyServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """Makes a trial of a second, that was well but for what is given."""

    def make(**given: Any) -> Trial:
        fine: dict[str, Any] = {"offered": 100.0, "rate": 100.0, "sent": 100, "errors": {}, "message": "", "ids": []}
        times = {"p50": 0.001, "p90": 0.002, "p99": 0.004, "worst": 0.009, "mean": 0.002, "lag": 0.0001, "cpu": 0.1}
        return Trial(**(fine | times | given))

    return make


@pytest.fixture
def document(trial: Callable[..., Trial]) -> dict[str, Any]:
    """The document of a run that found a highest rate."""
    from skysail.bench.report import batch_curve, trial_document  # noqa: PLC0415

    line = {"cap": 5, "fixed_ms": 1.0, "row_ms": 0.5, "band_ms": 0.25}
    missed = trial(offered=200.0, rate=150.0, p99=0.05, errors={"deadline": 5}, message="too slow")
    return {
        "file": "skysail.toml",
        "app": "digits",
        "models": ["svm"],
        "slo_ms": 20.0,
        "rows": {"origin": "random float32[64]", "distinct": None},
        "machine": {"processor": "a fast one, 2 cores"},
        "method": ["in good faith"],
        "capacity": trial_document(trial(offered=None, rate=250.0), 0.02),
        "search": {"kept": 100.0, "missed": 104.0},
        "highest": 100.0,
        "trials": [trial_document(missed, 0.02), trial_document(trial(), 0.02)],
        "batches": {"svm@1/0": {**line, "curve": batch_curve(line), "seen": [{"rows": 2.5, "ms": 2.0}]}},
        "time": {
            "rate": 100.0,
            "answered": 100.0,
            "steps": {"network, HTTP, generator": 0.5, "predicting": 1.5},
            "cpu": {"frontend/0": 0.25, "control": 0.0},
        },
        "cache": {"hits": 0.0, "sent": 300},
        "notes": ["a note"],
    }
