"""What a policy sees of what was learned."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st
from learned import MODELS, Disk, Plain, World

from skysail.feedback.states import state_key
from skysail.selection.contexts import blend
from skysail.testing.clock import ManualClock
from skysail.types import State


def test_nothing_learned_is_the_initial_state() -> None:
    """Before any feedback the policy sees its own initial state, in any context, and nothing is written."""
    world = World()
    assert world.states.view(None, MODELS) == Plain().initial(MODELS)
    assert world.states.view("user", MODELS) == Plain().initial(MODELS)
    assert world.store.scan("") == []


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


def test_additions_are_blind() -> None:
    """Adding reads nothing: what rows a state lacks is found out where it is added to."""
    world = World()
    adds = world.states.adds(State(1.0, {"a": (1.0, 0.5)}), "user", MODELS)
    assert world.store.reads == []
    world.commit(adds, "user")
    assert world.store.reads == []
    assert world.store.get(state_key("app", "plain", "user")) == State(1.0, {"a": (1.0, 0.5), "b": (0.0, 0.0)})


def test_models_enter_by_what_is_committed() -> None:
    """Two frontends that know nothing of each other: a new model enters once, at the average as it is then."""
    one = World()
    other = World(one.store)
    other.observed = 100
    one.learn(a=1.0, b=0.0)
    three = (*MODELS, "new")
    delta = State(1.0, {"new": (1.0, 1.0)})
    adds = [world.states.adds(delta, None, three) for world in (one, other)]
    one.commit(adds[0])
    other.commit(adds[1])
    assert one.store.get(state_key("app", "plain", None)) == State(
        3.0, {"a": (1.0, 1.0), "b": (1.0, 0.0), "new": (3.0, 2.5)}
    )


class Clumsy(Plain):
    name: ClassVar[str] = "clumsy"

    def add_model(self, state: State, model: str) -> State:
        raise KeyError(model)


def test_a_policy_that_raises_fails_no_transaction() -> None:
    """Its new models enter as those of other policies do, and the operator is told."""
    world = World(policy=Clumsy())
    world.learn(a=1.0, b=0.0)
    world.learn(models=(*MODELS, "new"), new=1.0)
    assert world.states.view(None, ("new",)).sums == {"new": (2.0, 1.5)}
    assert world.counters.policy_failures == 1
    assert "add_model" in (world.counters.policy_traceback or "")


def test_feedback_is_forgotten_by_each_state_on_its_own() -> None:
    """Both additions scale what was there by the policy's forgetting factor."""
    world = World(policy=Plain(forget=0.5))
    world.learn("one", a=1.0)
    world.learn("one", a=1.0)
    world.learn("two", a=1.0)
    counts = {key: state.count for key in world.store.scan("") if (state := world.store.get(key))}
    assert counts == {"app/plain/": 1.75, "app/plain/one": 1.5, "app/plain/two": 1.0}


def test_feedback_is_seen_without_reading() -> None:
    """What memory holds is replaced by what the transaction made: also what was unknown, and that of all."""
    world = World()
    for context in (None, "known", "new"):
        world.states.view(context, MODELS)
    world.store.reads.clear()
    for _ in range(2):
        world.learn("known", a=1.0)
    world.learn("new", a=0.0)
    everyone = State(3.0, {"a": (3.0, 2.0), "b": (0.0, 0.0)})
    assert world.states.view(None, MODELS) == everyone
    known, new = State(2.0, {"a": (2.0, 2.0), "b": (0.0, 0.0)}), State(1.0, {"a": (1.0, 0.0), "b": (0.0, 0.0)})
    assert world.states.view("known", MODELS) == blend(known, everyone)
    assert world.states.view("new", MODELS) == blend(new, everyone)
    assert world.store.reads == []


def test_feedback_brings_no_context_into_memory() -> None:
    """A context that no query names costs no memory, however much feedback it is given; its next query reads it."""
    world = World()
    world.states.view(None, MODELS)
    for n in range(50):
        world.learn(str(n), a=1.0)
    assert world.states.held == 0
    world.store.reads.clear()
    world.states.view("7", MODELS)
    assert world.store.reads == [state_key("app", "plain", "7")]


