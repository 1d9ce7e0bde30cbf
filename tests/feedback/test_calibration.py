"""The calibrated confidence of an application, and its states in the store."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from skysail.errors import StoreError
from skysail.feedback.calibration import Calibration
from skysail.feedback.reads import Reads
from skysail.selection.conformal import make_conformal
from skysail.selection.losses import ZeroOne
from skysail.stores.base import ObservationWrite, Writes
from skysail.stores.memory import MemoryStore
from skysail.testing.clock import ManualClock
from skysail.types import Answer, Cover, Decision, Distribution, Observation, Output, State

MakeDecision = Callable[..., Decision]
TRUST = Distribution(("a", "b"), (0.5, 0.5))


class Disk(MemoryStore):
    """A store that counts what is read, and may fail at it."""

    broken = False
    reads = 0

    def get(self, key: str) -> State | None:
        self.reads += 1
        if self.broken:
            raise StoreError("cannot read the state file")
        return super().get(key)


class World:
    """A calibration over a store in memory, with the engine's and the ledger's part played here."""

    def __init__(
        self, make: MakeDecision, store: Disk | None = None, *, run: str = "", frontends: int = 1, **changes: Any
    ) -> None:
        self.make = make
        self.store = store or Disk()
        loop: Any = SimpleNamespace(call_soon=lambda _: None)
        settings = {"target": 0.9, "rate": 0.02, "forget": 0.998, **changes}
        conformal = make_conformal(ZeroOne(), **settings)
        self.calibration = Calibration(
            "app", "vote", conformal, self.store, Reads(loop, ManualClock()), run=run, frontends=frontends
        )
        self.rng = Random(5)
        self.observed = 0

    def ask(self, answer: bytes = b"7") -> Cover:
        """What is said of one query, whose second model always says 8."""
        said = {"a": Output(answer), "b": Output(b"8")}
        return self.calibration.cover(Answer(said["a"], 0.5, 0.5, ("a", "b")), said, TRUST, self.rng.random())

    def tell(self, cover: Cover | None, label: bytes | None = b"7", **changes: Any) -> int:
        """Feedback on a query; how many additions it made."""
        self.observed += 1
        observation = Observation(f"00-000001-{self.observed:08x}", label, None if label else 1.0, 0.0)
        adds = self.calibration.adds(self.make(**{"id": observation.id, "cover": cover, **changes}), observation)
        written = self.store.write(Writes(observations=[ObservationWrite(observation, adds)]))
        self.calibration.applied(written.states)
        return len(adds)


def test_what_was_learned_is_seen_by_the_next_query(make_decision: MakeDecision) -> None:
    """Ten labels are enough; what they taught is in the store, and was seen without reading it again."""
    world = World(make_decision)
    for _ in range(10):
        assert world.ask().level is None
        assert world.tell(world.ask()) == 2
    cover = world.ask()
    assert cover.confidence is not None
    assert cover.size == 1
    assert world.store.reads == 2
    assert World(make_decision, world.store).ask().level == cover.level
    assert world.store.scan("app/") == ["app/vote+conformal/labels", "app/vote+conformal/labels%200.9"]


def test_it_outlives_the_process(make_decision: MakeDecision) -> None:
    """Another object on the same store knows as much; the coverage is of all there ever was."""
    world = World(make_decision)
    for n in range(40):
        world.tell(world.ask(), b"7" if n % 2 else b"8")
    again = World(make_decision, world.store)
    assert again.calibration.tally() == world.calibration.tally()
    assert again.calibration.tally().judged == 30
    assert again.ask().confidence == pytest.approx(0.5, abs=0.03)


def test_another_target_corrects_anew_but_knows_the_table(make_decision: MakeDecision) -> None:
    """How far labels are does not depend on the target; what was corrected for it does."""
    world = World(make_decision)
    for _ in range(40):
        world.tell(world.ask())
    other = World(make_decision, world.store, target=0.95)
    assert other.ask().level == 0.95
    assert other.calibration.tally().judged == 0


def test_what_says_nothing_adds_nothing(make_decision: MakeDecision) -> None:
    """A reward does not tell the label; a decision from before has no set, one of another policy a set of its own."""
    world = World(make_decision)
    assert world.tell(world.ask(), None) == 0
    assert world.tell(None) == 0
    assert world.tell(world.calibration.nothing) == 0
    assert world.tell(world.ask(), policy="single") == 0
    assert world.store.scan("") == []


def test_corrections_shrink_with_the_lag_of_labels(make_decision: MakeDecision) -> None:
    """γ / (1 + γ · lag), the lag in queries; a decision of an earlier run, with a higher number, says nothing of it."""
    world = World(make_decision)
    for _ in range(20):
        world.tell(world.ask())
    assert world.ask().steps[1] == pytest.approx(-0.02 * 0.9)
    late = [world.ask() for _ in range(101)]
    world.tell(late[0])
    assert world.ask().steps[1] == pytest.approx(-0.02 * 0.9 / (1 + 0.02 * 10.0))
    before = world.ask().steps
    world.tell(Cover("labels", 0.5, (b"7",), 0.9, 0.9, (0.0, 0.0), 1, None, 100_000))
    assert world.ask().steps == before


def test_what_another_frontend_learned_is_seen_when_told(make_decision: MakeDecision) -> None:
    """Either of the two states that changed is reason to read both; what cannot be read anew stays as it was."""
    world = World(make_decision)
    for _ in range(20):
        world.tell(world.ask())
    other = World(make_decision, world.store)
    other.observed = 100
    known = other.ask().confidence
    for _ in range(20):
        world.tell(world.ask(), b"8")
    assert other.ask().confidence == known
    other.calibration.changed(["app/vote/", "app/vote+conformal/top"])
    assert other.ask().confidence == known
    world.store.broken = True
    other.calibration.changed(["app/vote+conformal/labels"])
    assert other.ask().confidence == known
    world.store.broken = False
    assert other.ask().confidence == world.ask().confidence != known
    for _ in range(20):
        world.tell(world.ask(), b"8")
    other.calibration.outdated()
    assert other.calibration.tally() == world.calibration.tally()


def test_the_lag_is_of_decisions_made_here(make_decision: MakeDecision) -> None:
    """Another frontend's count says nothing of this one's; with two, twice as many queries are answered meanwhile."""
    world = World(make_decision, run="00-000001-", frontends=2)
    for _ in range(20):
        world.tell(world.ask())
    late = [world.ask() for _ in range(101)]
    before = world.ask().steps
    world.tell(late[0], id="01-000001-00000000")
    assert world.ask().steps == before
    world.tell(late[1], id="00-000001-0000ffff")
    assert world.ask().steps[1] == pytest.approx(-0.02 * 0.9 / (1 + 0.02 * 2 * 10.1))


def test_a_store_that_cannot_be_read_stops_nothing(make_decision: MakeDecision) -> None:
    """Nothing is known until it can be read, which is tried again for each query; labels are learned from meanwhile."""
    world = World(make_decision)
    for _ in range(20):
        world.tell(world.ask())
    again = World(make_decision, world.store)
    again.observed = 20
    world.store.broken = True
    for _ in range(2):
        cover = again.ask()
        assert cover.confidence is None
        again.tell(cover)
    world.store.broken = False
    assert again.ask().confidence == World(make_decision, world.store).ask().confidence
    assert again.calibration.tally().judged == 10
    reads = world.store.reads
    assert again.ask().confidence is not None
    assert world.store.reads == reads


def test_what_was_made_for_another_target_is_left_alone(make_decision: MakeDecision) -> None:
    """A deployment may have changed the target since: the table is common to both, what was corrected is not."""
    world = World(make_decision)
    for _ in range(40):
        world.tell(world.ask())
    other = World(make_decision, world.store, target=0.95)
    other.ask()
    cover = world.ask()
    world.observed += 1
    observation = Observation(f"00-000001-{world.observed:08x}", b"7", None, 0.0)
    adds = world.calibration.adds(make_decision(id=observation.id, cover=cover), observation)
    written = world.store.write(Writes(observations=[ObservationWrite(observation, adds)]))
    other.calibration.applied(written.states)
    assert other.calibration.tally().judged == 0
    fresh = World(make_decision, world.store, target=0.95)
    assert other.calibration.tally() == fresh.calibration.tally()
    assert other.ask().confidence == fresh.ask().confidence
