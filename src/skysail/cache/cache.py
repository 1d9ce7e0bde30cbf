"""The prediction cache: outputs by model version and the input's very bytes, within a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass

from skysail.clock import Clock

__all__ = ["Cache", "CacheStatistics"]


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """A snapshot of the cache."""

    entries: int
    bytes: int
    budget: int
    hits: int
    misses: int
    evicted: int
    expired: int


class Cache:
    """One cache for all models of a frontend, within a budget of bytes (rows, outputs and what an entry itself costs).

    A key is a model version's own few bytes and then the row: compared in full, not by hash alone. An output is its
    JSON text; one older than `ttl` seconds is not served, one larger than the whole budget not kept. Which output makes
    room for another is what implementations differ in; `skysail.testing.caches` has the laws that all obey.

    Bytes for bytes: an entry is cold by the time it goes, and each object more that it were made of would be one more
    line of memory to wait for, in every query of a server that has run for a while.
    """

    def __init__(self, budget: int, ttl: float | None, clock: Clock) -> None:
        self._budget = budget
        self._ttl = ttl
        self._now = clock.monotonic
        self._born: dict[bytes, float] = {}
        self._bytes = 0
        self._hits = self._misses = self._evicted = self._expired = 0

    def get(self, key: bytes) -> bytes | None:
        """The output kept under a key, which counts as used."""
        raise NotImplementedError

    def __contains__(self, key: bytes) -> bool:
        """Whether there is an output under a key, old or not; asking is no use of it, and not counted."""
        raise NotImplementedError

    def put(self, key: bytes, output: bytes, now: float) -> None:
        """Keep an output, made at monotonic time `now`; others make room for it."""
        raise NotImplementedError

    def statistics(self) -> CacheStatistics:
        """What the cache holds and did; `expired` are the misses that found an output which was too old."""
        return CacheStatistics(
            entries=self._held(),
            bytes=self._bytes,
            budget=self._budget,
            hits=self._hits,
            misses=self._misses,
            evicted=self._evicted,
            expired=self._expired,
        )

    def _held(self) -> int:
        """The number of outputs kept."""
        raise NotImplementedError

    def _too_old(self, key: bytes) -> bool:
        """Whether an output that is kept may no longer be served; counted, if so."""
        if self._ttl is None or self._now() - self._born[key] <= self._ttl:
            return False
        self._expired += 1
        self._misses += 1
        return True
