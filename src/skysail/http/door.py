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

_CROWD = 16
"""Times in a row that there were more, for it to be a crowd and not a start: some five hundred connections at least."""

_HUNG_UP = (b"\x07", b"\x08")
"""TCP's states `CLOSE` and `CLOSE_WAIT`, as Linux numbers them."""

_TURNED_AWAY = prepare(Overload("more clients connect than can be served; connect again after Retry-After")).whole

_logger = logging.getLogger(__name__)


class Door:
    """Accepts connections on one listening socket, from `open` to `close`; `welcome` makes the protocol of each.

    While a crowd wants to come in, those whose client has hung up before are not let in: work for them would be for
    nothing, and keep out others. One that has only closed its sending side is told to come again.
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
        loop, times, failing = asyncio.get_running_loop(), 0, False
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
            comers, more = self._comers(first, crowd=times >= _CROWD)
            times = times + 1 if more else 0
            welcomed = [loop.connect_accepted_socket(self._welcome, comer) for comer in comers]
            await asyncio.shield(asyncio.gather(*welcomed, return_exceptions=True))  # who is in is served to the end

    def _comers(self, first: socket.socket, *, crowd: bool) -> tuple[list[socket.socket], bool]:
        """Who is let in now (of a crowd, only those whose clients are there still), and whether more may wait."""
        comers: list[socket.socket] = []
        comer, looked_at = first, 1
        while True:
            comer.setblocking(False)
            if not (crowd and _hung_up(comer)):
                comers.append(comer)
            if len(comers) == _AT_ONCE or looked_at == _AT_MOST:
                return comers, True
            try:
                comer, _ = self._sock.accept()
            except OSError:  # nobody else is there; if it is for another reason, the next try will tell
                return comers, False
            looked_at += 1


def _hung_up(comer: socket.socket) -> bool:
    """Whether a client has closed its side already; it is told that there was no time, if it listens still."""
    info: int | None = getattr(socket, "TCP_INFO", None)
    if info is None or comer.getsockopt(socket.IPPROTO_TCP, info, 1) not in _HUNG_UP:
        return False
    with comer, contextlib.suppress(OSError):
        comer.send(_TURNED_AWAY)
    return True
