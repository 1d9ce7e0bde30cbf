from __future__ import annotations

from typing import Any

import pytest


def test_users_are_in_equal_groups_or_half_in_one(paper: Any) -> None:
    """168 users: 21 in each group, or 84 and 12 in each of the others."""
    groups = paper("personalisation").groups
    assert [groups(168, half=False).count(group) for group in range(8)] == [21] * 8
    assert [groups(168, half=True).count(group) for group in range(8)] == [84] + [12] * 7


def test_what_a_blind_choice_errs(paper: Any) -> None:
    """Right for its own eighth nine times in ten, for the others less than half of the time."""
    blind = paper("personalisation").BLIND
    assert blind == pytest.approx(0.49375)


def test_the_goals_tell_good_from_bad(paper: Any) -> None:
    """Limits are those after so many feedbacks, for the minority too; what was not run so long is not judged."""
    goals = paper("personalisation").goals
    good = {1: 0.44, 8: 0.15, 16: 0.11, 24: 0.11}
    assert len(goals(good, good)) == 7
    assert all(goal.met for goal in goals(good, good))
    [missed] = [goal for goal in goals(good, good | {8: 0.21}) if not goal.met]
    assert "minority's error after 8" in missed.what
    assert len(goals({1: 0.5, 8: 0.1}, {8: 0.1})) == 3
