"""A replica as the queue sees it: what it has in hand, when that is due, and how much it may be given at once."""

from __future__ import annotations

from typing import Protocol

from skysail.batching.estimator import Estimator
from skysail.batching.sizing import Sizing
from skysail.calls import Call

__all__ = ["Batch", "Replica", "Station"]


class Batch:
    """Rows under way to one replica, and when they left; `again` if another replica has them in hand already."""

    __slots__ = ("again", "behind", "calls", "sent")

    def __init__(self, calls: list[Call], sent: float, *, again: bool = False) -> None:
        self.calls = calls
        self.sent = sent
        self.again = again
        self.behind = False
        """Whether the replica had another one in hand still, which hides this one's round trip."""


class Replica(Protocol):
    """What the batcher needs of a worker's near end."""

    def send(self, batch: Batch) -> None:
        """Put a batch on the wire. The answer comes back through `Batcher.answered`, or `Batcher.lost`."""
        ...


class Station:
    """A replica as its batcher sees it: its learned batch size, what it has in hand, and when that is due."""

    __slots__ = ("depth", "due", "estimator", "fixed", "inflight", "last_done", "ready", "replica", "sizing", "trip")

    def __init__(self, replica: Replica, sizing: Sizing) -> None:
        self.replica = replica
        self.sizing = sizing
        self.estimator = Estimator()
        self.inflight: list[Batch] = []
        self.ready = False
        self.depth = 1
        self.due = 0.0
        self.trip = 0.0
        self.fixed = 0.0
        self.last_done = 0.0

    @property
    def free(self) -> bool:
        """Whether a batch sent now would start soon enough to be worth sending."""
        return self.ready and len(self.inflight) < self.depth

    def ahead(self, now: float) -> float:
        """The modelled seconds until what is in hand is done."""
        return max(0.0, self.due - now) if self.inflight else 0.0

    def send(self, batch: Batch, now: float) -> None:
        """Put one more batch into the replica's hands."""
        self.due = now + self.ahead(now) + self.estimator.expected(len(batch.calls))
        batch.behind = bool(self.inflight)
        self.inflight.append(batch)
        self.replica.send(batch)

    def holds(self, call: Call) -> bool:
        """Whether a call is in the replica's hands."""
        for batch in self.inflight:  # noqa: SIM110 - a generator costs more, where this is compiled too
            if call in batch.calls:
                return True
        return False

    def done(self, batch: Batch, now: float, busy: float) -> float:
        """Take a batch that is answered out of them; the seconds it took, of which the worker was `busy` so many."""
        self.inflight.remove(batch)
        seconds = now - max(batch.sent, self.last_done)
        self.last_done = now
        self.estimator.add(len(batch.calls), seconds, now, busy)
        self.due = now
        for left in self.inflight:
            self.due += self.estimator.expected(len(left.calls))
        rows = len(batch.calls)
        if not batch.behind:
            self.trip += 0.2 * (max(0.0, seconds - busy) - self.trip)
        self.fixed += 0.2 * (max(0.0, busy - self.estimator.per_row * rows) - self.fixed)
        self._set_depth(rows)
        return seconds

    def _set_depth(self, rows: int) -> None:
        """Two batches in flight hide the round trip of a model that is about as fast. A slow one is better off with one
        larger batch: it gets a second only when the trip is worth a quarter of its time, and more than what each batch
        costs the worker whatever its size, for two of them cost that twice. Of a batch that was sent to an idle replica
        the estimate holds the trip, of one that waited there it does not: so who has depth 2 keeps it.
        """
        work = self.estimator.expected(rows) - self.trip
        self.depth = 2 if work < 0.001 or (work < 4 * self.trip < 0.004 and self.trip > self.fixed) else 1