def test_feedback_of_one_transaction_is_seen_with_its_first_report() -> None:
    """Each of its observations is told of all it made; what came of the others may be seen before they are told."""
    world = World()
    for context in ("one", "two"):
        world.states.view(context, MODELS)
    delta = State(1.0, {"a": (1.0, 1.0)})
    made = world.write(*[world.states.adds(delta, context, MODELS) for context in ("one", "two", "one")])
    world.states.applied(made, "one")
    everyone = world.states.view(None, MODELS)
    assert everyone.count == 3.0
    assert world.states.view("one", MODELS) == blend(State(2.0, {"a": (2.0, 2.0), "b": (0.0, 0.0)}), everyone)
    assert world.states.view("two", MODELS) == blend(None, everyone)
    world.states.applied(made, "two")
    assert world.states.view("two", MODELS) == blend(State(1.0, {"a": (1.0, 1.0), "b": (0.0, 0.0)}), everyone)
    views = [world.states.view(context, MODELS) for context in (None, "one", "two")]
    world.states.applied(made, "one")
    assert all(world.states.view(c, MODELS) is v for c, v in zip((None, "one", "two"), views, strict=True))


def test_what_was_made_for_another_policy_is_left_alone() -> None:
    """A deployment may have put another policy in the place of that which the feedback was for."""
    world, other = World(), World(policy=Clumsy())
    for context in (None, "user"):
        other.states.view(context, MODELS)
    made = world.write(world.states.adds(State(1.0, {"a": (1.0, 1.0)}), "user", MODELS))
    other.states.applied(made, "user")
    assert other.states.view("user", MODELS) == Plain().initial(MODELS)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["view", "learn", "learn", "report", "turn", "slow", "broken", "swap"]),
        st.sampled_from([None, "one", "two", "three", "four"]),
        st.sampled_from([0.0, 0.25, 1.0]),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 8), st.sampled_from([1.0, 0.5]))
def test_memory_is_what_was_committed(steps: list[tuple[str, str | None, float]], contexts: int, keep: float) -> None:
    """Whatever was viewed, put off, let go, not readable or deployed meanwhile, and however many observations one
    transaction has: once it is reported, every view is as if it had been read from the store.
    """
    world = World(policy=Plain(forget=keep), contexts=contexts)
    waiting: list[tuple[str | None, State]] = []
    for step, context, number in steps:
        world.store.seconds, world.store.broken = 0.0005, False
        if step == "view":
            world.states.view(context, MODELS)
        elif step == "learn":
            waiting.append((context, State(1.0, {"a": (1.0, number)})))
        elif step == "turn":
            world.turn()
        elif step == "slow":
            world.store.seconds = 0.01
            world.states.view(context, MODELS)
        elif step == "broken":
            world.store.broken = True
            world.states.view(context, MODELS)
            world.turn()
        elif step == "swap":
            world.deploy()
        else:
            made = world.write(*[world.states.adds(delta, c, MODELS) for c, delta in waiting])
            world.states.view(context, MODELS)  # a query between the commit and its report
            for c, _ in waiting:
                world.states.applied(made, c)
            waiting.clear()
    world.store.seconds, world.store.broken = 0.0, False
    world.turn()
    if any(step == "broken" for step, *_ in steps):  # what could not be read is tried again after the next commit
        world.learn("five", b=1.0)
    fresh = World(world.store, policy=world.policy)
    for context in (None, "one", "two", "three", "four"):
        assert world.states.view(context, MODELS) == fresh.states.view(context, MODELS)


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
    """Of many contexts only those used last are in memory; the others are right when they are read again."""
    world = World(contexts=10)
    for n in range(100):
        world.learn(str(n), a=1.0)
        world.states.view(str(n), MODELS)
    assert world.states.held <= 10
    world.store.reads.clear()
    own = State(1.0, {"a": (1.0, 1.0), "b": (0.0, 0.0)})
    everyone = world.states.view(None, MODELS)
    assert world.states.view("99", MODELS) == world.states.view("3", MODELS) == blend(own, everyone)
    assert world.store.reads == [state_key("app", "plain", "3")]


def test_contexts_of_many_models_count_for_more() -> None:
    """What is held is bounded for four thousand models too: eight rows count as one context."""
    models = tuple(f"m{n}" for n in range(80))
    world = World(contexts=44)
    for n in range(50):
        world.learn(str(n), models, m0=1.0)
        world.states.view(str(n), models)
    assert world.states.held <= 4


def test_contexts_that_become_known_count_for_what_they_are_then() -> None:
    """Many contexts that nobody knew are held; once they are given feedback they weigh more, and fewer are held."""
    models = tuple(f"m{n}" for n in range(80))
    world = World(contexts=44)
    for n in range(20):
        world.states.view(str(n), models)
    assert world.states.held == 20
    for n in range(20):
        world.learn(str(n), models, m0=1.0)
    assert world.states.held <= 4


def test_contexts_nobody_knows_share_one_view() -> None:
    """Contexts without feedback cost no view of their own, however many come by."""
    world = World()
    world.learn("user", a=1.0)
    views = [world.states.view(context, MODELS) for context in ("one", "two", "one")]
    assert views[0] is views[1] is views[2]
    assert views[0] == blend(None, world.states.view(None, MODELS))


# What other frontends learn


