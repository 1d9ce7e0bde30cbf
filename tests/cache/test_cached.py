"""Hits, joined flights and callers who leave."""

from __future__ import annotations

from skysail.cache.cached import Cached
from skysail.cache.lru import Lru
from skysail.calls import Call, Twin
from skysail.testing.clock import ManualClock
from skysail.types import Failure, Outcome, Output


class Caller(Call):
    """A call that keeps what it is told."""

    __slots__ = ("outcome",)

    def __init__(self, row: bytes = b"row", deadline: float = 1.0, binary: bool = False) -> None:
        super().__init__(row, binary, 0.0, deadline)
        self.outcome: Outcome | None = None

    def settle(self, outcome: Outcome, now: float) -> None:
        self.over = True
        self.outcome = outcome


class Below:
    """A predictor that waits to be told what to answer."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.forgotten: list[Call] = []
        self.hurried: list[float] = []
        self.hedged: list[Call] = []
        self.twin = Twin()

    def ask(self, call: Call) -> None:
        self.calls.append(call)

    def forget(self, call: Call) -> None:
        self.forgotten.append(call)

    def hurry(self, call: Call, deadline: float) -> None:
        self.hurried.append(deadline)

    def hedge(self, call: Call) -> Twin:
        self.hedged.append(call)
        return self.twin


def make() -> tuple[Cached, Below]:
    """A cached predictor over a hand-driven one."""
    below = Below()
    return Cached(below, Lru(1 << 20, None, ManualClock())), below


def test_a_hit_asks_nobody() -> None:
    """The second equal row is answered at once."""
    cached, below = make()
    cached.ask(Caller())
    below.calls[0].settle(Output(b"7"), 0.5)
    again = Caller()
    cached.ask(again)
    assert again.outcome == Output(b"7")
    assert len(below.calls) == 1


def test_equal_rows_in_flight_share_one_evaluation() -> None:
    """Two callers, one evaluation, both answered."""
    cached, below = make()
    first, second = Caller(), Caller()
    cached.ask(first)
    cached.ask(second)
    assert len(below.calls) == 1
    below.calls[0].settle(Output(b"7"), 0.5)
    assert first.outcome == second.outcome == Output(b"7")
    assert cached.statistics.joined == 1


def test_bytes_that_mean_something_else_are_another_row() -> None:
    """A JSON row and a binary row of the same bytes are not the same."""
    cached, below = make()
    cached.ask(Caller(b"1234"))
    cached.ask(Caller(b"1234", binary=True))
    assert len(below.calls) == 2


def test_versions_that_share_a_cache_share_no_answer() -> None:
    """The same row asked of another version is another entry: one model's answer is never another's."""
    below, cache = Below(), Lru(1 << 20, None, ManualClock())
    old, new = Cached(below, cache), Cached(below, cache)
    old.ask(Caller())
    below.calls.pop().settle(Output(b"1"), 0.0)
    asked = Caller()
    new.ask(asked)
    assert asked.outcome is None
    assert len(below.calls) == 1


def test_one_caller_leaves_and_the_others_are_answered() -> None:
    """Cancelling one of those who wait for a flight does not end it."""
    cached, below = make()
    gone, stays = Caller(), Caller()
    cached.ask(gone)
    cached.ask(stays)
    gone.over = True
    cached.forget(gone)
    assert not below.forgotten
    below.calls[0].settle(Output(b"7"), 0.5)
    assert stays.outcome == Output(b"7")
    assert gone.outcome is None


def test_a_flight_without_callers_is_given_up() -> None:
    """When the last one leaves, the work is forgotten; a new caller starts a new flight."""
    cached, below = make()
    call = Caller()
    cached.ask(call)
    cached.forget(call)
    assert below.forgotten == below.calls
    cached.ask(Caller())
    assert len(below.calls) == 2


def test_a_flight_lives_as_long_as_its_latest_caller() -> None:
    """A later deadline extends the flight; an earlier one moves it up in the queue."""
    cached, below = make()
    cached.ask(Caller(deadline=1.0))
    cached.ask(Caller(deadline=3.0))
    assert below.calls[0].deadline == 3.0
    cached.ask(Caller(deadline=0.5))
    assert below.hurried == [0.5]
    assert below.calls[0].deadline == 3.0


def test_failures_are_shared_but_not_kept() -> None:
    """All who wait hear of an error; the next caller tries anew."""
    cached, below = make()
    first, second = Caller(), Caller()
    cached.ask(first)
    cached.ask(second)
    below.calls[0].settle(Failure("model_error", "boom"), 0.5)
    assert isinstance(first.outcome, Failure)
    assert first.outcome is second.outcome
    cached.ask(Caller())
    assert len(below.calls) == 2


def test_a_refusal_at_the_door_leaves_nothing_behind() -> None:
    """A call refused at once below does not leave a flight for later callers to join."""

    class Refusing(Below):
        def ask(self, call: Call) -> None:
            super().ask(call)
            call.settle(Failure("overload", "full"), 0.0)

    below = Refusing()
    cached = Cached(below, Lru(1 << 20, None, ManualClock()))
    for _ in range(2):
        call = Caller()
        cached.ask(call)
        assert isinstance(call.outcome, Failure)
    assert len(below.calls) == 2


def test_what_is_hedged_is_the_flight() -> None:
    """A second replica is given the evaluation that all who wait share; a call that waits for none has nothing to
    hedge.
    """
    cached, below = make()
    first, second = Caller(), Caller()
    cached.ask(first)
    cached.ask(second)
    assert cached.hedge(second) is below.twin
    assert below.hedged == below.calls
    cached.forget(first)
    assert cached.hedge(first) is None
    assert cached.hedge(Caller(b"other")) is None


def test_what_is_known_is_told_without_asking() -> None:
    """Kept outputs and rows under way are known, each kind of row for itself; nothing is counted by looking."""
    cached, below = make()
    assert not cached.knows(b"row", False)
    cached.ask(Caller())
    assert cached.knows(b"row", False)
    assert not cached.knows(b"row", True)
    below.calls[0].settle(Output(b"7"), 0.5)
    assert cached.knows(b"row", False)
    assert (cached.statistics.hits, cached.statistics.misses) == (0, 1)
