"""What a policy sees of what was learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import StoreError
from skysail.feedback.states import States, state_key
from skysail.selection.base import Policy
from skysail.selection.contexts import blend
from skysail.stores.base import ObservationWrite, Seed, Writes
from skysail.stores.memory import MemoryStore
from skysail.types import Distribution, Observation, State

MODELS = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Plain(Policy):
    name: ClassVar[str] = "plain"

    def weigh(self, state: State) -> Distribution:
        return Distribution(state.models, (1.0 / len(state.models),) * len(state.models))


class World:
    """States over a store in memory, with the ledger's part played here: seeds and additions are written at once."""

    def __init__(self, store: MemoryStore | None = None, *, forget: float = 1.0, contexts: int = 10_000) -> None:
        self.store = store or MemoryStore()
        self.seeds: list[Seed] = []
        self.observed = 0
        self.states = States("app", Plain(forget=forget), self.store, self, blend, contexts=contexts)

    def seed(self, seed: Seed) -> None:
        self.seeds.append(seed)

    def learn(self, context: str | None = None, models: tuple[str, ...] = MODELS, **losses: float) -> None:
        """One feedback, committed."""
        delta = State(1.0, {model: (1.0, losses.get(model, 0.0)) for model in losses})
        adds = self.states.adds(delta, context, models)
        self.observed += 1
        observation = Observation(f"00-000001-{self.observed:08x}", b"1", None, 0.0)
        self.store.write(Writes(seeds=self.seeds, observations=[ObservationWrite(observation, adds)]))
        self.seeds = []
        self.states.applied(adds)


def test_nothing_learned_is_the_initial_state() -> None:
    """Before any feedback the policy sees its own initial state, in any context, and nothing is written."""
    world = World()
    assert world.states.view(None, MODELS) == Plain().initial(MODELS)
    assert world.states.view("user", MODELS) == Plain().initial(MODELS)
    assert world.store.scan("") == []
    assert world.seeds == []


def test_feedback_is_seen_once_it_is_committed() -> None:
    """What was committed is in the next view; both models have a row though only one was judged."""
    world = World()
    world.states.view(None, MODELS)
    world.learn(a=0.5)
    assert world.states.view(None, MODELS) == State(1.0, {"a": (1.0, 0.5), "b": (0.0, 0.0)})


def test_the_view_is_the_same_object_until_something_is_learned() -> None:
    """What a policy derives from a state lives as long as the state: views are not made anew for each query."""
    world = World()
    for context in (None, "user"):
        before = world.states.view(context, MODELS)
        assert world.states.view(context, MODELS) is before
        world.learn("user", a=1.0)
        after = world.states.view(context, MODELS)
        assert after is not before
        assert world.states.view(context, MODELS) is after


def test_a_context_sees_its_own_and_a_little_of_everyones() -> None:
    """A context's view is the blend of its own state and everybody's; each feedback is in both."""
    world = World()
    for _ in range(30):
        world.learn("one", a=1.0)
    world.learn("two", a=0.0)
    everyone = State(31.0, {"a": (31.0, 30.0), "b": (0.0, 0.0)})
    assert world.states.view(None, MODELS) == everyone
    own = State(1.0, {"a": (1.0, 0.0), "b": (0.0, 0.0)})
    assert world.states.view("two", MODELS) == blend(own, everyone)
    assert world.states.view("unheard of", MODELS) == blend(None, everyone)


def test_only_the_candidates_are_seen() -> None:
    """Rows of models that cannot be asked now are kept but not shown; the order is that of the candidates."""
    world = World()
    world.learn(a=1.0, b=0.5)
    assert world.states.view(None, ("b",)) == State(1.0, {"b": (1.0, 0.5)})
    assert world.states.view(None, ("b", "a")).models == ("b", "a")
    assert world.states.view(None, MODELS).models == MODELS


def test_a_new_model_enters_at_the_average() -> None:
    """It is seen at the average at once; the first feedback writes its row, before what that feedback adds."""
    world = World()
    world.learn(a=1.0, b=0.0)
    three = (*MODELS, "new")
    assert world.states.view(None, three).sums["new"] == (1.0, 0.5)
    assert world.store.get(state_key("app", "plain", None)) == State(1.0, {"a": (1.0, 1.0), "b": (1.0, 0.0)})
    world.learn(models=three, new=1.0)
    assert world.states.view(None, three).sums["new"] == (2.0, 1.5)
    world.learn(models=three, a=1.0)
    assert world.states.view(None, three).sums["new"] == (2.0, 1.5)


def test_seeds_are_sent_once() -> None:
    """Several feedbacks before the first of them is committed do not send the same rows again."""
    world = World()
    world.states.adds(State(1.0), "user", MODELS)
    assert len(world.seeds) == 4
    world.states.adds(State(1.0), "user", MODELS)
    assert len(world.seeds) == 4


def test_feedback_is_forgotten_by_each_state_on_its_own() -> None:
    """Both additions scale what was there by the policy's forgetting factor."""
    world = World(forget=0.5)
    world.learn("one", a=1.0)
    world.learn("one", a=1.0)
    world.learn("two", a=1.0)
    counts = {key: state.count for key in world.store.scan("") if (state := world.store.get(key))}
    assert counts == {"app/plain/": 1.75, "app/plain/one": 1.5, "app/plain/two": 1.0}


def test_memory_is_what_the_store_says() -> None:
    """What another process committed is seen with the next own feedback, and a restart changes nothing."""
    world = World()
    world.learn("user", a=1.0)
    other = World(world.store)
    other.observed = 100
    other.learn("user", b=1.0)
    world.observed = 200
    world.learn("user", b=1.0)
    views = [w.states.view("user", MODELS) for w in (world, World(world.store))]
    assert views[0] == views[1]
    assert views[0].sums["b"] == (4.0, 4.0)


def test_contexts_in_memory_are_bounded() -> None:
    """Of many contexts only some are in memory; all of them are still right."""
    world = World(contexts=10)
    for n in range(100):
        world.learn(str(n), a=1.0)
    assert len(world.states._held) <= 10
    assert len(world.states._views) <= 10
    own = State(1.0, {"a": (1.0, 1.0), "b": (0.0, 0.0)})
    assert world.states.view("3", MODELS) == blend(own, world.states.view(None, MODELS))


def test_a_store_that_cannot_be_read_stops_nothing() -> None:
    """The state is taken as it was last known; what was never read counts as never learned."""
    world = World()
    world.learn("user", a=1.0)
    known = world.states.view(None, MODELS)

    def get(key: str) -> State | None:
        raise StoreError("cannot read")

    read, world.store.get = world.store.get, get  # type: ignore[method-assign]
    world.learn(a=1.0)
    assert world.states.view(None, MODELS) == known
    assert world.states.view("cold", MODELS) == blend(None, known)
    world.store.get = read  # type: ignore[method-assign]
    world.learn(a=1.0)
    assert world.states.view(None, MODELS).count == 3.0


@given(st.lists(st.none() | st.text(min_size=1, max_size=9), unique=True, max_size=5))
def test_keys_are_apart(contexts: list[str | None]) -> None:
    """Each context has a key of its own, of plain characters, below its application and policy."""
    keys = [state_key("app", "plain", context) for context in contexts]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert key.isascii()
        assert key.isprintable()
        assert key.startswith("app/plain/")
        assert key.count("/") == 2
