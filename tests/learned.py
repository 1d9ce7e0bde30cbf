"""What tests of learned states share: states over a store in memory that can be slow or broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from skysail.errors import StoreError
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.selection.base import Policy
from skysail.selection.contexts import blend
from skysail.stats.application import ApplicationCounters
from skysail.stores.base import Add, ObservationWrite, Writes
from skysail.stores.memory import MemoryStore
from skysail.testing.clock import ManualClock
from skysail.types import Distribution, Observation, State

MODELS = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Plain(Policy):
    name: ClassVar[str] = "plain"

    def weigh(self, state: State) -> Distribution:
        return Distribution(state.models, (1.0 / len(state.models),) * len(state.models))


class Disk(MemoryStore):
    """A store that notes what is read, each read of which takes `seconds`, and fails while it is `broken`."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = 0.0
        self.broken = False
        self.reads: list[str] = []

    def get(self, key: str) -> State | None:
        self.reads.append(key)
        self.clock.advance(self.seconds)
        if self.broken:
            raise StoreError("cannot read the state file")
        return super().get(key)


class World:
    """States over a store in memory, with the ledger's and the loop's part played here."""

    def __init__(
        self, store: Disk | None = None, *, policy: Policy | None = None, contexts: int = 10_000, waiting: int = 100
    ) -> None:
        self.clock = ManualClock()
        self.store = store or Disk(self.clock)
        self.deferred: list[Callable[[], None]] = []
        self.observed = 0
        self.counters = ApplicationCounters()
        self.policy = policy or Plain()
        self.contexts = contexts
        loop: Any = SimpleNamespace(call_soon=self.deferred.append)
        self.reads = Reads(loop, self.clock, seconds=0.002, waiting=waiting)
        self.deploy()

    def deploy(self) -> None:
        """States that hold nothing, in the place of those before."""
        self.states = States(
            "app", self.policy, self.store, blend, reads=self.reads, counters=self.counters, contexts=self.contexts
        )

    def turn(self) -> None:
        """The next turn of the loop."""
        deferred, self.deferred[:] = list(self.deferred), []
        for call in deferred:
            call()

    def learn(self, context: str | None = None, models: tuple[str, ...] = MODELS, **losses: float) -> None:
        """One feedback, committed, and a turn of the loop."""
        delta = State(1.0, {model: (1.0, losses.get(model, 0.0)) for model in losses})
        self.commit(self.states.adds(delta, context, models), context)
        self.turn()

    def commit(self, adds: tuple[Add, ...], context: str | None = None) -> None:
        """A transaction, and its report."""
        self.states.applied(self.write(adds), context)

    def write(self, *feedback: tuple[Add, ...]) -> Mapping[str, State]:
        """A transaction that is not reported yet: what it made."""
        observations = []
        for adds in feedback:
            self.observed += 1
            observation = Observation(f"00-000001-{self.observed:08x}", b"1", None, 0.0)
            observations.append(ObservationWrite(observation, adds))
        return self.store.write(Writes(observations=observations)).states
