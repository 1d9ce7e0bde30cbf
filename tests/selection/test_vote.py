from random import Random

from skysail.selection.vote import Vote
from skysail.types import Output, Query, State

QUERY = Query("q", b"1", False, None, 0.0, 1.0, 0.5)


def test_all_are_asked_and_count_the_same() -> None:
    """Whatever feedback said, every model has one voice."""
    policy = Vote()
    state = policy.initial(("a", "b", "c")).plus(State(9.0, {"a": (9.0, 9.0)}))
    selection = policy.select(state, QUERY, Random(0))
    assert (selection.asked, selection.propensities) == (("a", "b", "c"), (1.0, 1.0, 1.0))
    answer = policy.combine(state, QUERY, {"a": Output(b"1"), "b": Output(b"1"), "c": Output(b"2")})
    assert answer is not None
    assert (answer.output.raw, round(answer.agreement, 3)) == (b"1", 0.667)
    assert answer.confidence == answer.agreement
