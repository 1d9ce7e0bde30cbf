"""A server over real loopback sockets on uvloop, with a handler that does what the path says, and raw clients."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import pytest
import uvloop

from skysail.errors import MethodNotAllowed, NotFound, Overload, Unauthorized
from skysail.http.hub import Limits
from skysail.http.request import Refusal, Request
from skysail.http.server import HttpServer
from skysail.testing.loop import run as run_jumping

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds within which whatever a test waits for comes, however slow the machine."""


class Desk:
    """A handler: the path says what becomes of a request."""

    def __init__(self) -> None:
        self.held: list[Request] = []
        self.served: list[Request] = []
        self.gone: list[Request] = []
        self.most_held = 0

    def admit(self, request: Request) -> Refusal | None:
        path = request.path
        if path == b"/denied":
            raise Unauthorized("say who you are")
        if path == b"/post-only" and request.method != b"POST":
            return Refusal(MethodNotAllowed("only POST"), ((b"Allow", b"POST"),))
        if path == b"/broken-door":
            raise ZeroDivisionError
        known = {b"/echo", b"/hold", b"/big", b"/post-only", b"/overload", b"/broken", b"/late"}
        return None if path in known else Refusal(NotFound(f"no route {path!r}"))

    def handle(self, request: Request) -> None:
        self.served.append(request)
        match request.path:
            case b"/hold":
                self.hold(request)
            case b"/overload":
                raise Overload("too much")
            case b"/broken":
                raise ZeroDivisionError
            case b"/late":
                asyncio.get_running_loop().call_soon(request.reply, 200, b"late")
            case b"/big":
                request.reply(200, [b"x" * 100_000] * 10, content_type=b"text/plain")
            case _:
                request.reply(200, request.body)

    def hold(self, request: Request) -> None:
        self.held.append(request)
        self.most_held = max(self.most_held, len(self.held))
        request.on_gone = lambda: self.gone.append(request)

    def release(self, index: int = 0, body: bytes | None = None) -> None:
        """Answer one of the held requests."""
        request = self.held.pop(index)
        request.reply(200, request.body if body is None else body)


class Reply(NamedTuple):
    """An answer as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def end(self) -> None:
        """Send no more, and go on reading."""
        self._writer.write_eof()

    async def line(self) -> bytes:
        return await self._reader.readuntil(b"\r\n")

    async def reply(self, *, head_only: bool = False) -> Reply:
        """The next answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = b"" if head_only else await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(head[0].split()[1]), headers, body)

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await self._reader.read()

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def reset(self) -> None:
        """Close in a way that the server is told."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


class Rig:
    """A running server; what its connections raise fails the test."""

    def __init__(self, limits: Limits) -> None:
        self.desk = Desk()
        self.server = HttpServer(self.desk, limits)
        self.port = 0
        self.raised: list[dict[str, Any]] = []
        self._clients: list[Client] = []

    async def start(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.raised.append(context))
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        await self.server.start(sock)

    async def aclose(self) -> None:
        for client in self._clients:
            await client.close()
        await self.server.aclose()
        assert not self.raised

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def exchange(self, data: bytes) -> bytes:
        """Send bytes and the end of the stream; everything that comes back."""
        client = await self.connect()
        client.send(data)
        client.end()
        return await client.rest()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        while not condition():  # noqa: ASYNC110 - what is waited for is the state of others, not ours to signal
            await asyncio.sleep(0.001)


Scenario = Callable[[Rig], Awaitable[T]]


@pytest.fixture
def play() -> Callable[..., Any]:
    """Runs a scenario against a server on uvloop; with `jumping`, on a loop where waiting takes no time."""

    def run(scenario: Scenario[T], *, jumping: bool = False, **limits: Any) -> T:
        async def main() -> T:
            rig = Rig(Limits(**limits))
            await rig.start()
            try:
                if jumping:
                    return await scenario(rig)
                return await asyncio.wait_for(scenario(rig), PATIENCE)
            finally:
                await rig.aclose()

        runner: Callable[[Coroutine[Any, Any, T]], T] = run_jumping if jumping else uvloop.run
        return runner(main())

    return run
