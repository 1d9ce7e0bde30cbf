"""The walk of a query and of an observation, over hand-driven models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from worlds import World, play

from skysail.errors import InvalidRequest, SkysailError, Unavailable, UnknownPrediction
from skysail.feedback.reads import Reads
from skysail.feedback.records import encode_decision
from skysail.feedback.states import States
from skysail.selection.adahedge import AdaHedge
from skysail.selection.contexts import blend
from skysail.selection.single import Single
from skysail.stores.base import Block, Writes
from skysail.types import Failure, Output

MODELS = ("x", "y", "z")


# -- predict


def test_all_are_asked_and_answered_when_the_last_is_here() -> None:
    """An ensemble answers the moment everything asked has arrived, long before its deadline."""

    async def scenario(world: World) -> None:
        world.predict()
        world.say("x", "7")
        world.say("z", "8")
        assert world.told == []
        world.say("y", "7")
        [answer] = world.told
        assert answer.output == Output(b"7")
        assert answer.models == ["x@1", "y@1", "z@1"]
        assert answer.missing == []
        assert answer.agreement == pytest.approx(2 / 3)
        assert not answer.default

    play(scenario)


def test_at_the_deadline_the_answer_is_made_of_what_came() -> None:
    """A straggler lowers the confidence and is named missing; the answer comes on time."""

    async def scenario(world: World) -> None:
        started = world.clock.monotonic()
        world.predict()
        world.say("x", "7")
        world.say("y", "7")
        await asyncio.sleep(0.03)
        [answer] = world.told
        assert answer.output == Output(b"7")
        assert answer.missing == ["z@1"]
        assert answer.confidence == pytest.approx(2 / 3)
        decision = world.ledger.find(answer.id)
        assert decision is not None
        assert 18.0 <= decision.latency <= 20.0
        assert decision.failures == [None, None, "missing"]
        assert world.clock.monotonic() > started

    play(scenario)


def test_a_late_output_completes_the_record() -> None:
    """What a straggler says after the answer is there for feedback to judge."""

    async def scenario(world: World) -> None:
        world.predict()
        world.say("x", "7")
        world.say("y", "8")
        await asyncio.sleep(0.03)
        world.say("z", "9")
        decision = world.ledger.find(world.told[0].id)
        assert decision is not None
        assert decision.outputs == [b"7", b"8", b"9"]
        assert decision.failures == [None, None, None]
        assert len(world.told) == 1

    play(scenario)


def test_a_limit_of_its_own_shortens_the_wait_and_never_lengthens_it() -> None:
    """The client's own limit counts when it is below the objective, not when it is above."""

    async def scenario(world: World) -> None:
        world.predict(limit=0.005)
        world.predict(limit=5.0)
        await asyncio.sleep(0.01)
        assert len(world.told) == 1
        await asyncio.sleep(0.02)
        assert [p.failure.code for p in world.told if p.failure] == ["deadline", "deadline"]

    play(scenario)


def test_without_a_default_a_miss_is_an_explained_error() -> None:
    """Nothing in time, nothing to fall back on: the code is that of the DESIGN's table."""

    async def scenario(world: World) -> None:
        world.predict()
        await asyncio.sleep(0.03)
        [answer] = world.told
        assert answer.failure is not None
        assert answer.failure.code == "deadline"

    play(scenario)


def test_with_a_default_a_miss_is_the_default_with_its_reason() -> None:
    """The default answers, says so, and says why; all that were asked are missing."""

    async def scenario(world: World) -> None:
        world.predict()
        await asyncio.sleep(0.03)
        [answer] = world.told
        assert answer.failure is None
        assert answer.output == Output(b"-1")
        assert (answer.default, answer.reason) == (True, "deadline")
        assert answer.missing == answer.models == ["x@1", "y@1", "z@1"]

    play(scenario, default=Output(b"-1"))


