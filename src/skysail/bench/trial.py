"""What a generator is told to do, and what it saw: plain values that pass between two processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil
from random import Random

import msgspec

__all__ = ["Closed", "Open", "Order", "Setup", "Tally", "Trial", "arrivals", "quantile"]

_IDS = 200
"""Predictions whose ids are kept, to be asked about afterwards."""

_FINE = "low_confidence"
"""The one reason of a default that says nothing of time."""


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """The server, and the file of rows to send it, one a line; said once, first."""

    host: str
    port: int
    path: str
    rows: str
    token: str | None = None


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """A closed loop: each connection sends its next query when it has the answer to the last. It finds capacity."""

    connections: int
    seconds: float


class Open(msgspec.Struct, frozen=True, tag="open"):
    """An open loop: queries come at random (a Poisson process), whether or not the server keeps up."""

    rate: float
    seconds: float
    connections: int
    seed: int


Order = Setup | Closed | Open
"""A line to the generator. It answers each `Closed` and `Open` with a `Trial`."""


class Trial(msgspec.Struct, frozen=True):
    """What came of a loop; times in seconds. A latency is counted from when its query was due."""

    offered: float | None
    """Queries a second that were due on average; `None` for a closed loop."""

    rate: float
    """Queries a second that were answered, by a model."""

    sent: int
    p50: float
    p90: float
    p99: float
    worst: float
    mean: float

    errors: dict[str, int]
    """Queries that no model answered, by error code, by the reason of the default, `lost` where the connection broke
    and `unanswered` where no answer came within the time of waiting.
    """

    message: str
    """What the first error said."""

    lag: float
    """The p99 of the generator's own delay: from when a query was due, and a connection free, to its sending."""

    cpu: float
    """Seconds of a processor that the generator used for each second."""

    ids: list[str]
    """Some predictions, spread evenly over the loop."""

    def within(self, slo: float) -> bool:
        """Whether every query was answered by a model, and 99 of 100 within the objective."""
        return not self.errors and self.sent > 0 and self.p99 <= slo

    @property
    def behind(self) -> bool:
        """Whether the generator itself did not keep up, so that its numbers say little of the server."""
        return self.lag > 0.001 or self.cpu > 0.9


class Tally:
    """Counts queries as they are sent and answered; pure: times come in as arguments."""

    def __init__(self) -> None:
        self.sent = 0
        self.latencies: list[float] = []
        self.lags: list[float] = []
        self.errors: Counter[str] = Counter()
        self.message = ""
        self._ids: list[str] = []
        self._every = 1

    def send(self, due: float, free: float, now: float) -> None:
        """A query is sent that was due then, and for which there has been a free connection since."""
        self.sent += 1
        self.lags.append(now - max(due, free))

    def answer(self, due: float, now: float, status: int, body: bytes) -> None:
        """Its answer is here."""
        self.latencies.append(now - due)
        if status != 200:
            self._failed(*_error(body, status))
        elif b'"default":true' in body and (reason := _word(body, b'"reason":"')) != _FINE:
            self._failed(reason, f"answered with the default, {reason}")
        elif len(self.latencies) % self._every == 0:
            self._keep(_word(body, b'"prediction_id":"'))

    def lose(self, due: float, now: float, why: str) -> None:
        """No answer will come; so long it has been waited for."""
        self.latencies.append(now - due)
        self._failed(why, {"lost": "the server closed the connection"}.get(why, "no answer came in time"))

    def trial(self, *, offered: float | None, seconds: float, cpu: float) -> Trial:
        """All of it, of a loop that took so long."""
        ranked = sorted(self.latencies) or [0.0]
        good = len(self.latencies) - self.errors.total()
        return Trial(
            offered=offered,
            rate=good / seconds,
            sent=self.sent,
            p50=quantile(ranked, 0.5),
            p90=quantile(ranked, 0.9),
            p99=quantile(ranked, 0.99),
            worst=ranked[-1],
            mean=sum(ranked) / len(ranked),
            errors=dict(self.errors),
            message=self.message,
            lag=quantile(sorted(self.lags) or [0.0], 0.99),
            cpu=cpu,
            ids=self._ids,
        )

    def _keep(self, id: str) -> None:
        """Every so many answers one is kept, and half of them are let go when there are too many."""
        self._ids.append(id)
        if len(self._ids) > _IDS:
            del self._ids[::2]
            self._every *= 2

    def _failed(self, code: str, message: str) -> None:
        self.errors[code] += 1
        self.message = self.message or message


def arrivals(rate: float, seconds: float, rng: Random) -> list[float]:
    """When queries come that come at random, so many a second on average: seconds from the start, in order."""
    moments = []
    moment = rng.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += rng.expovariate(rate)
    return moments


def quantile(ranked: Sequence[float], share: float) -> float:
    """The value that so great a share of all, which are in order, stays at or below.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2], 0.99)
    (2, 2)
    """
    return ranked[max(1, ceil(share * len(ranked))) - 1]


def _error(body: bytes, status: int) -> tuple[str, str]:
    """The code and the message of an error; its status, where it is none of ours."""
    try:
        error = msgspec.json.decode(body)["error"]
        return str(error["code"]), str(error["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return str(status), body[:200].decode(errors="replace")


def _word(body: bytes, key: bytes) -> str:
    """The text behind a key in the JSON of an answer; found by search, for most of an answer is of no interest."""
    return body.partition(key)[2].partition(b'"')[0].decode()
