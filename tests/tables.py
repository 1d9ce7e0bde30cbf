"""Connections without sockets: what is done to the transport can be seen, and the handler holds what it is given."""

from __future__ import annotations

import asyncio
from typing import Any

from skysail.http.connection import Connection
from skysail.http.hub import Hub, Limits
from skysail.http.request import Refusal, Request


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    """A request with a body."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


class Wire:
    """A transport that shows what is done to it, and takes as much as it is told."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = True
        self.closed = ""
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, buffers: list[bytes]) -> None:
        self.writes.append(b"".join(buffers))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str) -> None:
        """There is no socket here."""

    def is_closing(self) -> bool:
        return bool(self.closed)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write_eof(self) -> None:
        self.closed = self.closed or "half"

    def close(self) -> None:
        self.closed = "closed"

    def abort(self) -> None:
        self.closed = "aborted"


class Table:
    """A connection on such a transport, and a handler that holds what it is given; it may be `beside` another one."""

    def __init__(self, loop: Any, beside: Table | None = None, **limits: Any) -> None:
        self.held: list[Request] = [] if beside is None else beside.held
        self.loop = loop
        self.hub = Hub(self, Limits(**limits), loop) if beside is None else beside.hub
        self.wire = Wire()
        self.connection = Connection(self.hub)
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]

    def admit(self, request: Request) -> Refusal | None:
        return None

    def handle(self, request: Request) -> None:
        self.held.append(request)

    def sweeps(self, count: int) -> None:
        for _ in range(count):
            self.hub.sweep()
        self.turn()

    def receive(self, data: bytes) -> None:
        """Let these bytes come, and what they complete be handled."""
        self.connection.data_received(data)
        self.turn()

    def turn(self) -> None:
        """Let what was answered be written, and others be handled in its place."""

        async def turns() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
