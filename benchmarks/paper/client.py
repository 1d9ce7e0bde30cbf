"""A client for experiments that send millions of queries: few system calls, no library between it and the bytes.

It speaks the little of HTTP/1.1 that Skysail's data plane answers with, to one server, over connections that it keeps.
Programs should use `skysail.AsyncClient`, which knows the errors by name and costs about a millisecond a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import msgspec
from benchmarks.report import BenchmarkError

__all__ = ["Client"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Client:
    """`predict` and `observe` over as many connections as calls are waiting at once.

        async with Client(server.url) as client:
            [answer] = await client.predict("app", [{"t": 1}])
            await client.observe("app", [{"prediction_id": answer["prediction_id"], "label": 3}])

    Calls made one after the other share one connection; calls made at once (`asyncio.gather`) have one each.
    """

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._all:
            connection.close()

    async def predict(
        self, app: str, inputs: Sequence[Any], *, context: str | None = None, deadline_ms: float | None = None
    ) -> list[dict[str, Any]]:
        """One answer for each input, in order, as the server words them; a row's own error is `{"error": …}`."""
        body: dict[str, Any] = {"inputs": inputs}
        if context is not None:
            body["context"] = context
        if deadline_ms is not None:
            body["deadline_ms"] = deadline_ms
        answers: list[dict[str, Any]] = (await self.checked(f"/apps/{app}/predict", body))["predictions"]
        return answers

    async def observe(self, app: str, observations: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What became of some observations: `accepted`, `duplicates`, `rejected`. They are durable by then."""
        return await self.checked(f"/apps/{app}/observe", {"observations": observations})

    async def checked(self, path: str, body: Any) -> dict[str, Any]:
        """The answer to a POST; `BenchmarkError` where it is not a 200."""
        status, answer = await self.post(path, body)
        if status != 200:
            raise BenchmarkError(f"{path} answered {status}: {answer}")
        return answer

    async def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """The status and the decoded answer to a POST, whatever they are."""
        return await self._exchange("POST", path, _encode(body))

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and the decoded answer to a GET: for what the control plane tells."""
        return await self._exchange("GET", path, b"")

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        connection = self._idle.pop() if self._idle else await self._connect()
        while connection.closed:  # the control plane ends those that were silent for a few seconds
            connection = self._idle.pop() if self._idle else await self._connect()
        status, answer = await connection.send(method, path, body)
        self._idle.append(connection)
        return status, _decode(answer)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        self._all.append(connection)
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with at most one request on its way."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = bytearray()
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, method: str, path: str, body: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._waiting = asyncio.get_running_loop().create_future()
        kind = "Content-Type: application/json"
        head = f"{method} {path} HTTP/1.1\r\nHost: s\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end])
        first = end + 4
        if len(self._received) < first + (length := _length(head)):
            return
        body = bytes(self._received[first : first + length])
        self._received.clear()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BenchmarkError(f"the server closed the connection: {exc or 'no reason given'}"))

    def close(self) -> None:
        self._transport.close()


def _length(head: bytes) -> int:
    """The announced length of an answer's body."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
