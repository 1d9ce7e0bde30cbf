"""The prediction cache: outputs by model version and the input's very bytes, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from skysail.clock import Clock
from skysail.types import Output

__all__ = ["Cache", "CacheStatistics", "Key"]

Key = tuple[int, bytes]
"""The number of a model version (and of the row's encoding), and the row itself: compared in full, not by hash
alone.
"""

_OVERHEAD = 330
"""Bytes that an entry costs besides its row and output: tuple, two bytes objects, output, entry and the table's
share.
"""


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

    An output older than `ttl` seconds is not served. An output larger than the whole budget is not kept.
    """

    def __init__(self, budget: int, ttl: float | None, clock: Clock) -> None:
        self._entries: OrderedDict[Key, Output] = OrderedDict()
        self._budget = budget
        self._ttl = ttl
        self._now = clock.monotonic
        self._bytes = 0
        self._hits = self._misses = self._evicted = self._expired = 0

    def get(self, key: Key) -> Output | None:
        """The output kept under a key, which becomes the most recently used."""
        output = self._entries.get(key)
        if output is None:
            self._misses += 1
            return None
        if self._ttl is not None and self._now() - output.born > self._ttl:
            self._expired += 1
            self._misses += 1
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        return output

    def put(self, key: Key, output: Output, now: float) -> None:
        """Keep an output; the least recently used make room for it."""
        size = len(key[1]) + len(output.raw) + _OVERHEAD
        if size > self._budget:
            return
        entries = self._entries
        if key in entries:
            self._remove(key)
        output.born = now
        entries[key] = output
        self._bytes += size
        while self._bytes > self._budget:
            oldest, gone = entries.popitem(last=False)
            self._bytes -= len(oldest[1]) + len(gone.raw) + _OVERHEAD
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

    def _remove(self, key: Key) -> None:
        output = self._entries.pop(key)
        self._bytes -= len(key[1]) + len(output.raw) + _OVERHEAD
