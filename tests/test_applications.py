from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from worlds import World, play

from skysail.applications import Application
from skysail.selection.single import Single
from skysail.selection.vote import Vote
from skysail.stats.application import ApplicationCounters
from skysail.types import Answer, Distribution, Output, Selection, State


def model(**attributes: Any) -> SimpleNamespace:
    """A model that is ready, unless it is said otherwise."""
    return SimpleNamespace(**{"ready": True, "cached": None, "direct": None, **attributes})


def make(**served: Any) -> Application:
    """An application of models a, b, c, some of them served."""
    nothing: Any = None
    return Application(
        name="app",
        models=("a", "b", "c"),
        policy=nothing,
        fallback=nothing,
        slo=0.1,
        default=None,
        min_confidence=0.0,
        cache=True,
        deadlines=nothing,
        states=nothing,
        counters=nothing,
        served=served,
    )


def test_ready_models_come_in_config_order() -> None:
    """Those without a current version, or without a replica, are left out."""
    app = make(c=model(), a=model(), b=model(ready=False))
    assert app.candidates == ("a", "c")
    assert make().candidates == ()


def test_the_cache_is_the_applications_choice() -> None:
    """With `cache` off, models are asked past it."""
    app = make(a=SimpleNamespace(ready=True, cached="cached", direct="direct"))
    assert app.predictor("a") == "cached"
    app.cache = False
    assert app.predictor("a") == "direct"


def waiting(**seconds: float) -> Application:
    """An application whose models would take so long."""
    return make(**{m: model(wait=lambda now, s=s: s) for m, s in seconds.items()})


def test_who_would_be_late_is_told_from_who_would_not() -> None:
    """With the milliseconds each would take; nobody is late where all are, or none is, or there is but one."""
    app = waiting(a=0.05, b=0.01, c=0.2)
    assert app.late(100.0, 100.02) == {"a": pytest.approx(50.0), "c": pytest.approx(200.0)}
    assert app.late(100.0, 100.3) is None
    assert app.late(100.0, 100.001) is None
    assert waiting(a=9.0).late(100.0, 100.02) is None


def test_a_narrowed_state_is_the_same_until_something_is_learned() -> None:
    """So that what a policy derives from it is derived once; each context and choice of models has its own."""
    app = make()
    state = State(3.0, {"a": (1.0, 0.0), "b": (2.0, 1.0), "c": (0.0, 0.0)}, (5.0,))
    narrowed = app.narrow(state, None, ("a", "c"))
    assert (narrowed.sums, narrowed.shared) == ({"a": (1.0, 0.0), "c": (0.0, 0.0)}, (5.0,))
    assert app.narrow(state, None, ("a", "c")) is narrowed
    assert app.narrow(state, "alice", ("a", "c")) is not narrowed
    assert app.narrow(state, None, ("b",)).models == ("b",)
    assert app.narrow(State(4.0, dict(state.sums), ()), None, ("a", "c")).count == 4.0


class Raising(Single):
    """A user's policy with a bug."""

    def weigh(self, state: State) -> Distribution:
        raise KeyError("arm")


def test_a_policy_that_cannot_weigh_is_stood_in_for() -> None:
    """Whoever asks how models are trusted gets the fallback's word, and the operator hears of it."""
    app = make()
    app.policy, app.fallback, app.counters = Raising(), Single(), ApplicationCounters()
    assert app.trust(State(0.0, {"a": (0.0, 0.0), "b": (0.0, 0.0)}, ())).weights == (1.0, 0.0)
    assert "in weigh: " in (app.counters.policy_traceback or "")


class RaisingAll(Vote):
    """A user's policy with a bug in each method."""

    def select(self, state: Any, query: Any, rng: Any) -> Any:
        raise KeyError("arm")

    def combine(self, state: Any, query: Any, outputs: Any) -> Any:
        raise ZeroDivisionError

    def update(self, decision: Any, losses: Any) -> Any:
        raise RuntimeError("no")


def test_a_policy_that_raises_loses_no_query_and_no_feedback() -> None:
    """The fallback stands in, the operator sees the traceback, and the observation is kept."""

    async def scenario(world: World) -> None:
        world.predict()
        world.say("x", "7")
        [answer] = world.told
        assert answer.output == Output(b"7")
        assert await world.observe(id=answer.id, label=b"7") is True
        assert world.app.counters.policy_failures == 3
        assert "RuntimeError" in (world.app.counters.policy_traceback or "")

    play(scenario, RaisingAll())


class Confused(Single):
    """A user's policy that says what cannot be meant."""

    def select(self, state: Any, query: Any, rng: Any) -> Any:
        chosen = super().select(state, query, rng)
        asked = {b"1": ("nobody",), b"2": (), b"3": ("x",)}[query.input]
        return Selection(chosen.distribution, asked, (1.0,) * len(asked))

    def combine(self, state: Any, query: Any, outputs: Any) -> Any:
        answer = super().combine(state, query, outputs)
        return None if answer is None else Answer(7, None, 1.0, answer.used)  # type: ignore[arg-type]


def test_a_policy_that_talks_nonsense_loses_no_query() -> None:
    """A model that is not there, no model at all, an answer that is none: the fallback stands in, and it is noted."""

    async def scenario(world: World) -> None:
        for row, raised in ((b"1", "combine"), (b"2", "combine"), (b"3", "combine")):
            world.predict(row)
            world.say("x", "7")
            assert world.told[-1].output == Output(b"7")
            decision = world.ledger.find(world.told[-1].id)
            assert decision is not None
            assert decision.notes is not None
            assert decision.notes.raised == raised
        assert world.app.counters.policy_failures == 5

    play(scenario, Confused(model="x"))


class Infinite(Vote):
    """A user's policy whose deltas are no numbers."""

    def learn(self, decision: Any, losses: Any) -> Any:
        return {}, (float("nan"),)


def test_what_is_no_number_is_not_learned() -> None:
    """A delta with NaN would spoil the state for good: it is refused, and the observation kept."""

    async def scenario(world: World) -> None:
        world.predict()
        for model in world.models:
            world.say(model, "7")
        assert await world.observe(id=world.told[0].id, label=b"7") is True
        assert "must be finite" in (world.app.counters.policy_traceback or "")
        assert world.store.scan("") == []

    play(scenario, Infinite())


class Unready(Vote):
    """A user's policy that cannot even begin."""

    def initial(self, models: Any) -> Any:
        raise KeyError("arm")


def test_a_policy_without_a_state_loses_no_query() -> None:
    """Nor one that no model can be asked of: the default is recorded, with the fallback's weights."""

    async def scenario(world: World) -> None:
        world.predict()
        for model in "xyz":
            if world.models[model].calls:
                world.say(model, "7")
        assert world.told[-1].output == Output(b"7")
        for model in world.models.values():
            model.ready = False
        world.app.refresh()
        world.predict()
        assert (world.told[-1].output, world.told[-1].reason) == (Output(b"-1"), "unavailable")
        assert "KeyError: 'arm'" in (world.app.counters.policy_traceback or "")

    play(scenario, Unready(), default=Output(b"-1"))
