from collections import Counter
from random import Random

import pytest

from skysail.errors import ConfigError
from skysail.selection.exp4 import Exp4
from skysail.testing.streams import Round, Stream, decide
from skysail.types import Decision, Distribution, Output, Query, State

MODELS = ("a", "b", "c", "d")
WEIGHTS = (0.4, 0.3, 0.2, 0.1)


def query(draw: float) -> Query:
    """A query with its own random number."""
    return Query("q", b"1", False, None, 0.0, 1.0, draw)


def decision(answer: bytes | None = b"1", default: bool = False) -> Decision:
    """a and c said 1, b said 2, d failed."""
    policy = Exp4()
    said = {"a": Output(b"1"), "b": Output(b"2"), "c": Output(b"1.0"), "d": None}
    made = decide(policy, policy.initial(MODELS), query(0.0), said, Random(0))
    made.distribution = Distribution(MODELS, WEIGHTS, 0.2)
    made.answer, made.default = answer, default
    return made


def learned(made: Decision, losses: dict[str, float | None]) -> dict[str, float]:
    """What each model is taken to have lost, with the mixture's loss added back so that `b` or `a` shows as given."""
    sums = Exp4().update(made, losses).sums
    return {model: sums[model][2] if model in sums else 0.0 for model in MODELS}


def test_the_label_is_drawn_from_the_votes() -> None:
    """Each label is answered as often as its voters have weight, by the query's own number."""
    policy = Exp4()
    state = State(1.0, dict.fromkeys(MODELS, (0.0, 0.0, 0.0)))
    said = {"a": Output(b"1"), "b": Output(b"2"), "c": Output(b"1.0"), "d": None}
    answers = [policy.combine(state, query(n / 300), said) for n in range(300)]
    drawn = Counter(answer.output.value for answer in answers if answer is not None)
    assert drawn == {1: 200, 2: 100}
    last = policy.combine(state, query(1.0 - 2**-53), said)
    assert last is not None
    assert last.output.value == 1


def test_the_loss_goes_to_the_voters_divided_by_their_chance() -> None:
    """P(1) = .6 of .9; its voters lose .5/P, the other voter 0, all in excess of the mixture's .5."""
    got = learned(decision(), {"a": 0.5, "b": 1.0, "c": 0.5, "d": None})
    assert got == pytest.approx({"a": 0.75 - 0.5, "b": -0.5, "c": 0.75 - 0.5, "d": 0.0})


def test_a_reward_is_enough() -> None:
    """What a reward leaves unjudged is not needed: the delta is the same as with the label."""
    full = learned(decision(), {"a": 0.5, "b": 1.0, "c": 0.5, "d": None})
    assert learned(decision(), {"a": 0.5, "b": None, "c": 0.5, "d": None}) == full


def test_estimates_are_unbiased() -> None:
    """Averaged over the draw, a model is charged its own loss: a and c are wrong, b is right."""
    charged = dict.fromkeys(MODELS, 0.0)
    for answer, chance in ((b"1", 6 / 9), (b"2", 3 / 9)):
        loss = 1.0 if answer == b"1" else 0.0
        got = learned(decision(answer), {"a": 1.0, "b": 0.0, "c": 1.0, "d": None})
        assert got["d"] == 0.0
        for model in MODELS:
            charged[model] += chance * (got[model] + loss)
    assert charged == pytest.approx({"a": 1.0, "b": 0.0, "c": 1.0, "d": 6 / 9})


def test_a_failure_is_charged_outright() -> None:
    """A model that failed has loss 1, although it voted for nothing; it does not gain by the others' losses."""
    got = learned(decision(), {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0})
    assert got["d"] - got["b"] == pytest.approx(1.0)
    assert got["a"] - got["b"] == pytest.approx(1.5)


def test_an_output_after_the_draw_had_no_part_in_it() -> None:
    """A decision completed later with another vote teaches what it would have taught before."""
    before = learned(decision(), {"a": 0.5, "b": 1.0, "c": 0.5, "d": None})
    completed = decision()
    completed.outputs[3], completed.latencies[3] = b"1", completed.latency + 1.0
    assert learned(completed, {"a": 0.5, "b": 1.0, "c": 0.5, "d": 0.5}) == before


@pytest.mark.parametrize(("answer", "default"), [(b"1", True), (None, False), (b"3", False)])
def test_without_a_draw_losses_are_taken_as_they_are(answer: bytes | None, default: bool) -> None:
    """A default, or an answer nobody voted for: where a label came, each model has its own loss."""
    got = learned(decision(answer, default), {"a": 1.0, "b": 0.0, "c": 1.0, "d": None})
    assert got["a"] - got["b"] == pytest.approx(1.0)
    assert got["a"] == got["c"]


def test_nothing_known_of_the_drawn_label_teaches_nothing() -> None:
    """No voter of the answer was judged: no column changes."""
    assert set(learned(decision(), {"a": None, "b": 1.0, "c": None, "d": None}).values()) == {0.0}


@pytest.mark.slow
def test_rewards_alone_find_the_best_model() -> None:
    """With nothing but "right" or "wrong" for the answer given, the best of three leads after 3,000 queries."""
    policy, rng = Exp4(), Random(0)
    accuracies = {"bad": 0.5, "fair": 0.7, "good": 0.9}
    state = policy.initial(tuple(accuracies))
    for round_ in Stream(accuracies=accuracies, length=3000).rounds(Random(1)):
        made = decide(policy, state, query(rng.random()), round_.outputs, rng)
        state = state.plus(policy.update(made, reward(made, round_)))
    assert policy.distribution(state).weight("good") > 0.9


def reward(made: Decision, round_: Round) -> dict[str, float | None]:
    """What a reward for the answer says of each model."""
    loss = 0.0 if made.answer == round_.label.raw else 1.0
    return {model: loss if raw == made.answer else None for model, raw in zip(made.models, made.outputs, strict=True)}


def test_eta_is_checked() -> None:
    """A learning rate is above 0."""
    with pytest.raises(ConfigError, match=r"policy 'exp4': eta = -0.1 must be a number above 0"):
        Exp4(eta=-0.1)
