from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.selection.adahedge import AdaHedge
from skysail.selection.base import Policy
from skysail.selection.contexts import blend
from skysail.selection.thompson import Thompson
from skysail.testing.streams import Stream, decide, judge
from skysail.types import Query, State

QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)
NUMBERS = st.floats(0, 1e6)


def test_everyone_counts_as_five_feedbacks() -> None:
    """Own sums plus five times the average of everyone's, for rows, shared numbers and the count."""
    own = State(4.0, {"a": (4.0, 1.0)}, (0.5,))
    everyone = State(200.0, {"a": (100.0, 20.0), "b": (100.0, 40.0)}, (10.0,))
    assert blend(own, everyone) == State(9.0, {"a": (6.5, 1.5), "b": (2.5, 1.0)}, (0.75,))


def test_a_new_context_sees_everyone() -> None:
    """Without anything of its own a context starts from five feedbacks of everyone's."""
    assert blend(None, State(20.0, {"a": (20.0, 4.0)})) == State(5.0, {"a": (5.0, 1.0)})


def test_few_feedbacks_are_not_made_more() -> None:
    """Three feedbacks count as three, not as five."""
    assert blend(None, State(3.0, {"a": (3.0, 1.0)})) == State(3.0, {"a": (3.0, 1.0)})


def test_before_any_feedback_there_is_nothing_to_blend() -> None:
    """An empty global state adds nothing, and nothing is divided by its count."""
    own, nobody = State(1.0, {"a": (1.0, 0.0)}), State(0.0, {"a": (0.0, 0.0)})
    assert blend(own, nobody) == own
    assert blend(None, nobody) == nobody


@given(st.floats(10, 1e6), NUMBERS, st.floats(0, 1e6))
def test_own_feedback_outvotes_everyone_in_the_end(count: float, total: float, own: float) -> None:
    """The blended average lies between the two, the nearer to its own the more there is of it."""
    blended = blend(State(own, {"a": (own, own)}), State(count, {"a": (count, 0.0)}))
    assert abs(blended.sums["a"][1] / blended.sums["a"][0] - own / (own + 5.0)) < 1e-9


@pytest.mark.parametrize(("policy", "share"), [(AdaHedge(), 0.6), (Thompson(), 0.85)], ids=["adahedge", "thompson"])
def test_users_get_their_own_best_model(policy: Policy, share: float) -> None:
    """Sixty users in six groups, each group with a best model of its own: between eight and twenty-four feedbacks each,
    users have a stated share, or less, of the errors that everyone's state would give them.
    """
    groups = [f"m{n}" for n in range(6)]
    everyone, rng, world = policy.initial(tuple(groups)), Random(0), Random(1)
    own: dict[int, State] = {}
    errors: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(24):
        for user in range(60):
            accuracies = {model: 0.9 if model == groups[user % 6] else 0.5 for model in groups}
            label, outputs = next(Stream(accuracies=accuracies, length=1).rounds(world))
            blended = blend(own.get(user), everyone)
            for personal, state in ((True, blended), (False, everyone)):
                trust = policy.distribution(state)
                wrong = sum(w for m, w in zip(trust.models, trust.weights, strict=True) if outputs[m] is not label)
                if turn >= 8:
                    errors[personal].append(wrong)
            decision = decide(policy, blended, QUERY, outputs, rng)
            delta = policy.update(decision, judge(decision, label))
            everyone = everyone.plus(delta, policy.forget)
            own[user] = own.get(user, State()).plus(delta, policy.forget)
    mean = {personal: sum(lost) / len(lost) for personal, lost in errors.items()}
    assert mean[True] < share * mean[False], mean