def test_what_another_has_learned_is_read_when_it_is_needed() -> None:
    """Told which states changed, the next view is of what is in the store; contexts that nobody asks are not read."""
    world = World()
    other = World(world.store)
    other.observed = 100
    for context in (None, "one", "two", "three"):
        world.states.view(context, MODELS)
    unchanged = world.states.view("three", MODELS)
    other.learn("one", a=1.0)
    other.learn("two", b=1.0)
    assert world.states.view("three", MODELS) is unchanged
    world.store.reads.clear()
    world.states.changed([state_key("app", "plain", context) for context in (None, "one", "two", "never asked")])
    assert world.store.reads == []
    assert world.states.view("one", MODELS) == other.states.view("one", MODELS)
    assert world.states.view("three", MODELS) == blend(None, other.states.view(None, MODELS))
    assert sorted(set(world.store.reads)) == [state_key("app", "plain", context) for context in (None, "one")]


def test_what_another_learned_of_other_states_changes_nothing() -> None:
    """Neither another application's states, nor those of another policy or of contexts not held, are read."""
    world = World()
    world.learn("user", a=1.0)
    views = [world.states.view(context, MODELS) for context in (None, "user")]
    world.store.reads.clear()
    keys = [state_key("apple", "plain", None), state_key("app", "plain+conformal", "x"), state_key("app", "vote", None)]
    world.states.changed(keys)
    assert all(world.states.view(c, MODELS) is view for c, view in zip((None, "user"), views, strict=True))
    assert world.store.reads == []


def test_what_cannot_be_read_anew_stays_as_it_was() -> None:
    """A disk that fails costs the news of others, not what is known already; it is tried again at the next change."""
    world = World()
    world.learn(a=1.0)
    known = world.states.view(None, MODELS)
    key = state_key("app", "plain", None)
    world.store.broken = True
    world.states.changed([key])
    assert world.states.view(None, MODELS) == known
    World(world.store).write()
    world.store.broken = False
    world.states.changed([key])
    assert world.states.view(None, MODELS) == known


TWO = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["view", "commit", "report", "news", "lost"]),
        st.sampled_from([None, "one", "a/b é"]),
    ),
    max_size=40,
)


@given(TWO)
def test_two_frontends_come_to_see_the_same(steps: list[tuple[int, str, str | None]]) -> None:
    """However commits, their reports and their news follow each other, each sees in the end what the store has.

    News that come between a commit and its report count again after the report, as the links see to it.
    """
    store = Disk(ManualClock())
    worlds = [World(store), World(store)]
    worlds[1].observed = 1_000
    reports: list[list[tuple[str | None, Mapping[str, State]]]] = [[], []]
    news: list[list[str] | None] = [[], []]
    again: list[list[str]] = [[], []]

    def report(n: int) -> None:
        for context, made in reports[n]:
            worlds[n].states.applied(made, context)
        worlds[n].states.changed(again[n])
        reports[n].clear()
        again[n].clear()

    def hear(n: int) -> None:
        heard, news[n] = news[n], []
        if heard is None:
            worlds[n].states.outdated()
            again[n] += store.scan("") if reports[n] else []
        else:
            worlds[n].states.changed(heard)
            again[n] += heard if reports[n] else []

    for n, step, context in steps:
        if step == "view":
            worlds[n].states.view(context, MODELS)
            worlds[n].turn()
        elif step == "commit":
            report(n)  # a transaction begins when the one before it has been reported
            made = worlds[n].write(worlds[n].states.adds(State(1.0, {"a": (1.0, 0.5)}), context, MODELS))
            reports[n].append((context, made))
            told = news[1 - n]
            news[1 - n] = None if told is None else [*told, *made]
        elif step == "report":
            report(n)
        elif step == "news":
            hear(n)
        else:  # the link breaks, and is there again
            news[n] = None
    for n, world in enumerate(worlds):
        hear(n)
        report(n)
        fresh = World(store)
        for context in (None, "one", "a/b é"):
            assert world.states.view(context, MODELS) == fresh.states.view(context, MODELS)


# When reading takes long


def test_a_turn_reads_for_no_longer_than_its_budget() -> None:
    """Beyond it a context is served from the state of all, counted, and read for the query after."""
    world = World()
    for name in ("one", "two", "three", "four"):
        world.learn(name, b=1.0)
    everyone = world.states.view(None, MODELS)
    world.turn()
    world.store.seconds = 0.0015
    own = State(1.0, {"b": (1.0, 1.0), "a": (0.0, 0.0)})
    seen = [world.states.view(name, MODELS) for name in ("one", "two", "three", "four")]
    assert seen == [blend(own, everyone)] * 2 + [blend(None, everyone)] * 2
    assert (world.counters.contexts_read, world.counters.contexts_put_off) == (2, 2)
    world.turn()
    world.store.reads.clear()
    assert world.states.view("three", MODELS) == world.states.view("four", MODELS) == blend(own, everyone)
    assert world.store.reads == []
    assert world.counters.contexts_put_off == 2


