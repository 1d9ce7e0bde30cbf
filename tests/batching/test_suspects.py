"""Rows that workers died over."""

from __future__ import annotations

from skysail.batching.suspects import Suspects


def test_three_deaths_quarantine_for_a_minute() -> None:
    """First together, then alone, then not at all, then again."""
    suspects = Suspects()
    suspects.died([b"row"], 0.0)
    assert not suspects.alone(b"row", 0.0)
    suspects.died([b"row"], 1.0)
    assert suspects.alone(b"row", 1.0)
    assert not suspects.quarantined(b"row", 1.0)
    suspects.died([b"row"], 2.0)
    assert suspects.quarantined(b"row", 61.0)
    assert not suspects.quarantined(b"row", 63.0)
    assert not suspects


def test_an_answer_acquits() -> None:
    """A neighbour of the deadly row is innocent once it has been answered."""
    suspects = Suspects()
    suspects.died([b"a", b"b"], 0.0)
    suspects.survived(b"a")
    suspects.died([b"a", b"b"], 0.0)
    assert suspects.alone(b"b", 0.0)
    assert not suspects.alone(b"a", 0.0)


def test_the_list_is_bounded() -> None:
    """A flood of deadly rows does not fill the memory."""
    suspects = Suspects()
    suspects.died([str(i).encode() for i in range(10_000)], 0.0)
    assert len(suspects._deaths) <= 4096
