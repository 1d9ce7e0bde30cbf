from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.demo.score import SKYSAIL, VOTE, Result, Scores, majority

GOOD, BAD, OTHER = np.array([1, 2, 3]), np.array([9, 9, 9]), np.array([1, 0, 3])


def make() -> Scores:
    """Two models, of which `a` has a bad second version, and three queries."""
    return Scores(np.array([1, 2, 3]), {"a@1": GOOD, "a@2": BAD, "b@1": OTHER}, ("a", "b"))


def result(query: int, output: object, *refs: str) -> Result:
    """A result of which only what is scored matters."""
    return Result(query=query, at=float(query), latency=0.25, output=output, refs=refs)


def test_everybody_is_judged_by_the_label() -> None:
    """Skysail by its answer, each model by what it says, the vote by the models' majority."""
    scores = make()
    scores.add(result(0, 1, "a@1", "b@1"))
    scores.add(result(1, 7, "a@1", "b@1"))
    assert scores.errors() == {SKYSAIL: 0.5, "a": 0.0, "b": 0.5, VOTE: 0.0}


def test_a_version_counts_while_it_answers() -> None:
    """A model is judged by the version that the answer names, the broken one included."""
    scores = make()
    for refs in (("a@1", "b@1"), ("a@2", "b@1"), ("a@1", "b@1")):
        scores.add(result(0, 1, *refs))
    assert scores.errors()["a"] == pytest.approx(1 / 3)
    assert scores.current == {"a": "a@1", "b": "b@1"}


def test_a_failed_query_is_wrong_and_models_keep_their_versions() -> None:
    """A request without an answer counts against Skysail alone; the models are as last seen."""
    scores = make()
    scores.add(result(0, 1, "a@2", "b@1"))
    scores.add(result(2, None))
    assert scores.errors() == {SKYSAIL: 0.5, "a": 1.0, "b": 0.0, VOTE: 1.0}


def test_recent_errors_forget_the_first() -> None:
    """The last so many results alone count where a number is given."""
    scores = make()
    scores.add(result(0, 9, "a@1", "b@1"))
    scores.add(result(1, 2, "a@1", "b@1"))
    assert scores.errors(last=1) == {SKYSAIL: 0.0, "a": 0.0, "b": 1.0, VOTE: 0.0}
    assert scores.errors(last=5) == scores.errors()


def test_nothing_is_known_at_first() -> None:
    """Before the first result every error is NaN, and there is no window."""
    scores = make()
    assert all(math.isnan(share) for share in [*scores.errors().values(), *scores.errors(10).values()])
    assert scores.wrong.shape == (0, 4)
    assert scores.windowed(2).shape == (0, 4)


@given(outputs=st.lists(st.integers(0, 2), min_size=1, max_size=40), size=st.integers(1, 10))
def test_windows_are_the_recent_errors_of_each_moment(outputs: list[int], size: int) -> None:
    """Each row of the windowed error is what the recent error was when its last result came."""
    scores, seen = make(), []
    for output in outputs:
        scores.add(result(0, output, "a@1", "b@1"))
        seen.append(list(scores.errors(size).values()))
    assert np.allclose(scores.windowed(size), np.array(seen[size - 1 :]).reshape(-1, 4))


def test_a_tied_vote_goes_to_the_first_listed() -> None:
    """Of equally frequent outputs the one said first wins."""
    assert majority([4, 2, 2, 4]) == 4
    assert majority([4, 2, 2, 5]) == 2


def test_a_result_knows_when_it_was_sent() -> None:
    """The answer's time less its latency."""
    assert result(3, 1).sent == 2.75
