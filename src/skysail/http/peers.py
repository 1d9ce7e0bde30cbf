"""The frontends of one server among each other: what one has learned all see, what one has decided all find."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from skysail.assembly import Frontend
from skysail.errors import InvalidRequest, SkysailError, Unavailable
from skysail.ids import parse_id
from skysail.types import State
from skysail.wire.link import Link, LinkClosed, keep_link, serve_links

__all__ = ["GATHER", "Peers"]

GATHER = 0.02
"""Seconds between two messages with the news of commits: what comes meanwhile is gathered into the next."""

_ASK = 2.0
"""Seconds that another frontend has to write what it has decided."""


class Peers:
    """One frontend's links to all others, which exist where `[server] frontends` is more than one.

    Each listens on a socket that the parent holds for it, and dials all others. Down the link that was dialled come the
    keys of the states that the other has added to; these are not read now, but by the next query that needs them. Up
    the same link goes the wish that the other write its decisions, for this one was given feedback on one of them. When
    a link is there anew, news may have been missed, and every state counts as changed.
    """

    def __init__(self, frontend: Frontend, index: int, sockets: Sequence[str]) -> None:
        self._frontend = frontend
        self._ledger = frontend.ledger
        self._others = {other: _Other(path) for other, path in enumerate(sockets) if other != index}
        self._listeners: set[Link] = set()
        self._news: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._again: list[Callable[[], None]] = []
        self._tasks: asyncio.TaskGroup

    async def run(self, listener: socket.socket) -> None:
        """Stay linked with all others until cancelled; the frontend has been started."""
        self._frontend.engine.others = self
        self._ledger.on_commit = self.committed
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(serve_links(listener, self, self._listeners.add, self._listeners.discard))
            for other in self._others.values():
                self._tasks.create_task(keep_link(other.path, self, partial(self._connected, other)))

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        """Take another frontend's news, or do as it asks."""
        match op:
            case "changed":
                return self._reread(partial(self._frontend.changed, args["keys"]))
            case "flush":
                written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
                self._ledger.flush(partial(_settle, written))
                return written
        raise InvalidRequest(f"a frontend knows no operation {op!r} of another's")

    # -- what is learned ----------------------------------------------------------------------------------------------

    def committed(self, states: Mapping[str, State]) -> None:
        """A transaction of this frontend's has made these states: the others are about to hear of it.

        Who heard of another's while this one was under way cannot tell which came first. So those states were read
        anew then, in case it was the other's that came later, and are read anew after the report, which may have put an
        older state in the place of what was read.
        """
        again, self._again = self._again, []
        for forget in again:
            forget()
        if states and self._listeners:
            self._news.update(states)
            if self._timer is None:
                self._tell()

    def _tell(self) -> None:
        """Tell the news at once, the next of them later; when there are none any more, no timer is left."""
        self._timer = None
        if not self._news:
            return
        self._timer = asyncio.get_running_loop().call_later(GATHER, self._tell)
        keys, self._news = list(self._news), set()
        for link in list(self._listeners):
            try:
                link.notify("changed", keys=keys)
            except LinkClosed:
                self._listeners.discard(link)  # it dials again, and then reads everything anew

    def _connected(self, other: _Other, link: Link) -> None:
        other.link = link
        self._reread(self._frontend.outdated)

    def _reread(self, forget: Callable[[], None]) -> None:
        forget()
        if self._ledger.committing:
            self._again.append(forget)

    # -- what is decided ----------------------------------------------------------------------------------------------

    def flush(self, id: str, flushed: Callable[[SkysailError | None], None]) -> bool:
        """Have the frontend whose id this is write what it has decided; see `skysail.engine.Others`.

        One that is not there has nothing left to write. Those who ask while an answer is awaited share the next
        question, so that however many unknown ids come, each frontend asks each other one thing at a time.
        """
        key = parse_id(id)
        other = None if key is None else self._others.get(key[0])
        if other is None or other.link is None or other.link.closed:
            return False
        other.waiting.append(flushed)
        if not other.asking:
            other.asking = True
            self._tasks.create_task(self._ask(other, other.link))
        return True

    async def _ask(self, other: _Other, link: Link) -> None:
        """Ask for as long as somebody waits; it begins in the next turn, so a list of feedback is one question."""
        loop = asyncio.get_running_loop()
        while other.waiting:
            waiting, other.waiting = other.waiting, []
            failure = await _written(link)
            for flushed in waiting:
                loop.call_soon(flushed, failure)
        other.asking = False


class _Other:
    """Another frontend: the link that was dialled to it, and who waits for what it has decided."""

    __slots__ = ("asking", "link", "path", "waiting")

    def __init__(self, path: str) -> None:
        self.path = path
        self.link: Link | None = None
        self.asking = False
        self.waiting: list[Callable[[SkysailError | None], None]] = []


async def _written(link: Link) -> SkysailError | None:
    """Have the other end write its decisions; why they may not be in the store yet."""
    try:
        async with asyncio.timeout(_ASK):
            if await link.call("flush"):
                return None
        return Unavailable("the frontend that made this prediction cannot write its decisions now; try again later")
    except LinkClosed:
        return None  # it is gone, and what it had not written with it
    except TimeoutError:
        return Unavailable(f"the frontend that made this prediction did not write it within {_ASK:g} s; try again")
    except SkysailError as error:
        return error


def _settle(written: asyncio.Future[bool], done: bool) -> None:
    """Answer, unless whoever asked is gone."""
    if not written.done():
        written.set_result(done)
