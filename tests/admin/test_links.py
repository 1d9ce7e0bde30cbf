from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from skysail.admin import links as module
from skysail.admin.links import FrontendLinks
from skysail.config.schema import Topology
from skysail.errors import InvalidRequest, Unavailable, UnknownPrediction
from skysail.registry.readiness import Readiness
from skysail.types import ModelRef
from skysail.wire.link import Link, open_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

REF = ModelRef("svm", 1)


class Frontend:
    """Answers by its number; one that is `busy` finishes when it is let go, one that is `mute` never answers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.topologies: list[Any] = []
        self.busy = asyncio.Event()
        self.busy.set()

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        match op:
            case "topology":
                self.topologies.append(args["topology"])
                return self.busy.wait()
            case "number":
                return self.number
            case "mute":
                return asyncio.Event().wait()
            case "why" if args["id"] == str(self.number):
                return {"known_by": self.number}
            case "why":
                raise UnknownPrediction(f"{self.number} knows no {args['id']}")
        raise InvalidRequest(op)


@asynccontextmanager
async def connected(links: FrontendLinks, *frontends: Frontend) -> AsyncIterator[list[Link]]:
    """Frontends, connected one after another; each one's own end of its link."""
    async with asyncio.TaskGroup() as tasks:
        theirs = []
        for frontend in frontends:
            a, b = socket.socketpair()
            ours, other = await open_link(a, links), await open_link(b, frontend)
            tasks.create_task(serve(ours, links))
            tasks.create_task(other.run())
            links.connected(ours)
            theirs.append(other)
        yield theirs
        for link in theirs:
            link.close()


async def serve(link: Link, links: FrontendLinks) -> None:
    """What the accepting side does with a link."""
    try:
        await link.run()
    finally:
        links.lost(link)


async def test_a_push_is_done_when_every_frontend_is() -> None:
    """The topology reaches all, in order; what is awaited ends when the slowest has let go of what is gone."""
    links, one, two = FrontendLinks(Readiness(), 10.0), Frontend(1), Frontend(2)
    async with connected(links, one, two):
        two.busy.clear()
        first = asyncio.ensure_future(links.push(Topology(current={"svm": 1})))
        second = asyncio.ensure_future(links.push(Topology(current={"svm": 2})))
        await links.ask("number")
        assert not first.done()
        two.busy.set()
        await asyncio.gather(first, second)
        for frontend in (one, two):
            assert [t["current"]["svm"] for t in frontend.topologies] == [1, 2]


async def test_one_that_hangs_or_dies_holds_up_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frontend that does not let go has its time; one that goes away is not waited for."""
    monkeypatch.setattr(module, "_ASK", 0.02)
    links, one, two = FrontendLinks(Readiness(), 0.0), Frontend(1), Frontend(2)
    async with connected(links, one, two) as theirs:
        one.busy.clear()
        pushing = asyncio.ensure_future(links.push(Topology()))
        await asyncio.sleep(0)
        theirs[1].close()
        await pushing
        assert await links.ask("mute") == []


async def test_questions_are_answered_by_those_who_can() -> None:
    """All answers of all; the first that knows; the error of the last where none does; 503 where none is there."""
    links, one, two = FrontendLinks(Readiness(), 10.0), Frontend(1), Frontend(2)
    with pytest.raises(Unavailable, match="no frontend is connected"):
        await links.ask_any("why", id="2")
    async with connected(links, one, two):
        assert await links.ask("number") == [1, 2]
        assert await links.ask_any("why", id="2") == {"known_by": 2}
        with pytest.raises(UnknownPrediction, match="2 knows no 3"):
            await links.ask_any("why", id="3")
        assert await links.ask("nonsense") == []
    assert len(links) == 0


async def test_what_frontends_tell_of_versions_is_known() -> None:
    """A version is served when each frontend that is there has said so; one that leaves no longer counts."""
    readiness = Readiness()
    links, one, two = FrontendLinks(readiness, 10.0), Frontend(1), Frontend(2)
    async with connected(links, one, two) as theirs:
        theirs[0].notify("version_ready", model="svm", version=1)
        theirs[1].notify("version_failed", model="svm", version=1, error="no")
        while readiness.failure(REF, []) is None:
            await readiness.wait_change()
        assert not readiness.serves(REF)
        theirs[1].close()
        while not readiness.serves(REF):
            await readiness.wait_change()


async def test_one_that_connects_is_told_at_once() -> None:
    """Whoever comes later gets the topology that was pushed last."""
    links, one = FrontendLinks(Readiness(), 10.0), Frontend(1)
    await links.push(Topology(current={"svm": 5}))
    async with connected(links, one):
        await links.ask("number")
        assert one.topologies[0]["current"] == {"svm": 5}
