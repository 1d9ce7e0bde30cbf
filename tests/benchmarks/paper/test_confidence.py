from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def confidence(paper: Any) -> Any:
    """The module."""
    return paper("confidence")


def test_answers_are_counted_by_agreement(confidence: Any) -> None:
    """Errors where all models agree apart from all others."""
    found = confidence.agreement([(1.0, False), (1.0, False), (1.0, True), (0.8, True), (0.6, False)])
    assert (found.rows, found.errors, found.agreed, found.agreed_errors) == (5, 2, 3, 1)
    assert (found.rate, found.sure, found.unsure) == pytest.approx((2 / 5, 1 / 3, 1 / 2))


def test_a_set_holds_the_label_or_leaves_nothing_out(confidence: Any) -> None:
    """A label in the set is held, and so is any label by a set that says it may be anything; before the first set
    there is nothing to say.
    """
    answers = [{"confidence": 0.9, "set": [1, 7]}, {"confidence": 0.5, "set": None}, {"confidence": None, "set": None}]
    assert [confidence.held(answer, 7) for answer in answers] == [True, True, None]
    assert [confidence.held(answer, 3) for answer in answers] == [False, True, None]
    assert [confidence.size(answer) for answer in answers] == [2, 0, None]


def test_coverage_is_counted_phase_by_phase(confidence: Any) -> None:
    """Each phase's sets apart, those of all streams together, and queries before the first set left out."""
    stream = confidence.Stream(
        held=[None, True, False, True, True, True],
        sizes=[None, 1, 2, 0, 1, 1],
        right=[True, True, False, True, True, True],
    )
    phases = confidence._phases([stream, stream], 6)
    assert [round(phases[name]["coverage"], 3) for name in (*confidence._PHASES, "all")] == [1.0, 0.5, 1.0, 0.8]
    assert phases["drift"]["size"] == 2.0
    assert phases["drift"]["anything"] == 0.5
    assert [goal.met for goal in confidence._goals(confidence.Agreement(rows=10, errors=4, agreed=5, agreed_errors=1),
                                                   phases)] == [False, False, False, False, False, False]  # fmt: skip


@pytest.mark.slow
def test_a_small_run(confidence: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One split and one stream through the server: answers have sets, and they hold the label more often than not."""
    monkeypatch.setattr(confidence, "DATA", ["cancer"])
    monkeypatch.setattr(confidence, "_QUICK_SPLITS", 1)
    monkeypatch.setattr(confidence, "_QUICK_STREAMS", 1)
    result = confidence._run(True)
    phases = result.data["phases"]["adaptive"]
    assert 0.5 < phases["all"]["coverage"] < 1.0
    assert phases["drift"]["size"] > phases["calm"]["size"]
    assert result.data["agreement"]["cancer"]["rows"] == 285
