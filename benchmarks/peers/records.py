"""What was measured, one record for each thing that was done, as it goes into the JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Closed", "Failure", "Idle", "Limit", "OpenRate", "Overload", "Results"]


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A closed loop of clients on one system."""

    system: str
    """Which."""

    workload: str
    """Which model it served."""

    round: int
    """Which round."""

    connections: int
    """How many clients."""

    rate: float
    """Answers with 2xx, a second."""

    p50_ms: float
    """Median latency."""

    p99_ms: float
    """99th percentile of it, as a closed loop sees it."""

    errors: int
    """Answers that were not 2xx, connections that failed, and answers that took over 2 s."""

    cpu_us: float
    """Processor time of the system for each answer, in µs."""

    memory_mib: float
    """Memory of all its processes afterwards, each page counted once."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A loop in one process that decodes and predicts the same rows in batches: no server, no socket."""

    workload: str
    """Which model."""

    round: int
    """Which round."""

    batch: int
    """Rows in each batch."""

    rate: float
    """Rows a second."""


@dataclass(frozen=True, kw_only=True)
class OpenRate:
    """A search for the highest rate of random arrivals that a system answers in time, without an error."""

    system: str
    """Which."""

    workload: str
    """Which model it served."""

    round: int
    """Which round."""

    rate: float
    """The rate found, in requests a second; 0 where none was in time."""

    deaths: int
    """How often it had to be started again, since it did not answer any more after a rate that was too high."""

    tried: list[dict[str, float | None]]
    """Each rate that was tried, what failed, and the 99th percentile of the latency."""


@dataclass(frozen=True, kw_only=True)
class Overload:
    """Three times its capacity offered to a system, with half of it before and after."""

    system: str
    """Which."""

    workload: str
    """Which model it served."""

    round: int
    """Which round."""

    capacity: float
    """Its own rate in a closed loop of 64 just before, in answers a second."""

    goodput: float
    """Answers within the limit of when they were due, a second, while overloaded."""

    before_p99_ms: float | None
    """99th percentile of the latency before."""

    p99_ms: float | None
    """The same, of all answers with 2xx, while overloaded."""

    refused: int
    """Requests refused (503, 429) while overloaded."""

    refused_p99_ms: float | None
    """99th percentile of how long that took, from when they were due."""

    errors: int
    """Other failures while overloaded: answers of another status, and connections."""

    timeouts: int
    """Requests given up after 2 s while overloaded, sent or not."""

    recovered_s: float | None
    """Seconds after the overload from which its latency is normal again; None where it never was while watched."""

    memory_before_mib: float
    """Memory of its processes before."""

    memory_peak_mib: float
    """The most seen meanwhile."""

    memory_after_mib: float
    """The same at the end."""

    late_p99_ms: float | None
    """99th percentile of how late the generator itself was, while overloading."""

    statuses: dict[str, int]
    """Answers of each HTTP status, before, during and after."""

    alive: bool
    """Whether a lone query was answered at the end, within 5 s."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A system that nobody asks anything."""

    system: str
    """Which."""

    workers: int
    """Processes that hold a model."""

    percent: float
    """Processor time of all its processes, in percent of one core."""

    memory_mib: float
    """Memory of all its processes, each page counted once."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that could not be measured."""

    system: str
    """Which system failed."""

    step: str
    """At what."""

    reason: str
    """Why."""


@dataclass(kw_only=True)
class Results:
    """Everything that was measured in one run."""

    closed: list[Closed] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    open: list[OpenRate] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """What was left out for want of time."""

    right: dict[str, str] = field(default_factory=dict)
    """How many answers were right before anything was measured, by system and workload."""

    def rates(self, system: str, workload: str, connections: int) -> list[float]:
        """The rates of a system, round by round."""
        return [it.rate for it in self.loops(system, workload, connections)]

    def loops(self, system: str, workload: str, connections: int) -> list[Closed]:
        """The closed loops on a system."""
        wanted = (system, workload, connections)
        return [it for it in self.closed if (it.system, it.workload, it.connections) == wanted]

    def systems(self) -> Sequence[str]:
        """Those that were measured at all, in the order of their first record."""
        records: list[Closed | OpenRate | Overload | Idle] = [*self.closed, *self.open, *self.overloads, *self.idle]
        return list(dict.fromkeys(it.system for it in records))

    def as_json(self) -> dict[str, Any]:
        """The records for programs."""
        return asdict(self)