def test_what_is_put_off_comes_first_in_the_next_turns() -> None:
    """First come, first served, a budget's worth in each turn, until nothing is left; then the loop is left alone."""
    world = World()
    names = [str(n) for n in range(9)]
    world.states.view(None, MODELS)
    world.turn()
    world.store.seconds = 0.0015
    world.store.reads.clear()
    for name in names:
        world.states.view(name, MODELS)
    for read in (2, 4, 6, 8, 9):
        assert world.store.reads == [state_key("app", "plain", name) for name in names[:read]]
        world.turn()
    world.turn()
    assert world.deferred == []


def test_of_what_is_put_off_too_much_is_forgotten() -> None:
    """Then the context's next query asks for it again."""
    world = World(waiting=1)
    world.states.view(None, MODELS)
    world.store.seconds = 0.01
    for name in ("one", "two", "three"):
        world.states.view(name, MODELS)
    for _ in range(5):
        world.turn()
    assert [key.rpartition("/")[2] for key in world.store.reads] == ["", "one", "two"]
    world.states.view("three", MODELS)
    assert world.store.reads[-1] == state_key("app", "plain", "three")


def test_a_context_that_is_held_needs_no_budget() -> None:
    """Where a turn has no time left for reading, contexts in memory have their last feedback all the same."""
    world = World()
    world.learn("user", a=1.0)
    world.states.view("user", MODELS)
    world.learn("user", a=1.0)
    world.store.seconds = 0.01
    world.states.view("other", MODELS)
    everyone = world.states.view(None, MODELS)
    assert world.states.view("user", MODELS) == blend(State(2.0, {"a": (2.0, 2.0), "b": (0.0, 0.0)}), everyone)
    assert world.counters.contexts_put_off == 0


# When reading fails


def test_a_store_that_cannot_be_read_stops_nothing() -> None:
    """What cannot be read counts as never learned until the next commit; it is not tried again for each query."""
    world = World()
    for _ in range(2):
        world.learn("cold", a=1.0)
    world.deploy()
    world.store.reads.clear()
    world.store.broken = True
    for _ in range(3):
        assert world.states.view(None, MODELS) == world.states.view("cold", MODELS) == Plain().initial(MODELS)
    assert len(world.store.reads) == 2
    world.learn(a=1.0)
    everyone = State(3.0, {"a": (3.0, 3.0), "b": (0.0, 0.0)})
    for _ in range(3):
        assert world.states.view(None, MODELS) == everyone
        assert world.states.view("cold", MODELS) == blend(None, everyone)
    assert len(world.store.reads) == 3
    world.store.broken = False
    world.learn(a=1.0)
    own = State(2.0, {"a": (2.0, 2.0), "b": (0.0, 0.0)})
    assert world.states.view("cold", MODELS) == blend(own, world.states.view(None, MODELS))


def test_what_feedback_has_told_is_not_lost_to_a_broken_disk() -> None:
    """A context that could not be read, and is to be read in a later turn, needs that no more once it has feedback."""
    world = World()
    world.learn("user", a=1.0)
    world.store.broken = True
    world.states.view("user", MODELS)
    world.learn(a=1.0)
    world.store.seconds = 0.01
    world.states.view("other", MODELS)
    world.states.view("user", MODELS)
    assert world.counters.contexts_put_off == 1
    world.learn("user", a=1.0)
    own = State(2.0, {"a": (2.0, 2.0), "b": (0.0, 0.0)})
    assert world.states.view("user", MODELS) == blend(own, world.states.view(None, MODELS))


# What comes late, twice, never


def shuffled(deltas: list[tuple[str | None, State]], seed: int) -> dict[str, State | None]:
    """What is learned of deltas that come in some order."""
    world = World()
    Random(seed).shuffle(deltas)
    for context, delta in deltas:
        world.commit(world.states.adds(delta, context, MODELS))
    return {key: world.store.get(key) for key in world.store.scan("")}


def test_out_of_order_is_in_order() -> None:
    """Where nothing is forgotten, the order of feedback does not matter, to the last bit, in no context."""
    rng = Random(4)
    deltas = [
        (rng.choice((None, "one", "two")), State(1.0, {m: (1.0, rng.randrange(16) / 16) for m in MODELS}))
        for _ in range(200)
    ]
    learned = [shuffled(list(deltas), seed) for seed in range(3)]
    assert learned[0] == learned[1] == learned[2]
    assert len(learned[0]) == 3


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
