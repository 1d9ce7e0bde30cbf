from __future__ import annotations

import asyncio

import pytest

from skysail.http.hub import Hub, Limits
from skysail.http.request import Refusal, Request
from skysail.testing.loop import run


class Nobody:
    """A handler without requests."""

    def admit(self, request: Request) -> Refusal | None:
        raise NotImplementedError

    def handle(self, request: Request) -> None:
        raise NotImplementedError


class Member:
    """A connection that writes down what it is told, and leaves when it is cut off."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.told: list[str] = []

    def sweep(self) -> None:
        self.told.append("sweep")

    def drain(self) -> None:
        self.told.append("drain")

    def abort(self) -> None:
        self.told.append("abort")
        self.hub.leave(self)


LIMITS = Limits(idle_timeout=60, header_timeout=10, linger=2)


@pytest.mark.parametrize(("seconds", "sweeps"), [(0.5, 1), (0.6, 2), (2, 4), (10, 20), (60, 120)])
def test_a_time_in_sweeps_is_not_less_than_itself(seconds: float, sweeps: int) -> None:
    """A period is a quarter of the shortest limit, and times are rounded up to it."""
    assert LIMITS.period == 0.5
    assert LIMITS.sweeps(seconds) == sweeps


def test_the_shortest_limits_do_not_keep_the_server_busy() -> None:
    """A limit of nothing is a limit of a few milliseconds."""
    assert Limits(linger=0).period == 0.01


def test_sweeps_run_while_there_is_somebody_to_look_at() -> None:
    """An hour without connections costs no wake-up; each period with one costs one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hub = Hub(Nobody(), LIMITS, loop)
        await asyncio.sleep(3600)
        assert hub.tick == 0
        member = Member(hub)
        hub.join(member)
        await asyncio.sleep(2.1)
        assert (hub.tick, member.told) == (4, ["sweep"] * 4)
        hub.leave(member)
        await asyncio.sleep(3600)
        assert hub.tick == 5
        hub.join(member)
        await asyncio.sleep(0.6)
        assert hub.tick == 6
        await hub.aclose()

    run(main())


def test_draining_tells_those_that_are_there_and_those_that_come() -> None:
    """A connection that was accepted just before is not overlooked."""

    async def main() -> None:
        hub = Hub(Nobody(), LIMITS, asyncio.get_running_loop())
        early, late = Member(hub), Member(hub)
        hub.join(early)
        hub.drain()
        hub.join(late)
        assert early.told == late.told == ["drain"]
        await hub.aclose()
        assert early.told == late.told == ["drain", "abort"]

    run(main())


def test_waiting_until_all_are_gone() -> None:
    """The wait ends with the last connection, and at once without any."""

    async def main() -> None:
        hub = Hub(Nobody(), LIMITS, asyncio.get_running_loop())
        await hub.wait_empty()
        first, second = Member(hub), Member(hub)
        hub.join(first)
        hub.join(second)
        waiting = asyncio.ensure_future(hub.wait_empty())
        hub.leave(first)
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.leave(second)
        await waiting
        await hub.aclose()
        await hub.aclose()

    run(main())
