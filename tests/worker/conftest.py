"""A frontend's end of a worker's socket, blocking."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from skysail.wire.messages import Batch, Hello, Message, Result, encode
from skysail.wire.protocol import Protocol, State

PATIENCE = 20.0
"""Seconds after which a test gives up waiting for a worker; none waits so long unless something is wrong."""


class Frontend:
    """Speaks the wire protocol over a blocking socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self._protocol = Protocol(State.GREETING)
        self._messages: list[Message] = []

    def send(self, id: int, rows: Sequence[bytes], binary: bytes | None = None) -> None:
        """Send a batch of JSON rows, or of what `binary` says."""
        self.socket.sendall(b"".join(encode(Batch(id, rows, bytes(len(rows)) if binary is None else binary))))

    def receive(self) -> Message:
        """The next message; `EOFError` where the worker hangs up."""
        while not self._messages:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._protocol.receive_data(data)
            self._messages = self._protocol.events()
        return self._messages.pop(0)

    def hello(self) -> Hello:
        """The greeting."""
        hello = self.receive()
        assert isinstance(hello, Hello)
        return hello

    def result(self) -> Result:
        """The next result."""
        result = self.receive()
        assert isinstance(result, Result)
        return result

    def ask(self, id: int, rows: Sequence[bytes]) -> Result:
        """Send a batch and wait for its result."""
        self.send(id, rows)
        return self.result()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket in it."""
    path = Path(tempfile.mkdtemp(prefix="sky"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def listener(folder: Path) -> Iterator[socket.socket]:
    """A listening socket at `folder / "s"`."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        listening.listen()
        yield listening


@pytest.fixture
def dial(folder: Path) -> Iterator[Callable[[], Frontend]]:
    """Connects frontends to `folder / "s"`, and closes them after the test."""
    dialled: list[Frontend] = []

    def connect() -> Frontend:
        dialled.append(Frontend(folder / "s"))
        return dialled[-1]

    yield connect
    for frontend in dialled:
        frontend.socket.close()
