"""What all connections of one server share: limits, the handler, the passing of time, and what is counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from skysail.http.request import Handler, Request

__all__ = ["Hub", "Limits", "Member"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may ask of a connection: sizes in bytes, times in seconds."""

    max_head: int = 16 << 10
    """Request line and headers together."""

    max_body: int = 16 << 20
    """One request's body; also how much of complete bodies may await answers before reading pauses."""

    pipeline: int = 64
    """Requests of one connection that may be with the handler at once."""

    idle_timeout: float = 75.0
    """Silence between requests; also how long a client may leave its answers untaken."""

    header_timeout: float = 10.0
    """From a request's first byte to the end of its headers; then each pause in its body; past it, 408."""

    linger: float = 2.0
    """How long a connection that is done waits for its client to close."""

    @property
    def period(self) -> float:
        """Seconds between two sweeps: a quarter of the shortest limit, and no less than 10 ms."""
        return max(0.01, min(self.idle_timeout, self.header_timeout, self.linger) / 4)

    def sweeps(self, seconds: float) -> int:
        """The number of whole sweeps that take at least this long."""
        return -int(-seconds // self.period)


class Member(Protocol):
    """A connection as its hub sees it."""

    def sweep(self) -> None:
        """Look at the limits of time."""
        ...

    def drain(self) -> None:
        """Close as soon as nothing is under way."""
        ...

    def flush(self) -> None:
        """Write the answers whose turn has come."""
        ...

    def handle(self, request: Request) -> None:
        """Have a complete request handled."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


@dataclass(slots=True, eq=False)
class Hub:
    """The common part of a server's connections.

    Time is counted in sweeps of one timer, which runs while there is a connection: `tick` is the number of the present
    one. A request costs no timer and no clock read, and an idle server does not wake. A limit passes between its value
    and one `Limits.period` later; a machine that slept counts one sweep, so nobody is cut off for it.
    """

    handler: Handler
    limits: Limits
    loop: asyncio.AbstractEventLoop
    tick: int = 0
    draining: bool = False
    accepted: int = 0
    requests: int = 0
    gone: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    members: set[Member] = field(default_factory=set)
    due: list[Member] = field(default_factory=list)
    read: list[tuple[Member, Request]] = field(default_factory=list)
    _empty: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None

    def join(self, member: Member) -> None:
        """Count a connection in; the first one starts the sweeps."""
        self.accepted += 1
        self.members.add(member)
        self._empty.clear()
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.period, self._on_timer)
        if self.draining:
            member.drain()

    def leave(self, member: Member) -> None:
        """Count a connection out."""
        self.members.discard(member)
        if not self.members:
            self._empty.set()

    def sweep(self) -> None:
        """Let one period pass."""
        self.tick += 1
        for member in tuple(self.members):
            member.sweep()

    def drain(self) -> None:
        """From now on, each connection closes as soon as nothing of it is under way."""
        self.draining = True
        for member in tuple(self.members):
            member.drain()

    async def wait_empty(self) -> None:
        """Wait until no connection is left."""
        if self.members:
            await self._empty.wait()

    async def aclose(self) -> None:
        """Cut off every connection, and end the sweeps."""
        self.draining = True
        for member in tuple(self.members):
            member.abort()
        await self.wait_empty()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def handle_soon(self, member: Member, request: Request) -> None:
        """Have a request handled at the end of this turn of the loop, with all others that were read in it.

        Between two system calls the processor forgets the code that a query needs: reading all, then handling all, then
        writing all costs less than taking each request the whole way.
        """
        self.read.append((member, request))
        if len(self.read) == 1:
            self.loop.call_soon(self._handle)

    def _handle(self) -> None:
        read, self.read = self.read, []
        for member, request in read:
            if not request.gone:
                member.handle(request)

    def flush_soon(self, member: Member) -> None:
        """Have a connection write at the end of this turn of the loop, with all others that were answered in it.

        The answers to a batch come one after the other; were each written at once, every one of them would wake a
        client that has just gone to sleep.
        """
        self.due.append(member)
        if len(self.due) == 1:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        due, self.due = self.due, []
        for member in due:
            member.flush()

    def _on_timer(self) -> None:
        self._timer = None
        self.sweep()
        if self.members:
            self._timer = self.loop.call_later(self.limits.period, self._on_timer)
