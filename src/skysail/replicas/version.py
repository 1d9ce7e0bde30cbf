"""One version of a model as a frontend serves it: its cache front, its queue, its replicas, and whether it can
answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skysail.batching.batcher import Batcher
from skysail.cache.cached import Cached
from skysail.calls import Call, Predictor
from skysail.replicas.replica import Replica
from skysail.types import Failure, ModelRef, Outcome
from skysail.wire.messages import Hello

__all__ = ["Version"]

_PROBE_SECONDS = 10.0


class _Probe(Call):
    """A real row, tried on a version before it becomes current."""

    __slots__ = ("done",)

    def __init__(self, row: bytes, binary: bool, now: float, done: Callable[[Outcome], None]) -> None:
        super().__init__(row, binary, now, now + _PROBE_SECONDS)
        self.done = done

    def settle(self, outcome: Outcome, now: float) -> None:
        self.over = True
        self.done(outcome)


class Version:
    """Answers calls for one model version, while at least one of its replicas is ready.

    `run` owns the connections of `replicas`, which may come and go. With `cache` off nothing is stored and
    no evaluation shared. `on_change` is called whenever `ready` or what the workers say of themselves changes.
    """

    def __init__(
        self, ref: ModelRef, batcher: Batcher, cached: Cached, on_change: Callable[[Version], None], *, cache: bool
    ) -> None:
        self.model = ref
        self.ref = str(ref)
        self.batcher = batcher
        self.cached: Predictor = cached if cache else batcher
        self.direct: Predictor = batcher
        self.sharing = cached.statistics
        self.replicas: list[Replica] = []
        self.ready = False
        self.hello: Hello | None = None
        self._on_change = on_change
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}

    def add(self, replica: Replica) -> None:
        """Give the queue one more replica to load."""
        self.replicas.append(replica)
        self.batcher.stations.append(replica.station)
        self._start(replica)

    async def remove(self, replica: Replica) -> None:
        """Part from a replica, once it has finished what it has in hand."""
        self.replicas.remove(replica)
        await self.batcher.remove(replica.station)
        self._running.pop(replica.name).cancel()
        self._changed()

    async def run(self) -> None:
        """Keep the connections to the workers until cancelled; then tell whoever still waits."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for replica in self.replicas:
                    self._start(replica)
        finally:
            self._tasks = None
            self.ready = False
            self.batcher.close()

    @property
    def complete(self) -> bool:
        """Whether every replica is ready."""
        return bool(self.replicas) and all(replica.station.ready for replica in self.replicas)

    @property
    def p95(self) -> float:
        """The seconds within which 95 of 100 calls of late were answered; `inf` while that is not known."""
        return self.batcher.p95

    def wait(self, now: float) -> float:
        """The seconds after which a row asked for now is likely to be answered; `inf` where nothing can be said."""
        return self.batcher.wait(now)

    @property
    def traceback(self) -> str:
        """The last exception of the model, from whichever replica had one."""
        return next((replica.traceback for replica in self.replicas if replica.traceback), "")

    def greeted(self, hello: Hello) -> None:
        """A worker has loaded the model."""
        self.hello = hello
        self._changed()

    def lost(self) -> None:
        """A worker is gone."""
        self._changed()

    def probe(self, row: bytes, binary: bool, now: float, done: Callable[[Failure | None], None]) -> None:
        """Try a row; `done` hears of the failure if the model itself raised or did not answer."""

        def judge(outcome: Outcome) -> None:
            fault = isinstance(outcome, Failure) and outcome.code != "invalid_input"
            done(outcome if fault else None)  # type: ignore[arg-type]

        self.direct.ask(_Probe(row, binary, now, judge))

    def _start(self, replica: Replica) -> None:
        if self._tasks is not None:
            self._running[replica.name] = self._tasks.create_task(replica.run())

    def _changed(self) -> None:
        self.ready = any(replica.station.ready for replica in self.replicas)
        self._on_change(self)
