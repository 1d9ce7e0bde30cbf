"""The control plane's links: to the parent, which runs the workers, and from the frontends, which use them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from itertools import count
from typing import Any

import msgspec

from skysail.config.schema import Topology
from skysail.errors import InvalidRequest, SkysailError, Unavailable
from skysail.registry.readiness import Readiness
from skysail.supervisor.spec import ChildSpec, ChildStatus
from skysail.types import ModelRef
from skysail.wire.link import Link, LinkClosed

__all__ = ["FrontendLinks", "ParentLink"]

_log = logging.getLogger(__name__)

_ASK = 2.0
"""Seconds that a frontend has to answer a question."""


class ParentLink:
    """What control asks of the parent, and hears from it. It is the handler of the link it is then given."""

    def __init__(self, readiness: Readiness) -> None:
        self.link: Link
        self.memo: dict[str, Any] = {}
        """What the parent remembers for this process's successor."""
        self._readiness = readiness

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> None:
        """Take a notification."""
        match op:
            case "started":
                self._readiness.started(args["name"])
            case "report":
                self._readiness.reported(args["name"], args["report"])
            case "exited":
                status = msgspec.convert(args["status"], ChildStatus)
                self._readiness.exited(status.name, status.last_exit or "ended", status.tail)
            case _:
                raise InvalidRequest(f"control knows no operation {op!r} of the parent's")

    async def hello(self) -> None:
        """Learn what the parent remembers, and which workers run already."""
        told = await self.link.call("hello")
        self.memo = told["memo"] or {}
        for child in msgspec.convert(told["children"], list[ChildStatus]):
            if child.kind == "worker" and child.pid is not None:
                self._readiness.started(child.name)
                if child.report:
                    self._readiness.reported(child.name, child.report)

    async def set_children(self, specs: Sequence[ChildSpec]) -> None:
        """Have these workers run, and no others."""
        await self.link.call("set_children", children=specs)

    async def remember(self, key: str, value: Any) -> None:
        """Have the parent remember something for this process's successor."""
        self.memo[key] = value
        await self.link.call("remember", memo=self.memo)

    async def ready(self) -> None:
        """Have the parent announce that all is ready; it does so once."""
        await self.link.call("ready")

    async def children(self) -> list[ChildStatus]:
        """Every process of the server but the parent."""
        return msgspec.convert(await self.link.call("children"), list[ChildStatus])

    async def logs(self, name: str) -> list[str]:
        """The last lines that a process printed."""
        lines: list[str] = await self.link.call("logs", name=name)
        return lines


class FrontendLinks:
    """The frontends that are connected: each is told the topology, and asked what it knows.

    A frontend that connects is told at once. `drain` is how many seconds it has to finish what it holds for a version
    that is gone.
    """

    def __init__(self, readiness: Readiness, drain: float) -> None:
        self._readiness = readiness
        self._drain = drain
        self._numbers = count()
        self._links: dict[Link, int] = {}
        self._topology: Any = None

    def __len__(self) -> int:
        return len(self._links)

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> None:
        """Take a notification."""
        match op:
            case "version_ready":
                self._readiness.answered(self._links[link], ModelRef(args["model"], args["version"]))
            case "version_failed":
                self._readiness.failed(ModelRef(args["model"], args["version"]), args["error"])
            case _:
                raise InvalidRequest(f"control knows no operation {op!r} of a frontend's")

    def connected(self, link: Link) -> None:
        """A frontend is there."""
        self._links[link] = next(self._numbers)
        self._readiness.connected(self._links[link])
        if self._topology is not None:
            link.notify("topology", topology=self._topology)

    def lost(self, link: Link) -> None:
        """A frontend is gone."""
        self._readiness.disconnected(self._links.pop(link))

    def push(self, topology: Topology) -> Awaitable[Any]:
        """Tell all frontends; what is returned is done when they have let go of what is no longer there."""
        self._topology = msgspec.to_builtins(topology)
        return asyncio.gather(*[self._tell(link, self._topology) for link in self._links])

    async def ask(self, op: str, **args: Any) -> list[Any]:
        """What each frontend answers, of those that do, in time."""
        answers = await asyncio.gather(*[self._ask(link, op, args) for link in self._links])
        return [answer for answer in answers if not isinstance(answer, SkysailError)]

    async def ask_any(self, op: str, **args: Any) -> Any:
        """What the first frontend that can tell answers; the last one's error where none can.

        Raises `Unavailable` when no frontend is connected.
        """
        error: SkysailError = Unavailable("no frontend is connected to the control plane; try again in a moment")
        for link in list(self._links):
            answer = await self._ask(link, op, args)
            if not isinstance(answer, SkysailError):
                return answer
            error = answer
        raise error

    async def _ask(self, link: Link, op: str, args: dict[str, Any]) -> Any:
        """An answer, or the error in its place."""
        try:
            async with asyncio.timeout(_ASK):
                return await link.call(op, **args)
        except SkysailError as error:
            return error
        except TimeoutError:
            return Unavailable(f"a frontend did not answer {op!r} within {_ASK:g} s")

    async def _tell(self, link: Link, topology: Any) -> None:
        try:
            async with asyncio.timeout(self._drain + _ASK):
                await link.call("topology", topology=topology)
        except LinkClosed:
            pass  # one that comes in its place is told when it connects
        except TimeoutError:
            _log.warning("a frontend did not let go of a version within %g s", self._drain + _ASK)
        except SkysailError as error:
            _log.error("a frontend cannot serve what is configured: %s", error)