def test_no_ready_model_is_unavailable_at_once() -> None:
    """With no replica anywhere nothing is waited for."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.ready = False
        world.app.refresh()
        assert world.predict() is None
        assert world.told[0].failure is not None
        assert world.told[0].failure.code == "unavailable"

    play(scenario)


def test_a_model_without_a_replica_is_not_asked() -> None:
    """The ready ones answer; the others are neither asked nor missing."""

    async def scenario(world: World) -> None:
        world.models["y"].ready = False
        world.app.refresh()
        world.predict()
        world.say("x", "7")
        world.say("z", "7")
        assert world.told[0].models == ["x@1", "z@1"]
        assert world.told[0].agreement == 1.0

    play(scenario)


@pytest.mark.parametrize("default", [None, Output(b"-1")])
def test_a_row_called_invalid_is_refused_at_once(default: Output | None) -> None:
    """One model's word is enough, default or not; the others' work is forgotten and no decision is kept."""

    async def scenario(world: World) -> None:
        world.predict()
        world.say("x", "7")
        world.say("y", Failure("invalid_input", "expected 64 values, got 3"))
        [answer] = world.told
        assert answer.failure is not None
        assert (answer.failure.code, answer.failure.message) == ("invalid_input", "expected 64 values, got 3")
        assert len(world.models["z"].forgotten) == 1
        assert world.ledger.find(answer.id) is None

    play(scenario, default=default)


def test_a_failing_pick_falls_to_the_next_model() -> None:
    """The ladder: another model answers while there is time, is marked a fallback, and has no propensity."""

    async def scenario(world: World) -> None:
        world.predict()
        world.say("x", Failure("model_error", "boom"))
        world.say("y", "7")
        [answer] = world.told
        assert answer.output == Output(b"7")
        assert answer.models == ["x@1", "y@1"]
        assert answer.missing == ["x@1"]
        decision = world.ledger.find(answer.id)
        assert decision is not None
        assert decision.fallback
        assert decision.propensities[1] == 0.0

    play(scenario, Single(model="x"))


def test_every_model_failing_is_a_model_error() -> None:
    """When nobody is left to ask, the error says what the most trusted model said."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.at_once = Failure("model_error", f"{model.ref} broke")
        world.predict()
        [answer] = world.told
        assert answer.failure is not None
        assert (answer.failure.code, answer.failure.message) == ("model_error", "x@1 broke")

    play(scenario, Single(model="x"))


def test_of_mixed_reasons_the_ladder_decides() -> None:
    """Models of equal weight that failed in different ways: the first of the ladder is the reason."""

    async def scenario(world: World) -> None:
        world.models["x"].at_once = Failure("overload", "full")
        world.models["y"].at_once = Failure("model_error", "broke")
        world.predict()
        await asyncio.sleep(0.03)
        assert world.told[0].failure is not None
        assert world.told[0].failure.code == "model_error"

    play(scenario)


def test_a_client_that_leaves_takes_its_work_along() -> None:
    """A cancelled query is neither answered nor recorded, and what it asked is forgotten."""

    async def scenario(world: World) -> None:
        pending = world.predict()
        pending.cancel()
        await asyncio.sleep(0.03)
        assert world.told == []
        assert all(len(model.forgotten) == 1 for model in world.models.values())
        assert world.ledger.find(pending.query.id) is None

    play(scenario)


def test_low_confidence_is_replaced_by_the_default() -> None:
    """Strictly below the threshold; at it the answer stands."""

    async def scenario(world: World) -> None:
        world.predict()
        for model, text in zip("xyz", "789", strict=True):
            world.say(model, text)
        assert (world.told[0].output, world.told[0].reason) == (Output(b"-1"), "low_confidence")
        world.predict()
        for model, text in zip("xyz", "779", strict=True):
            world.say(model, text)
        assert world.told[1].output == Output(b"7")

    play(scenario, default=Output(b"-1"), min_confidence=0.5)


# -- observe


def test_feedback_moves_weight_to_the_model_that_is_right() -> None:
    """After a few labels the right model outweighs the wrong ones, in the very next view."""

    async def scenario(world: World) -> None:
        for _ in range(20):
            world.predict()
            for model, text in zip("xyz", "789", strict=True):
                world.say(model, text)
            assert await world.observe(id=world.told[-1].id, label=b"9") is True
        trust = world.policy.distribution(world.app.states.view(None, ("x", "y", "z")))
        assert trust.weight("z") > 0.9
        assert world.app.counters.judged == 20
        assert world.app.counters.observations == 20

    play(scenario, AdaHedge())


def test_the_first_observation_wins() -> None:
    """Any later one is a duplicate, also in the same turn, and teaches nothing."""

    async def scenario(world: World) -> None:
        world.predict()
        for model in "xyz":
            world.say(model, "7")
        id = world.told[0].id
        verdicts = await asyncio.gather(*[world.observe(id=id, label=label) for label in (b"7", b"8", b"7")])
        assert sorted(verdicts, key=bool) == [False, False, True]
        assert world.app.states.view(None, ("x", "y", "z")).count == 1.0
        assert await world.observe(id=id, reward=1.0) is False
        assert world.app.counters.duplicates == 3

    play(scenario, AdaHedge())


class Others:
    """Other frontends, of which the one that `makes` an id writes it when told to."""

    def __init__(self, makes: str) -> None:
        self.makes = makes
        self.asked: list[Callable[[SkysailError | None], None]] = []

    def flush(self, id: str, flushed: Callable[[SkysailError | None], None]) -> bool:
        if id != self.makes:
            return False
        self.asked.append(flushed)
        return True


