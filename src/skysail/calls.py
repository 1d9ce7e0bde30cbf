"""The one call that goes down the stack: engine, cache, batcher and replica all take a `Call` and settle it once.

No task and no future belongs to a call; whoever makes it says by subclassing what settling it does. That keeps a query
to a few objects (see "The budget of a request" in ARCHITECTURE.md).
"""

from __future__ import annotations

from typing import Protocol

from mypy_extensions import mypyc_attr

from skysail.types import Outcome

__all__ = ["Call", "Predictor", "Twin"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Call:
    """One row to be evaluated by one model version, by a deadline.

    `row` and `binary` are as in `Query`; times are monotonic seconds. `over` is set by `settle` and by whoever gives
    the call up; a call that is over is skipped by all who still hold it. `queued` belongs to the queue the call stands
    in.
    """

    __slots__ = ("arrived", "binary", "deadline", "over", "queued", "row")

    def __init__(self, row: bytes, binary: bool, arrived: float, deadline: float) -> None:
        self.row = row
        self.binary = binary
        self.arrived = arrived
        self.deadline = deadline
        self.over = False
        self.queued = False

    def settle(self, outcome: Outcome, now: float) -> None:
        """Take the outcome; called at most once, at monotonic time `now`."""
        raise NotImplementedError


class Twin:
    """A call that two replicas have in hand; `won` tells whether the second was the first to answer it."""

    __slots__ = ("won",)

    def __init__(self) -> None:
        self.won = False


class Predictor(Protocol):
    """What answers calls. The cache is one around a batcher; a test's fake is one too."""

    def ask(self, call: Call) -> None:
        """Settle the call now or later; a call that is over by then is not settled."""
        ...

    def knows(self, row: bytes, binary: bool) -> bool:
        """Whether a call with this row would be answered without more work for the model."""
        ...

    def full(self, now: float, deadline: float) -> bool:
        """Whether any call that came now with this deadline would be refused for the work ahead of it, were its row not
        known.
        """
        ...

    def turn_away(self) -> None:
        """Count a call as refused that was not made, because all this is known."""
        ...

    def forget(self, call: Call) -> None:
        """Nobody waits for this call any more: do not run it unless it is running already."""
        ...

    def hurry(self, call: Call, deadline: float) -> None:
        """A call that waits here must be taken as if its deadline were this earlier one."""
        ...

    def hedge(self, call: Call) -> Twin | None:
        """Give a call that a replica has in hand to an idle one as well; `None` where there is no such pair."""
        ...
