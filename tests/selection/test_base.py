from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

import pytest

from skysail.errors import ConfigError
from skysail.selection.base import Policy
from skysail.selection.losses import Squared
from skysail.selection.scores import Log
from skysail.testing.streams import decide
from skysail.types import Decision, Distribution, Estimate, Output, Query, State

MODELS = ("a", "b", "c")
QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class Fixed(Policy):
    """Trusts the models by fixed weights."""

    name: ClassVar[str] = "fixed"
    columns: ClassVar[int] = 1
    shared: ClassVar[int] = 2
    weights: tuple[float, ...] = (0.5, 0.3, 0.2)

    def weigh(self, state: State) -> Distribution:
        return Distribution(state.models, self.weights[: len(state.sums)])

    def learn(self, decision: Decision, losses: Any) -> Any:
        return {"a": (7.0,)}, ()


@dataclass(frozen=True, kw_only=True)
class Drawn(Fixed):
    """The same, one model at a time."""

    asks_one: ClassVar[bool] = True


def outputs(*said: bytes | None) -> dict[str, Output | None]:
    """What a, b and c said."""
    return {model: None if raw is None else Output(raw) for model, raw in zip(MODELS, said, strict=True)}


def decision(policy: Policy) -> Decision:
    """A decision in which all three answered."""
    return decide(policy, policy.initial(MODELS), QUERY, outputs(b"1", b"1", b"2"), Random(0))


def test_before_any_feedback_every_row_is_zero() -> None:
    """Two columns of the base, the policy's own, and the shared numbers."""
    assert Fixed().initial(("a",)) == State(0.0, {"a": (0.0, 0.0, 0.0)}, (0.0, 0.0))


def test_weights_are_computed_once_for_each_state_and_policy() -> None:
    """A state remembers what one policy made of it; another policy is not served that."""
    state = Fixed().initial(MODELS)
    policy, other = Fixed(), Fixed(weights=(0.2, 0.3, 0.5))
    assert policy.distribution(state) is policy.distribution(state)
    assert other.distribution(state).weights == (0.2, 0.3, 0.5)
    assert policy.distribution(state).weights == (0.5, 0.3, 0.2)


@pytest.mark.parametrize(
    ("said", "raw", "confidence", "agreement", "used"),
    [
        ((b"1", b"1", b"1"), b"1", 1.0, 1.0, MODELS),
        ((b"1", b"2", b"2.0"), b"1", 0.5, 1 / 3, MODELS),
        ((b"2", b"1", b"1"), b"2", 0.5, 1 / 3, MODELS),
        ((None, b"1", b"2"), b"1", 0.3, 1 / 3, ("b", "c")),
        ((None, None, b"2"), b"2", 0.2, 1 / 3, ("c",)),
        ((b"1", None, b"1"), b"1", 0.7, 2 / 3, ("a", "c")),
    ],
)
def test_confidence_is_agreeing_weight_over_weight_asked(
    said: tuple[bytes | None, ...], raw: bytes, confidence: float, agreement: float, used: tuple[str, ...]
) -> None:
    """A missing model lowers confidence and agreement as a disagreeing one does."""
    policy = Fixed()
    answer = policy.combine(policy.initial(MODELS), QUERY, outputs(*said))
    assert answer is not None
    assert (answer.output.raw, answer.used) == (raw, used)
    assert answer.confidence == pytest.approx(confidence)
    assert answer.agreement == pytest.approx(agreement)


def test_full_agreement_is_certain_exactly() -> None:
    """No rounding makes the confidence of unanimous models less, or more, than 1."""
    policy = Fixed(weights=(0.1, 0.7, 0.2))
    answer = policy.combine(policy.initial(MODELS), QUERY, outputs(b"1", b"1.0", b"1"))
    assert answer is not None
    assert answer.confidence == 1.0


def test_numbers_agree_within_tolerance() -> None:
    """The mean of the numbers, and the weight of those that are near it."""
    policy = Fixed(loss=Squared(range=(0, 10)))
    answer = policy.combine(policy.initial(MODELS), QUERY, outputs(b"1.0", b"2", b"9.5"))
    assert answer is not None
    assert answer.output.value == pytest.approx(3.0)
    assert answer.confidence == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("said", "raw", "used"),
    [
        ((b'"x"', b"2", b"2"), b"2", ("b", "c")),
        ((b"3", b"null", b"{}"), b"3", ("a",)),
        ((b"3", None, b"[1]"), b"3", ("a",)),
    ],
)
def test_an_output_that_cannot_be_combined_counts_as_none(
    said: tuple[bytes | None, ...], raw: bytes, used: tuple[str, ...]
) -> None:
    """One model that answers text where numbers are due harms no other."""
    policy = Fixed(loss=Squared(range=(0, 10)))
    answer = policy.combine(policy.initial(MODELS), QUERY, outputs(*said))
    assert answer is not None
    assert (answer.output.raw, answer.used) == (raw, used)


def test_outputs_of_two_kinds_follow_the_most_trusted() -> None:
    """Lists and objects of probabilities do not mix: the model of greatest weight decides which counts."""
    policy = Fixed(loss=Log())
    answer = policy.combine(policy.initial(MODELS), QUERY, outputs(b"[1.0]", b'{"a": 1.0}', b"[1]"))
    assert answer is not None
    assert answer.used == ("a", "c")


def test_no_output_that_can_be_combined_is_no_answer() -> None:
    """All models answer text where numbers are due: as if none had answered."""
    policy = Fixed(loss=Squared())
    assert policy.combine(policy.initial(MODELS), QUERY, outputs(b'"x"', b"[]", b"null")) is None