def test_a_decision_of_another_frontend_is_waited_for() -> None:
    """What is not in the store yet is asked for, once; what then is not there is unknown, or the reason is told."""

    async def scenario(world: World) -> None:
        others = world.engine.others = Others("01-000007-00000000")
        assert isinstance(await world.observe(id="02-000007-00000000", label=b"7"), UnknownPrediction)
        observing = asyncio.ensure_future(world.observe(id=others.makes, label=b"7"))
        await asyncio.sleep(0)
        assert not observing.done()
        world.predict()
        for model in "xyz":
            world.say(model, "7")
        decision = world.ledger.find(world.told[0].id)
        assert decision is not None
        decision.id = others.makes
        world.store.write(Writes([Block(1, 7, 0.0, {0: encode_decision(decision)})]))
        others.asked.pop()(None)
        assert await observing is True
        assert await world.observe(id=others.makes, label=b"7") is False
        others.makes = "01-000007-00000001"
        for failure, told in ((None, UnknownPrediction), (Unavailable("later"), Unavailable)):
            observing = asyncio.ensure_future(world.observe(id=others.makes, label=b"7"))
            await asyncio.sleep(0)
            others.asked.pop()(failure)
            assert isinstance(await observing, told)
        assert others.asked == []

    play(scenario)


def test_an_unknown_prediction_is_refused() -> None:
    """Neither a made-up id nor another application's is joined."""

    async def scenario(world: World) -> None:
        for id in ("nonsense", "00-000001-00000063"):
            verdict = await world.observe(id=id, label=b"7")
            assert isinstance(verdict, UnknownPrediction)
        world.predict()
        for model in "xyz":
            world.say(model, "7")
        world.app.name = "b"
        assert isinstance(await world.observe(id=world.told[0].id, label=b"7"), UnknownPrediction)

    play(scenario)


def test_a_context_that_differs_is_refused() -> None:
    """Feedback cannot be credited to another context than its decision's."""

    async def scenario(world: World) -> None:
        world.predict(context="alice")
        for model in "xyz":
            world.say(model, "7")
        id = world.told[0].id
        assert isinstance(await world.observe(id=id, label=b"7", context="bob"), InvalidRequest)
        assert await world.observe(id=id, label=b"7", context="alice") is True

    play(scenario)


def test_feedback_by_input_joins_the_newest_decision() -> None:
    """Equal bytes in the same context: no model is asked again."""

    async def scenario(world: World) -> None:
        for _ in range(2):
            world.predict(b"[1,2]", context="alice")
            for model in "xyz":
                world.say(model, "7")
        assert await world.observe(row=b"[1,2]", context="alice", label=b"7") is True
        assert all(model.calls == [] for model in world.models.values())
        newest = world.ledger.observation(world.told[1].id)
        assert newest is not None
        assert world.ledger.observation(world.told[0].id) is None

    play(scenario)


def test_feedback_by_an_input_never_asked_about_evaluates_all_models() -> None:
    """Every model is judged on it, as full information; the same input again is a duplicate."""

    async def scenario(world: World) -> None:
        for model, text in zip("xyz", (b"7", b"8", b"8"), strict=True):
            world.models[model].at_once = Output(text)
        assert await world.observe(row=b"[5]", label=b"8") is True
        view = world.app.states.view(None, ("x", "y", "z"))
        assert {m: row[:2] for m, row in view.sums.items()} == {"x": (1.0, 1.0), "y": (1.0, 0.0), "z": (1.0, 0.0)}
        assert world.told == []
        assert await world.observe(row=b"[5]", label=b"8") is False

    play(scenario, AdaHedge())


def test_feedback_is_seen_where_a_deployment_came_between() -> None:
    """The states in use when a transaction is done take over what it made, though it was begun for others."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.at_once = Output(b"7")
        world.predict()
        verdict = asyncio.ensure_future(world.observe(id=world.told[0].id, label=b"8"))
        await asyncio.sleep(0)
        reads = Reads(asyncio.get_running_loop(), world.clock)
        states = States("a", world.policy, world.store, blend, reads=reads, counters=world.app.counters)
        assert states.view(None, MODELS).count == 0.0
        world.engine.apps["a"] = replace(world.app, states=states)
        assert await verdict is True
        assert states.view(None, MODELS).count == 1.0

    play(scenario, AdaHedge())


def test_feedback_by_input_without_models_says_so() -> None:
    """With nobody to evaluate it, the observation is refused rather than lost."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.ready = False
        world.app.refresh()
        assert isinstance(await world.observe(row=b"[5]", label=b"8"), Unavailable)

    play(scenario)


