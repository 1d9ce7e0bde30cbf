"""The ledger: decisions and observations on their way to the store, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from skysail.clock import Clock
from skysail.config.schema import LedgerConfig
from skysail.errors import StoreError
from skysail.feedback.buffer import RECENT, Buffer, Done, Flight, Flushed, LedgerLimits
from skysail.feedback.records import complete, decode_decision
from skysail.feedback.writer import Writer
from skysail.ids import id_prefix
from skysail.stores.base import Completion, ObservationWrite, Store, Written
from skysail.types import Decision, Observation, State

__all__ = ["Ledger", "LedgerStatistics"]

_PRUNE_EVERY = 60.0
"""Seconds between prunings; one comes before that when an eighth of the budget has been written."""


@dataclass(frozen=True, kw_only=True)
class LedgerStatistics:
    """What the ledger has done, and what it has yet to do."""

    pending: int
    """Decisions not written yet."""

    observations: int
    """Observations not written yet."""

    commits: int
    """Transactions written."""

    written: int
    """Decisions written."""

    observed: int
    """Observations written that were the first of their id."""

    dropped: int
    """Decisions given up because the store could not take them."""

    failing: str | None
    """Why the last transaction was not written; `None` if it was."""

    commit_seconds: float
    """How long the last transaction took."""


class Ledger:
    """What a frontend remembers of its answers, made durable by the group commits of one thread.

    `record` never waits: a decision is buffered and written with others within `limits.flush`. `observe` begins a
    commit at once, or joins the next while one is running; since every commit takes all decisions that are buffered,
    no observation is written before its decision. While the store cannot write, observations fail at once, decisions
    wait (the oldest are dropped beyond a bound), and commits are tried again until one succeeds.

    The store is opened and closed by its owner. All methods belong to the event loop. Nothing runs, and no timer is
    set, while there is nothing to write.
    """

    boot: int
    """The number of this run, which is in the ids of its decisions; there after `start`."""

    on_commit: Callable[[Mapping[str, State]], None] | None
    """Told of each transaction and the states that it made, after those whose observations are in it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: LedgerConfig,
        *,
        frontend: int = 0,
        limits: LedgerLimits | None = None,
    ) -> None:
        self.store = store
        self.frontend = frontend
        self.on_commit = None
        self._clock = clock
        self._config = config
        self._limits = limits or LedgerLimits(recent=min(RECENT, config.bytes // 4))
        self._buffer = Buffer(self._limits)
        self._writer = Writer()
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.Handle | None = None
        self._idle = asyncio.Event()
        self._resting = False
        self._closed = True
        self._failing: StoreError | None = None
        self._retry = self._limits.retry
        self._prune_at = 0.0
        self._unpruned = 0
        self._commits = self._written = self._observed = 0
        self._commit_seconds = 0.0

    async def start(self) -> None:
        """Start the thread, and begin a run: take a boot number that no run had before. Raises `StoreError`."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        try:
            self.boot = await self._writer.call(partial(self.store.next_boot, self.frontend))
        except BaseException:
            await self._writer.aclose()
            raise
        self._buffer.prefix = id_prefix(self.frontend, self.boot)
        self._prune_at = self._clock.monotonic() + _PRUNE_EVERY
        self._closed = False
        self._idle.set()

    async def aclose(self) -> None:
        """Write what is buffered, and end the thread; a store that cannot write is tried once. Harmless when closed."""
        if self._closed:
            return
        await self._idle.wait()
        while not self._buffer.empty:
            self._resting = False
            self._commit()
            await self._idle.wait()
            if self._failing is not None:
                break
        self._closed = True
        self._disarm()
        await self._writer.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def record(self, decision: Decision) -> None:
        """Keep a decision of this run, which from now on belongs to the ledger."""
        self._buffer.record(decision)
        if self._timer is None and self._buffer.flight is None:
            self._arm(self._limits.flush)

    def complete(self, id: str, model: int, output: bytes | None, failure: str | None, latency: float) -> None:
        """Add what a model said after its decision had been recorded; `model` is its place in `asked`."""
        self._buffer.complete(Completion(id, model, output, failure, latency))
        if self._timer is None and self._buffer.flight is None:
            self._arm(self._limits.flush)

    def observe(self, write: ObservationWrite, done: Done) -> None:
        """Write an observation and what it adds to the states; `done` is called when it is durable, or cannot be.

        `done` gets `True` for the first observation of an id, `False` for a later one (which changed nothing), or the
        `StoreError` because of which it is not kept; and the states that its transaction made. Transactions are told in
        their order, each before the next begins: so these states are the newest that this frontend made. `done` is
        never called before this method has returned.
        """
        if self._resting or self._closed or len(self._buffer.observations) >= self._limits.observations:
            self._loop.call_soon(done, self._refusal(), {})
            return
        self._buffer.observe(write, done)
        if self._buffer.flight is None and len(self._buffer.observations) == 1:
            self._soon()

    @property
    def committing(self) -> bool:
        """Whether a transaction is under way of which nothing has been told yet."""
        return self._buffer.flight is not None

    def flush(self, flushed: Flushed) -> None:
        """Write the decisions that are here now without waiting for others; `flushed` hears whether they are written.

        For another frontend, that was given feedback on one of them. `flushed` may be called at once.
        """
        if self._resting or (self._closed and not self._buffer.empty):
            flushed(False)
        elif not self._buffer.tell_flushed(flushed):
            flushed(True)
        elif self._buffer.flight is None:
            self._soon()

    def find(self, id: str) -> Decision | None:
        """A decision with all late outputs that came; `None` if it is unknown or older than is kept. Not to be changed.

        One that is not in memory is read from the store here and now, in about 0.1 ms. Raises `StoreError`.
        """
        decision = self._buffer.find(id)
        if decision is None:
            record = self.store.find(id)
            if record is None:
                return None
            decision = decode_decision(record)
            complete(decision, self.store.completions(id))
            complete(decision, self._buffer.late(id))
        return decision if decision.time >= self._clock.wall() - self._config.keep else None

    def observation(self, id: str) -> Observation | None:
        """What was observed of a decision, once that is durable. Raises `StoreError`."""
        return self.store.observation(id)

    def statistics(self) -> LedgerStatistics:
        """A snapshot."""
        flight = self._buffer.flight
        return LedgerStatistics(
            pending=self._buffer.decisions,
            observations=len(self._buffer.observations) + (len(flight.observations) if flight else 0),
            commits=self._commits,
            written=self._written,
            observed=self._observed,
            dropped=self._buffer.dropped,
            failing=None if self._failing is None else self._failing.message,
            commit_seconds=self._commit_seconds,
        )

    def _arm(self, delay: float) -> None:
        if not self._closed:
            self._timer = self._loop.call_later(delay, self._due)

    def _soon(self) -> None:
        """Commit not now but in the next turn: the rest of a list of observations comes into the same transaction."""
        self._disarm()
        self._timer = self._loop.call_soon(self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._resting = False
        self._commit()

    def _commit(self) -> None:
        """Give the writer all that waits, if it is free and there is something."""
        if self._idle.is_set() and not self._buffer.empty:
            self._disarm()
            self._idle.clear()
            flight = self._buffer.take()
            self._writer.submit(partial(self._write, flight), partial(self._written_back, flight))

    def _write(self, flight: Flight) -> tuple[Written, float]:
        """In the thread: one transaction, and how long it took."""
        started = self._clock.monotonic()
        written = self.store.write(flight.writes(self.frontend, self.boot, self._clock.wall()))
        return written, self._clock.monotonic() - started

    def _written_back(self, flight: Flight, result: tuple[Written, float] | Exception) -> None:
        """On the loop: the transaction has been written, or has not."""
        self._idle.set()
        if isinstance(result, Exception):
            self._failed(result)
            return
        written, self._commit_seconds = result
        self._commits += 1
        self._written += len(flight.records)
        self._observed += sum(written.first)
        self._failing, self._retry = None, self._limits.retry
        self._buffer.landed()
        for (_, done), first in zip(flight.observations, written.first, strict=True):
            self._tell(done, first, written.states)
        for flushed in flight.flushed:
            flushed(True)
        if self.on_commit is not None:
            self.on_commit(written.states)
        self._unpruned += flight.size
        if self._clock.monotonic() >= self._prune_at or self._unpruned > self._config.bytes // 8:
            self._prune()
        else:
            self._go_on()

    def _failed(self, error: Exception) -> None:
        """Refuse observations, and rest until the next try."""
        if not isinstance(error, StoreError):
            error = StoreError(f"a transaction failed: {error!r}; this is a fault of a policy, or of Skysail")
        self._failing = error
        waiting = self._buffer.not_flushed()
        for done in self._buffer.returned():
            self._tell(done, error, {})
        for flushed in waiting:
            flushed(False)
        self._resting = True
        self._disarm()
        self._arm(self._retry)
        self._retry = min(2 * self._retry, self._limits.retry_most)

    def _go_on(self) -> None:
        """After a job: begin the next commit if somebody waits for it, else see to it that it comes in time."""
        if self._buffer.observations or self._buffer.flushed:
            self._commit()
        elif not self._buffer.empty and self._timer is None:
            self._arm(self._limits.flush)

    def _prune(self) -> None:
        self._unpruned = 0
        self._idle.clear()
        oldest = self._clock.wall() - self._config.keep
        self._writer.submit(partial(self.store.prune, oldest, self._config.bytes), self._pruned)

    def _pruned(self, result: int | Exception) -> None:
        """On the loop: some blocks are gone, or will be tried again later. Between two prunings comes a commit."""
        self._idle.set()
        more = isinstance(result, int) and result > 0 and not self._closed
        self._prune_at = self._clock.monotonic() + (0.0 if more else _PRUNE_EVERY)
        self._go_on()
        if more and self._idle.is_set():
            self._prune()

    def _refusal(self) -> StoreError:
        if self._failing is not None:
            return self._failing
        if self._closed:
            return StoreError("the ledger is closed: the server is stopping")
        return StoreError(f"{len(self._buffer.observations)} observations are waiting to be written; try again later")

    def _tell(self, done: Done, outcome: bool | StoreError, states: Mapping[str, State]) -> None:
        """Call back; the others are told even where one of those told raises."""
        try:
            done(outcome, states)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is reported
            context = {"message": "the receiver of an observation's outcome failed", "exception": error}
            self._loop.call_exception_handler(context)
