from random import Random

import pytest

from skysail.errors import ConfigError
from skysail.selection.single import Single
from skysail.types import Output, Query

MODELS = ("a", "b", "c")
QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)


def test_the_first_listed_answers() -> None:
    """Without a parameter all queries go to the first model, with propensity 1."""
    policy = Single()
    selection = policy.select(policy.initial(MODELS), QUERY, Random(0))
    assert (selection.asked, selection.propensities) == (("a",), (1.0,))


def test_the_named_one_answers_and_the_others_stand_by() -> None:
    """The named model answers while it is there; then the first of those that are."""
    policy = Single(model="b")
    state = policy.initial(MODELS)
    assert policy.select(state, QUERY, Random(0)).asked == ("b",)
    assert policy.select(state.only(("a", "c")), QUERY, Random(0)).asked == ("a",)


def test_confidence_is_the_accuracy_so_far() -> None:
    """Unknown before feedback, then 1 − loss/judged."""
    policy = Single()
    state = policy.initial(MODELS)
    before = policy.combine(state, QUERY, {"a": Output(b"1")})
    assert before is not None
    assert before.confidence is None
    after = policy.combine(state.plus(type(state)(4.0, {"a": (4.0, 1.0)})), QUERY, {"a": Output(b"1")})
    assert after is not None
    assert (after.confidence, after.agreement, after.used) == (0.75, 1.0, ("a",))


def test_a_model_of_another_application_is_refused() -> None:
    """The parameter names one of the application's models, or is a config error with the nearest."""
    assert Single.fields_of({"model": "b"}, MODELS) == {"model": "b"}
    with pytest.raises(ConfigError, match=r"model = 'forst' is none of its models \(did you mean 'forest'\?\)"):
        Single.fields_of({"model": "forst"}, ("svm", "forest"))
