"""What an application counts."""

from __future__ import annotations

from skysail.stats.application import ApplicationCounters
from skysail.types import Failure


def test_answers_defaults_and_errors_are_counted_apart() -> None:
    """An answer is an answer, a default is one too, with its reason; an error is neither."""
    counters = ApplicationCounters()
    counters.answered(0.001, None, None)
    counters.answered(0.001, "deadline", None)
    counters.answered(0.001, None, Failure("overload", "full"))
    counters.failed("invalid_input")
    assert counters.answers == 2
    assert dict(counters.defaults) == {"deadline": 1}
    assert dict(counters.errors) == {"overload": 1, "invalid_input": 1}
    assert sum(counters.latency.counts) == 3


def test_versions_are_judged_apart() -> None:
    """Each by how often it was judged, and how often it was right and in time."""
    counters = ApplicationCounters()
    counters.versions_judged({"a@1": True, "b@1": False})
    counters.versions_judged({"a@1": False})
    assert counters.versions == {"a@1": [2, 1], "b@1": [1, 0]}


def test_a_policy_that_raised_leaves_its_traceback() -> None:
    """The operator sees where a user's policy went wrong."""
    counters = ApplicationCounters()
    try:
        raise ValueError("no such arm")
    except ValueError as error:
        counters.policy_failed("select", error)
    assert counters.policy_failures == 1
    assert counters.policy_traceback is not None
    assert "no such arm" in counters.policy_traceback
    assert counters.policy_traceback.startswith("in select: ")
