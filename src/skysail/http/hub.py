"""What all connections of one server share: limits, the handler, turns, room for bodies, the passing of time, and what
is counted.

**Turns.** Connections that have something to be handled stand in a ring. A turn of the event loop goes round it, one
request of each connection at a time, and ends after `_AT_ONCE` of them: so a connection that sends thousands of
requests at once delays another's only request by one of its own, and the loop comes back to timers, workers and writing
in time, however much there is to do.

**The gate.** What the loop reads in one turn is from all who have sent something; with thousands of them, a turn takes
longer than a query may, and a worker that has answered is not heard before it is over. So when a turn has read from
more than `_CROWDED` connections, those that were read from wait at a gate from then on, in order, and `_LET_IN` of them
are read from in a turn, until nobody waits there.

**Room.** The bodies in hand of all connections together have a budget. Beyond it, connections that hold more than a
little read nothing more until there is room again; but for the one that has waited longest, which goes on whatever it
holds: so it comes to its end, and then the next. Nothing that is paused can keep everything else paused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from skysail.http.request import Handler

__all__ = ["Head", "Hub", "Limits", "Member"]

_AT_ONCE = 256
"""Requests handled before the event loop looks again at what else there is."""

_GATHERED = 64
"""Connections that have joined the ring for which the end of reading is not waited for: what they sent is still at
hand, and will not be when a thousand others have been read.
"""

_CROWDED = 320
"""Connections that one turn may read from before there is a gate: more than a batch of clients that all ask again."""

_LET_IN = 192
"""Connections that the gate lets through in a turn: a few milliseconds."""

_SMALL = 1 << 16
"""Bytes of bodies in hand that every connection may have, however little room there is."""


class Head:
    """What a request's line and headers say, the same for all requests that begin with the same bytes."""

    __slots__ = ("headers", "length", "method", "path", "query")

    def __init__(self, method: bytes, path: bytes, query: bytes, headers: dict[bytes, bytes], length: int) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.length = length


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may ask of a connection: sizes in bytes, times in seconds."""

    max_head: int = 16 << 10
    """Request line and headers together."""

    max_body: int = 16 << 20
    """One request's body; also how much of complete bodies of one connection may await answers before it is read on."""

    pipeline: int = 64
    """Requests of one connection that may be with the handler at once."""

    idle_timeout: float = 75.0
    """Silence between requests; also how long a client may leave its answers untaken."""

    header_timeout: float = 10.0
    """From a request's first byte to the end of its headers; then each pause in its body; past it, 408."""

    linger: float = 2.0
    """How long a connection that is done waits for its client to close."""

    @property
    def room(self) -> int:
        """Bytes of bodies, complete or not, that all connections together may have in hand: 16 of the largest."""
        return 16 * self.max_body

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

    def step(self) -> bool:
        """Have one request handled, or read a little on; whether there is more to do."""
        ...

    def throttle(self) -> None:
        """Read on, or pause."""
        ...

    def let_in(self) -> None:
        """It is its turn at the gate."""
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
    rest: Callable[[], None] | None = None
    """Called with each sweep: what is to be done now and then, and not while nobody is here."""
    tick: int = 0
    draining: bool = False
    accepted: int = 0
    requests: int = 0
    gone: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    members: set[Member] = field(default_factory=set)
    heads: dict[bytes, Head] = field(default_factory=dict)
    held: int = 0
    """Bytes of bodies in hand."""
    crowd: dict[Member, None] = field(default_factory=dict)
    """Who holds more than a little of them while there is no room, in the order in which that was found."""
    _due: list[Member] = field(default_factory=list)
    _ring: deque[Member] = field(default_factory=deque)
    reads: int = 0
    """Reads since the last turn."""
    crowded: bool = False
    """Whether there is a gate: who was read from waits for its turn to be read from again."""
    _gate: deque[Member] = field(default_factory=deque)
    _joined: int = 0
    _turning: bool = False
    _relieving: bool = False
    _room: int = 0
    _empty: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        """Work out the budget, which is asked for with each request."""
        self._room = self.limits.room

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
        self._part(member)
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

    # ---- turns

    def take_turns(self, member: Member) -> None:
        """Put a connection into the ring: its `step` is called, round by round with those of others, until it says that
        there is no more to do.

        Between two system calls the processor forgets the code that a query needs: reading all, then handling all, then
        writing all costs less than taking each request the whole way.
        """
        self._ring.append(member)
        self._joined += 1
        self._turn_soon()

    def wait_at_gate(self, member: Member) -> None:
        """Call a connection's `let_in` when those that came to the gate before have been let in."""
        self._gate.append(member)
        self._turn_soon()

    def flush_soon(self, member: Member) -> None:
        """Have a connection write at the end of this turn of the loop, with all others that were answered in it.

        The answers to a batch come one after the other; were each written at once, every one of them would wake a
        client that has just gone to sleep.
        """
        self._due.append(member)
        if len(self._due) == 1:
            self.loop.call_soon(self._flush)

    def read_enough(self) -> None:
        """A connection has read. If many have since requests were handled last, as many are handled now."""
        if self._joined >= _GATHERED:
            self._go_round(_GATHERED)

    def _turn(self) -> None:
        self._turning = False
        gate, left = self._gate, _LET_IN
        while gate and left:
            left -= 1
            gate.popleft().let_in()
        self.crowded = bool(gate) or self.reads > _CROWDED
        self.reads = 0
        self._go_round(_AT_ONCE)

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self.loop.call_soon(self._turn)

    def _go_round(self, left: int) -> None:
        ring = self._ring
        self._joined = 0
        try:
            while ring and left:
                left -= 1
                member = ring.popleft()
                if member.step():
                    ring.append(member)
        finally:
            if ring or self._gate:
                self._turn_soon()
        if self._due:  # what could be answered at once is written before anything more is read
            self._flush()

    def _flush(self) -> None:
        due, self._due = self._due, []
        for member in due:
            member.flush()

    # ---- room for bodies

    def release(self, size: int) -> None:
        """So many bytes of bodies are no longer in hand."""
        self.held -= size
        if self.crowd and self.held <= self._room:
            self._relieve_soon()

    def must_wait(self, member: Member, held: int) -> bool:
        """Whether a connection that has so many bytes of bodies in hand is to read nothing more for now."""
        if self.held <= self._room or held <= _SMALL:
            if self.crowd:
                self._part(member)
            return False
        self.crowd[member] = None
        return next(iter(self.crowd)) is not member

    def _part(self, member: Member) -> None:
        """A connection is of the crowd no more; if it was the first, the next may go on."""
        if member in self.crowd:
            del self.crowd[member]
            self._relieve_soon()

    def _relieve_soon(self) -> None:
        if self.crowd and not self._relieving:
            self._relieving = True
            self.loop.call_soon(self._relieve)

    def _relieve(self) -> None:
        """There is room, or another is the first: each looks for itself whether it may read on."""
        self._relieving = False
        for member in list(self.crowd):
            member.throttle()
            if self.held > self._room:
                break  # only the first is let on

    # ---- time

    def _on_timer(self) -> None:
        self._timer = None
        self.sweep()
        if self.rest is not None:
            self.rest()
        if self.members:
            self._timer = self.loop.call_later(self.limits.period, self._on_timer)
