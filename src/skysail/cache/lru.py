"""A cache that forgets what was not used for longest."""

from __future__ import annotations

from collections import OrderedDict

from skysail.cache.cache import Cache
from skysail.clock import Clock

__all__ = ["Lru"]

_OVERHEAD = 220
"""Bytes that an entry costs besides its key and output: two bytes objects, the entry and the table's share."""


class Lru(Cache):
    """Least recently used out first.

    Right where an input that was asked about is asked about again soon. Not where many inputs come once, or a job now
    and then asks about all there is: each drives out one that would have been asked about again (see
    `skysail.cache.sieve`).
    """

    def __init__(self, budget: int, ttl: float | None, clock: Clock) -> None:
        super().__init__(budget, ttl, clock)
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, key: bytes) -> bytes | None:
        """The output kept under a key, which becomes the most recently used."""
        output = self._entries.get(key)
        if output is None:
            self._misses += 1
            return None
        if self._ttl is not None and self._too_old(key):
            self._gone(key, self._entries.pop(key))
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        return output

    def __contains__(self, key: bytes) -> bool:
        """Whether there is an output under a key; it is neither used nor counted."""
        return key in self._entries

    def put(self, key: bytes, output: bytes, now: float) -> None:
        """Keep an output; the least recently used make room for it."""
        size = len(key) + len(output) + _OVERHEAD
        if size > self._budget:
            return
        entries = self._entries
        if key in entries:
            self._gone(key, entries.pop(key))
        entries[key] = output
        if self._ttl is not None:
            self._born[key] = now
        self._bytes += size
        while self._bytes > self._budget:
            oldest, gone = entries.popitem(last=False)
            self._gone(oldest, gone)
            self._evicted += 1

    def _held(self) -> int:
        return len(self._entries)

    def _gone(self, key: bytes, output: bytes) -> None:
        self._bytes -= len(key) + len(output) + _OVERHEAD
        if self._ttl is not None:
            del self._born[key]
