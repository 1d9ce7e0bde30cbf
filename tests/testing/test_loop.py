"""The event loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
import socket
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.testing.clock import ManualClock
from skysail.testing.loop import JumpingLoop, run


def test_an_hour_passes_at_once() -> None:
    """A long sleep ends at its own time, on the clock that was given."""
    clock = ManualClock(monotonic=0.0, wall=1_000.0)
    assert run(asyncio.sleep(3600, "done"), clock) == "done"
    assert clock.monotonic() == pytest.approx(3600)
    assert clock.wall() == pytest.approx(4600)


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_timers_fire_in_order_and_on_time(delays: list[float]) -> None:
    """Whatever the delays, callbacks run by due time and see exactly that time."""

    async def main() -> list[tuple[float, float]]:
        loop = asyncio.get_running_loop()
        start, fired = loop.time(), list[tuple[float, float]]()
        for delay in delays:
            loop.call_later(delay, lambda due: fired.append((due, loop.time())), start + delay)
        await asyncio.sleep(2e6)
        return fired

    fired = run(main())
    assert len(fired) == len(delays)
    assert all(a <= b for (a, _), (b, _) in pairwise(fired))
    assert all(now == pytest.approx(due, abs=1e-6) for due, now in fired)


def test_timeouts_expire_at_their_moment() -> None:
    """A deadline cuts a longer wait, and a shorter one ends before it."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.timeout(10):
            await asyncio.sleep(9)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(start + 60):
                await asyncio.Event().wait()
        return loop.time() - start

    assert run(main()) == pytest.approx(60)


def test_ready_work_comes_before_time_moves() -> None:
    """While a task can run, no timer fires."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        loop.call_later(0.001, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return loop.time() - start

    assert run(main()) == 0.0


def test_bytes_that_are_there_come_before_time_moves() -> None:
    """A socket with data in it is read before a timer fires."""

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        a, b = socket.socketpair()
        with a, b:
            a.setblocking(False)
            b.sendall(b"x")
            async with asyncio.timeout(0.001):
                return await loop.sock_recv(a, 1)

    assert run(main()) == b"x"


def test_waits_for_the_world_when_no_timer_is_left() -> None:
    """With nothing scheduled, a thread may still wake the loop."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set_result, "woken"))
        thread.start()
        result = await done
        thread.join()
        return result

    assert run(main()) == "woken"


def test_the_coroutine_s_error_is_raised() -> None:
    """`run` raises what the coroutine raises, and leaves no loop behind."""

    async def main() -> None:
        await asyncio.sleep(1)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_a_loop_of_its_own_has_a_clock_of_its_own() -> None:
    """Without a clock given, each loop starts one, and its time is the loop's."""
    loop = JumpingLoop()
    try:
        loop.clock.advance(3)
        assert loop.time() == loop.clock.monotonic()
    finally:
        loop.close()
