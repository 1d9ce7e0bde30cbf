"""The listening socket: connections come in, so many at a time.

An event loop's own server accepts until nobody is left at the door. When clients that have lost patience connect anew
as fast as they are accepted, that is for ever: the loop serves nobody, so all lose patience. Here the loop goes on
after each few.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from skysail.errors import Overload
from skysail.http.response import prepare

__all__ = ["Door"]

_BACKLOG = 4096
"""Connections the kernel may queue; `listen` is called anew on an inherited socket, and must not shrink its queue."""

_AT_ONCE = 32
"""Connections that are accepted before the loop does what else there is to do."""

_PAUSE = 0.1
"""Seconds until the next try, where the system has no descriptor left for a connection."""

_AT_MOST = 512
"""Connections that are looked at for that, those of clients that have hung up among them."""

_HUNG_UP = (b"\x07", b"\x08")
"""TCP's states `CLOSE` and `CLOSE_WAIT`, as Linux numbers them."""

_TURNED_AWAY = prepare(Overload("more clients connect than can be served; connect again after Retry-After")).whole

_logger = logging.getLogger(__name__)


class Door:
    """Accepts connections on one listening socket, from `open` to `close`; `welcome` makes the protocol of each.

    While more want to come in than are let in at once, those whose client has hung up before are not: work for them
    would be for nothing, and keep out others. One that has only closed its sending side is told to come again.
    """

    def __init__(self, sock: socket.socket, welcome: Callable[[], asyncio.Protocol]) -> None:
        self._sock = sock
        self._welcome = welcome
        self._accepting: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to accept."""
        self._sock.setblocking(False)
        self._sock.listen(_BACKLOG)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept nothing more. Closing twice is harmless."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
            self._sock.close()

    async def _accept(self) -> None:
        loop, crowd, failing = asyncio.get_running_loop(), False, False
        while True:
            try:
                first, _ = await loop.sock_accept(self._sock)
                failing = False
            except OSError as error:
                if not failing:
                    _logger.error("cannot accept connections: %s", error)
                failing = True
                await asyncio.sleep(_PAUSE)
                continue
            comers = self._comers(first, crowd=crowd)
            crowd = len(comers) == _AT_ONCE
            welcomed = [loop.connect_accepted_socket(self._welcome, comer) for comer in comers]
            await asyncio.shield(asyncio.gather(*welcomed, return_exceptions=True))  # who is in is served to the end

    def _comers(self, first: socket.socket, *, crowd: bool) -> list[socket.socket]:
        """Who is let in now; of a crowd, only those whose clients are there still."""
        comers: list[socket.socket] = []
        comer = first
        for _ in range(_AT_MOST):
            comer.setblocking(False)
            if not (crowd and _hung_up(comer)):
                comers.append(comer)
                if len(comers) == _AT_ONCE:
                    break
            try:
                comer, _ = self._sock.accept()
            except OSError:  # nobody else is there; if it is for another reason, the next try will tell
                break
        return comers


def _hung_up(comer: socket.socket) -> bool:
    """Whether a client has closed its side already; it is told that there was no time, if it listens still."""
    info: int | None = getattr(socket, "TCP_INFO", None)
    if info is None or comer.getsockopt(socket.IPPROTO_TCP, info, 1) not in _HUNG_UP:
        return False
    with comer, contextlib.suppress(OSError):
        comer.send(_TURNED_AWAY)
    return True
