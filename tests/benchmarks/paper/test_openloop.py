from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def openloop(paper: Any) -> Any:
    """The module."""
    return paper("openloop")


class Clock:
    """Goes on by a tenth of a millisecond each time it is read, and by what one makes it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now


class SlowSender:
    """A client that takes a while before it even sends, all others with it; each answer then comes at once."""

    def __init__(self, clock: Clock, seconds: Callable[[Any], float]) -> None:
        self.clock = clock
        self.seconds = seconds

    async def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        self.clock.now += self.seconds(body["input"])
        return 200, {"path": path, "output": body["input"]}


def ask(openloop: Any, monkeypatch: pytest.MonkeyPatch, planned: list[Any], seconds: Callable[[Any], float]) -> Any:
    """What becomes of queries sent by a `SlowSender`."""
    clock = Clock()
    monkeypatch.setattr(openloop.time, "perf_counter", clock)
    return asyncio.run(openloop.ask_when_due(SlowSender(clock, seconds), "app", planned))


def test_arrivals_keep_their_rate(openloop: Any) -> None:
    """Phase after phase, each at about its own rate; in order, the same for the same seed, rows in turn."""
    planned = openloop.arrivals(random.Random(1), ["a", "b", "c"], [(10.0, 100.0), (10.0, 300.0)])
    dues = [arrival.due for arrival in planned]
    assert dues == sorted(dues)
    assert sum(due < 10.0 for due in dues) == pytest.approx(1000, rel=0.1)
    assert sum(due >= 10.0 for due in dues) == pytest.approx(3000, rel=0.1)
    assert dues[-1] < 20.0
    assert [arrival.row for arrival in planned[:4]] == ["a", "b", "c", "a"]
    assert planned == openloop.arrivals(random.Random(1), ["a", "b", "c"], [(10.0, 100.0), (10.0, 300.0)])


def test_latency_is_counted_from_when_a_query_was_due(openloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that is sent late because the client was held up has waited all the while."""
    planned = [openloop.Arrival(due=due, row=due) for due in (0.0, 0.01, 0.02)]
    asked = ask(openloop, monkeypatch, planned, lambda row: 1.0 if row == 0.0 else 0.0)
    assert [one.answer["output"] for one in asked] == [0.0, 0.01, 0.02]
    assert [one.due for one in asked] == [0.0, 0.01, 0.02]
    for one in asked:
        assert one.latency == pytest.approx(1.0 - one.due, abs=0.01)


def test_a_query_is_not_sent_before_it_is_due(openloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing holds the client up, queries wait for their time, and their answers come at once."""
    planned = [openloop.Arrival(due=due, row=due) for due in (0.0, 0.002, 0.004)]
    asked = ask(openloop, monkeypatch, planned, lambda row: 0.0)
    assert all(0.0 <= one.latency < 0.002 for one in asked)


def test_garbage_is_left_while_queries_are_sent(openloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is collected before the last answer is here, and afterwards all is as it was."""
    collecting = []

    def seconds(row: Any) -> float:
        collecting.append(gc.isenabled())
        return 0.0

    ask(openloop, monkeypatch, [openloop.Arrival(due=0.0, row=0.0)], seconds)
    assert collecting == [False]
    assert gc.isenabled()


def test_a_quantile_is_one_of_the_values(openloop: Any) -> None:
    """The least value that so great a share stays at or below."""
    values = list(range(1, 101))
    random.Random(1).shuffle(values)
    assert [openloop.quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
