"""A lean HTTP client for the demo's traffic.

The demo and its server share a machine, so what the client costs the server lacks: `skysail.AsyncClient` takes some
twenty times the processor's time of this one, and is meant for applications, not for load. Not for anything else: it
knows only how to send JSON to a server that keeps connections alive and states the length of its answers.
"""

from __future__ import annotations

import asyncio
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from skysail.client import Unreachable
from skysail.errors import from_code

__all__ = ["Answer", "Observed", "Problem", "Sender"]


class Answer(msgspec.Struct, frozen=True):
    """What the demo needs of a prediction."""

    prediction_id: str
    output: Any
    default: bool
    models: tuple[str, ...]


class Problem(msgspec.Struct, frozen=True):
    """An error, of a request or of one observation of a list."""

    code: str
    message: str


class Observed(msgspec.Struct, frozen=True):
    """What became of observations."""

    accepted: int
    rejected: list[Problem]


class _Failed(msgspec.Struct, frozen=True):
    error: Problem


_ANSWER = msgspec.json.Decoder(Answer)
_OBSERVED = msgspec.json.Decoder(Observed)
_FAILED = msgspec.json.Decoder(_Failed)


class Sender:
    """Keep-alive connections to a data plane, as many as there are requests at one time; used with `async with`."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: list[tuple[StreamReader, StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()

    async def predict(self, app: str, row: object) -> Answer:
        """One prediction. Raises the `SkysailError` that the server told of, or `Unreachable`."""
        return _ANSWER.decode(await self._post(f"/apps/{app}/predict", {"input": row}))

    async def observe(self, app: str, observations: list[dict[str, Any]]) -> Observed:
        """A list of observations. Raises as `predict` does."""
        return _OBSERVED.decode(await self._post(f"/apps/{app}/observe", {"observations": observations}))

    async def _post(self, path: str, document: object) -> bytes:
        try:
            status, body = await self._exchange(path, msgspec.json.encode(document))
        except (OSError, IncompleteReadError, LimitOverrunError, ValueError) as error:
            raise Unreachable(f"{self._url} broke off ({error}): is the server still running?") from error
        if status == 200:
            return body
        problem = _FAILED.decode(body).error
        raise from_code(problem.code, problem.message)

    async def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request on a connection that is free, or on a new one, and read its answer."""
        opened = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = opened
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            status, length = _parse_head(await reader.readuntil(b"\r\n\r\n"))
            answer = await reader.readexactly(length)
        except BaseException:  # a connection in the middle of an answer is of no use to another request
            writer.close()
            raise
        self._idle.append(opened)
        return status, answer


def _parse_head(head: bytes) -> tuple[int, int]:
    """The status, and the length of the body."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), int(fields["content-length"])