def test_a_default_counts_in_effective_accuracy() -> None:
    """An answer is right if what was said is right, a default too; late or wrong is wrong."""

    async def scenario(world: World) -> None:
        world.predict()
        await asyncio.sleep(0.03)
        assert await world.observe(id=world.told[0].id, label=b"-1") is True
        assert (world.app.counters.judged, world.app.counters.right) == (1, 1)
        world.predict()
        await asyncio.sleep(0.03)
        assert await world.observe(id=world.told[1].id, label=b"3") is True
        assert (world.app.counters.judged, world.app.counters.right) == (2, 1)

    play(scenario, default=Output(b"-1"))


def test_a_reward_teaches_only_those_who_said_what_was_answered() -> None:
    """With the label unknown, a model that said something else is not judged."""

    async def scenario(world: World) -> None:
        world.predict()
        for model, text in zip("xyz", "778", strict=True):
            world.say(model, text)
        assert await world.observe(id=world.told[0].id, reward=0.25) is True
        sums = world.app.states.view(None, ("x", "y", "z")).sums
        assert {m: row[:2] for m, row in sums.items()} == {"x": (1.0, 0.75), "y": (1.0, 0.75), "z": (0.0, 0.0)}

    play(scenario)


def test_a_model_that_is_lost_is_judged_wrong() -> None:
    """A straggler is neutral at first; one that misses most of the time is wrong when it misses."""

    async def scenario(world: World) -> None:
        for _ in range(60):
            world.predict()
            world.say("x", "7")
            world.say("y", "7")
            await asyncio.sleep(0.03)
            assert await world.observe(id=world.told[-1].id, label=b"7") is True
        judged, loss = world.app.states.view(None, ("x", "y", "z")).sums["z"][:2]
        assert judged == loss > 0
        assert judged < 20

    play(scenario)


def test_predictions_are_json_values() -> None:
    """What the models said is kept to the byte, and read as JSON only by those who need it."""

    async def scenario(world: World) -> None:
        text = '{"b": [1.50, null], "a": "é"}'
        world.predict()
        for model in "xyz":
            world.say(model, text)
        output = world.told[0].output
        assert output is not None
        assert output.raw == text.encode()
        assert msgspec.json.decode(output.raw) == {"b": [1.5, None], "a": "é"}

    play(scenario)


def test_errors_are_told_not_raised() -> None:
    """Whatever is wrong with an observation comes back as its verdict."""

    async def scenario(world: World) -> None:
        verdict = await world.observe(id="zz", label=b"1")
        assert isinstance(verdict, SkysailError)

    play(scenario)


# -- overload


def test_what_every_model_would_refuse_is_refused_at_once() -> None:
    """No model is asked, none is blamed; the code, and what is counted, are as if each had refused."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.is_full = True
        for _ in range(80):
            assert world.predict() is None
        answer = world.told[-1]
        assert answer.failure is not None
        assert (answer.failure.code, answer.models) == ("overload", [])
        assert "application 'a'" in answer.failure.message
        assert world.app.counters.errors["overload"] == sum(world.app.counters.latency.counts) == 80
        for model in world.models.values():
            assert (model.turned_away, model.calls) == (80, [])
            model.is_full = False
        world.predict()
        for name in MODELS:
            world.say(name, Failure("overload", "too much"))
        assert not world.engine._stragglers.lost("a", "x")

    play(scenario)


def test_one_model_with_time_is_enough() -> None:
    """While any candidate would take the query, the policy has its choice; one without a replica is no such model."""

    async def scenario(world: World) -> None:
        world.models["x"].is_full = world.models["y"].is_full = True
        assert world.predict() is not None
        world.models["z"].ready = False
        world.app.refresh()
        assert world.predict() is None

    play(scenario)


def test_what_the_cache_knows_is_answered_in_an_overload() -> None:
    """A kept output, or a row under way, costs the model nothing."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.is_full, model.known, model.at_once = True, {b"2"}, Output(b"7")
        world.predict(b"1")
        world.predict(b"2")
        assert [prediction.failure is None for prediction in world.told] == [False, True]

    play(scenario)


def test_a_default_is_recorded_in_an_overload_too() -> None:
    """The answer is the default, with its reason, and can be asked about."""

    async def scenario(world: World) -> None:
        for model in world.models.values():
            model.is_full, model.at_once = True, Failure("overload", "too much")
        world.predict()
        [answer] = world.told
        assert (answer.output, answer.reason, answer.models) == (Output(b"-1"), "overload", ["x@1", "y@1", "z@1"])
        assert world.ledger.find(answer.id) is not None

    play(scenario, default=Output(b"-1"))


def test_the_deadline_counts_from_the_arrival() -> None:
    """What was done before the engine had the query is part of its time."""

    async def scenario(world: World) -> None:
        arrived = world.engine.now()
        await asyncio.sleep(0.015)
        world.predict(arrived=arrived)
        await asyncio.sleep(0.006)
        assert [p.failure.code for p in world.told if p.failure] == ["deadline"]

    play(scenario)
