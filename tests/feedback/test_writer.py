"""The thread that blocks for the ledger."""

from __future__ import annotations

import asyncio
import threading

import pytest

from skysail.feedback.writer import Writer


def test_jobs_run_in_order_in_one_thread_and_report_on_the_loop() -> None:
    """Jobs run one after another in a thread of their own; results arrive on the loop, in the same order."""

    async def main() -> None:
        writer = Writer()
        writer.start()
        ran: list[tuple[int, int]] = []
        told: list[tuple[int, object]] = []
        for n in range(5):
            writer.submit(
                lambda n=n: ran.append((n, threading.get_ident())) or n,  # type: ignore[misc, func-returns-value]
                lambda result: told.append((threading.get_ident(), result)),
            )
        assert await writer.call(lambda: "last") == "last"
        assert [n for n, _ in ran] == list(range(5))
        assert len({thread for _, thread in ran} | {threading.get_ident()}) == 2
        assert told == [(threading.get_ident(), n) for n in range(5)]
        await writer.aclose()
        await writer.aclose()

    asyncio.run(main())


def test_an_exception_is_a_result() -> None:
    """A job that raises does not end the thread: whoever submitted it gets the exception."""

    async def main() -> None:
        writer = Writer()
        writer.start()
        with pytest.raises(ZeroDivisionError):
            await writer.call(lambda: 1 // 0)
        assert await writer.call(lambda: 1) == 1
        await writer.aclose()

    asyncio.run(main())


def test_closing_finishes_what_was_submitted() -> None:
    """Nothing submitted before `aclose` is left undone, and the thread is gone afterwards."""

    async def main() -> None:
        writer = Writer()
        writer.start()
        done: list[int] = []
        for n in range(3):
            writer.submit(lambda n=n: done.append(n), lambda _: None)  # type: ignore[misc]
        await writer.aclose()
        assert done == [0, 1, 2]
        assert not [thread for thread in threading.enumerate() if thread.name == "skysail-ledger"]

    asyncio.run(main())
