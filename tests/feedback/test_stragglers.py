"""Which stragglers are forgiven."""

from __future__ import annotations

from random import Random

from skysail.feedback.stragglers import Stragglers


def test_half_missing_is_forgiven() -> None:
    """A model that misses every other answer is slow, not dead."""
    stragglers = Stragglers()
    for n in range(1000):
        stragglers.note("app", "slow", n % 2 == 0)
        assert not stragglers.lost("app", "slow")


def test_a_dead_model_is_lost_after_half_a_hundred() -> None:
    """From the 51st miss on it is lost, and found again by answering about as often."""
    stragglers = Stragglers()
    lost = []
    for _ in range(60):
        stragglers.note("app", "dead", missing=True)
        lost.append(stragglers.lost("app", "dead"))
    assert lost == [False] * 50 + [True] * 10
    answers = 0
    while stragglers.lost("app", "dead"):
        stragglers.note("app", "dead", missing=False)
        answers += 1
    assert answers == 50


def test_only_the_last_hundred_count(rng: Random) -> None:
    """The verdict is that of a count over the last hundred, for each application and model alone."""
    stragglers = Stragglers()
    history: list[bool] = []
    for n in range(600):
        missing = rng.random() < (0.9 if 150 < n < 350 else 0.2)
        history.append(missing)
        stragglers.note("app", "model", missing)
        assert stragglers.lost("app", "model") == (sum(history[-100:]) > 50)
    assert not stragglers.lost("app", "other")
    assert not stragglers.lost("other", "model")
