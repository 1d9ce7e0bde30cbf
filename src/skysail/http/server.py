"""The HTTP server: a listening socket, the connections it accepts, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

from skysail.http.connection import Connection
from skysail.http.door import Door
from skysail.http.hub import Hub, Limits
from skysail.http.request import Handler

__all__ = ["HttpServer", "HttpStatistics"]


@dataclass(frozen=True, kw_only=True)
class HttpStatistics:
    """What a server has counted since it started; a snapshot."""

    connections: int
    """Open now."""

    accepted: int
    """Connections ever accepted."""

    requests: int
    """Complete requests that the handler was, or will be, given."""

    gone: int
    """Requests whose client left before the answer."""

    errors: dict[str, int]
    """Answers that were errors, by code; refusals before a body was read among them."""


class HttpServer:
    """Serves HTTP/1.1 on one listening socket with the handler it is given; `skysail.http.connection` has the rules.

    It knows no routes and no applications. Use it where the rate of requests matters, as on the data plane; what wants
    middleware, streaming or TLS is better served by an ASGI server. `rest` is called now and then while there are
    connections.
    """

    def __init__(self, handler: Handler, limits: Limits | None = None, rest: Callable[[], None] | None = None) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._rest = rest
        self._hub: Hub | None = None
        self._door: Door | None = None

    async def start(self, sock: socket.socket) -> None:
        """Accept on a bound socket, which is this server's from now on."""
        loop = asyncio.get_running_loop()
        hub = self._hub = Hub(self._handler, self._limits, loop, self._rest)
        self._door = Door(sock, lambda: Connection(hub))
        self._door.open()

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, answer what is in flight (each connection's last answer says so), and close.

        Returns when every connection is gone. On expiry of `seconds`, those that are left are cut off.
        """
        if self._hub is None or self._door is None:
            return
        self._door.close()
        self._hub.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hub.wait_empty(), seconds)
        await self._hub.aclose()

    async def aclose(self) -> None:
        """Stop at once: connections are cut off, their requests forgotten. Closing twice is harmless."""
        if self._hub is None or self._door is None:
            return
        self._door.close()
        await self._hub.aclose()

    def sweep(self) -> None:
        """Let one period of the limits of time pass now. The server does so by itself; tests need not wait for it."""
        if self._hub is not None:
            self._hub.sweep()

    def statistics(self) -> HttpStatistics:
        """What has been counted so far."""
        hub = self._hub
        if hub is None:
            return HttpStatistics(connections=0, accepted=0, requests=0, gone=0, errors={})
        return HttpStatistics(
            connections=len(hub.members),
            accepted=hub.accepted,
            requests=hub.requests,
            gone=hub.gone,
            errors=dict(hub.errors),
        )