def test_a_drawn_model_answers_as_it_is() -> None:
    """What one model says is the answer, even after another failed, and even if it is nothing the loss knows."""
    policy = Drawn(loss=Squared())
    state = policy.initial(MODELS).plus(State(1.0, {"b": (4.0, 3.0)}))
    answer = policy.combine(state, QUERY, {"a": None, "b": Output(b'"x"')})
    assert answer is not None
    assert (answer.output.raw, answer.confidence, answer.agreement, answer.used) == (b'"x"', 0.25, 0.5, ("b",))
    both = policy.combine(state, QUERY, {"a": Output(b'"x"'), "b": Output(b"1")})
    assert both is not None
    assert both.agreement == 0.5


def test_draws_never_take_a_model_without_weight() -> None:
    """However the random number falls, a model of weight 0 is not drawn."""

    class Edge(Random):
        def random(self) -> float:
            return self.value

        value = 0.0

    policy, rng = Drawn(weights=(0.0, 1.0, 0.0)), Edge()
    state = policy.initial(MODELS)
    for rng.value in (0.0, 0.5, 1.0 - 2**-53):
        assert policy.select(state, QUERY, rng).asked == ("b",)


def test_an_update_names_those_it_is_about() -> None:
    """Who was judged gets a count and a loss, the policy's own columns are added, everybody else has no row."""
    policy = Fixed()
    delta = policy.update(decision(policy), {"a": 0.25, "b": None, "c": 1.0})
    assert delta == State(1.0, {"a": (1.0, 0.25, 7.0), "c": (1.0, 1.0, 0.0)}, (0.0, 0.0))
    unjudged = policy.update(decision(policy), dict.fromkeys(MODELS))
    assert unjudged == State(1.0, {"a": (0.0, 0.0, 7.0)}, (0.0, 0.0))


def test_an_update_costs_what_was_asked_not_what_there_is() -> None:
    """Where one model of 4,000 is drawn, a feedback is about that one."""
    models = tuple(f"m{n}" for n in range(4000))
    policy = Drawn(weights=(1 / 4000,) * 4000)
    made = decide(policy, policy.initial(models), QUERY, dict.fromkeys(models, Output(b"1")), Random(0))
    assert len(policy.update(made, {made.models[0]: 1.0}).sums) <= 2  # and `a`, which this policy always names


def test_a_state_of_another_width_is_fitted() -> None:
    """The code of a policy has another column than when it learned: that begins at 0, and one that is gone is cut."""
    seen: list[State] = []

    @dataclass(frozen=True, kw_only=True)
    class Curious(Fixed):
        def weigh(self, state: State) -> Distribution:
            seen.append(state)
            return super().weigh(state)

    before = State(2.0, {"a": (2.0, 1.0), "b": (1.0, 0.0, 3.0, 4.0)}, (5.0,))
    Curious().distribution(before)
    assert seen == [State(2.0, {"a": (2.0, 1.0, 0.0), "b": (1.0, 0.0, 3.0)}, (5.0, 0.0))]
    assert Curious().add_model(before, "c").sums["c"] == (1.5, 0.5, 1.5)
    whole = Fixed().initial(MODELS)
    Curious().distribution(whole)
    assert seen[-1] is whole


def test_a_model_enters_at_the_average() -> None:
    """A new model's row is the mean of the others', and it comes last; the first of all starts at zero."""
    policy = Fixed()
    state = State(5.0, {"a": (4.0, 2.0, 1.0), "b": (2.0, 0.0, 3.0)}, (1.0, 1.0))
    grown = policy.add_model(state, "c")
    assert grown == State(5.0, {**state.sums, "c": (3.0, 1.0, 2.0)}, (1.0, 1.0))
    assert policy.add_model(policy.initial(()), "a") == policy.initial(("a",))


def test_accuracy_is_unknown_before_feedback_and_stays_in_range() -> None:
    """1 − loss/judged, cut to [0, 1] where forgetting rounds."""
    policy = Fixed()
    state = State(1.0, {"a": (0.0, 0.0), "b": (4.0, 1.0), "c": (1e-9, 1.1e-9)})
    assert [policy.accuracy(state, model) for model in (*MODELS, "unknown")] == [None, 0.75, 0.0, None]


@pytest.mark.parametrize("forget", [0.0, -1, 1.01, "x", True])
def test_forget_is_checked(forget: Any) -> None:
    """ρ is above 0 and at most 1, or a config error that names the policy."""
    with pytest.raises(ConfigError, match=r"policy 'fixed': forget = .* must be a number above 0 and of at most 1"):
        Fixed(forget=forget)


def test_an_estimate_is_merged_and_agrees_with_nobody() -> None:
    """What stands in for an output moves the answer by its weight, and lowers confidence and agreement like a gap."""
    policy = Fixed(weights=(0.5, 0.25, 0.25), loss=Squared(range=(0.0, 10.0)))
    outputs = {"a": Output(b"4"), "b": Output(b"4"), "c": Estimate(b"4.0")}
    answer = policy.combine(policy.initial(MODELS), QUERY, outputs)
    assert answer is not None
    assert (answer.output, answer.confidence, answer.agreement) == (Output(b"4.0"), 0.75, pytest.approx(2 / 3))
    moved = policy.combine(policy.initial(MODELS), QUERY, {**outputs, "c": Estimate(b"8.0")})
    assert moved is not None
    assert (moved.output, moved.confidence) == (Output(b"5.0"), 0.75)
