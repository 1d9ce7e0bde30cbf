"""The prediction cache: outputs by model version and the input's very bytes, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from skysail.clock import Clock

__all__ = ["Cache", "CacheStatistics"]

_OVERHEAD = 220
"""Bytes that an entry costs besides its key and output: two bytes objects, the entry and the table's share."""


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
    JSON text; one older than `ttl` seconds is not served, one larger than the whole budget not kept.

    Bytes for bytes: an entry is cold by the time it goes, and each object more that it were made of would be one more
    line of memory to wait for, in every query of a server that has run for a while.
    """

    def __init__(self, budget: int, ttl: float | None, clock: Clock) -> None:
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._born: dict[bytes, float] = {}
        self._budget = budget
        self._ttl = ttl
        self._now = clock.monotonic
        self._bytes = 0
        self._hits = self._misses = self._evicted = self._expired = 0

    def get(self, key: bytes) -> bytes | None:
        """The output kept under a key, which becomes the most recently used."""
        output = self._entries.get(key)
        if output is None:
            self._misses += 1
            return None
        if self._ttl is not None and self._now() - self._born[key] > self._ttl:
            self._expired += 1
            self._misses += 1
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        return output

    def put(self, key: bytes, output: bytes, now: float) -> None:
        """Keep an output; the least recently used make room for it."""
        size = len(key) + len(output) + _OVERHEAD
        if size > self._budget:
            return
        entries = self._entries
        if key in entries:
            self._remove(key)
        entries[key] = output
        if self._ttl is not None:
            self._born[key] = now
        self._bytes += size
        while self._bytes > self._budget:
            oldest, gone = entries.popitem(last=False)
            self._gone(oldest, gone)
            self._evicted += 1

    def statistics(self) -> CacheStatistics:
        """What the cache holds and did."""
        return CacheStatistics(
            entries=len(self._entries),
            bytes=self._bytes,
            budget=self._budget,
            hits=self._hits,
            misses=self._misses,
            evicted=self._evicted,
            expired=self._expired,
        )

    def _remove(self, key: bytes) -> None:
        self._gone(key, self._entries.pop(key))

    def _gone(self, key: bytes, output: bytes) -> None:
        self._bytes -= len(key) + len(output) + _OVERHEAD
        if self._ttl is not None:
            del self._born[key]
