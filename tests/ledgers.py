"""What tests of the ledger share: observations, and ways to wait for its thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from skysail.config.schema import LedgerConfig
from skysail.errors import StoreError
from skysail.feedback.buffer import LedgerLimits
from skysail.feedback.ledger import Ledger
from skysail.stores.base import Add, ObservationWrite, Store
from skysail.testing.clock import ManualClock
from skysail.types import Observation, State

QUICK = LedgerLimits(flush=0.001, retry=0.001, retry_most=0.002)
KEY = "digits/vote/"


class Trick(Protocol):
    """What the conftest's store offers beside being one."""

    broken: bool
    gate: asyncio.Event
    transactions: list[object]


def name(counter: int, boot: int = 1) -> str:
    """An id of the first frontend."""
    return f"00-{boot:06x}-{counter:08x}"


def feedback(counter: int) -> ObservationWrite:
    """An observation that adds one feedback to one state."""
    add = Add(KEY, State(1.0, {"a": (1.0, 0.5)}), 1.0)
    return ObservationWrite(Observation(name(counter), b"7", None, 0.0), (add,))


def observe(ledger: Ledger, write: ObservationWrite) -> asyncio.Future[bool | StoreError]:
    """Observe, and say what becomes of it."""
    outcome: asyncio.Future[bool | StoreError] = asyncio.get_running_loop().create_future()
    ledger.observe(write, lambda kept, _: outcome.set_result(kept))
    return outcome


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the ledger's thread is to bring about."""
    while not condition():  # noqa: ASYNC110 - it is the thread's work that is waited for, not an event of the loop
        await asyncio.sleep(0.001)


async def written(ledger: Ledger) -> None:
    """Wait until nothing waits to be written."""
    await until(lambda: not (ledger.statistics().pending or ledger.statistics().observations))


@asynccontextmanager
async def running(store: Store, limits: LedgerLimits | None = QUICK, **config: float) -> AsyncIterator[Ledger]:
    """A ledger over a store."""
    settings = LedgerConfig(**config)  # type: ignore[arg-type]
    async with Ledger(store, ManualClock(), settings, limits=limits) as ledger:
        yield ledger
