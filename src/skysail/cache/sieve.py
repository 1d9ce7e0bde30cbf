"""A cache in which what is asked for once does not drive out what is asked for again."""

from __future__ import annotations

from collections import deque

from skysail.cache.cache import Cache
from skysail.clock import Clock

__all__ = ["Sieve"]

_OVERHEAD = 200
"""Bytes that an entry costs besides its key and output: two bytes objects, the table's share, a place in the queue, and
the mark of one that was used.
"""

_MOST_PASSED = 64
"""Entries that the hand passes over before it takes the next, used or not: one output has not to wait until a hundred
thousand marks are cleared.
"""


class Sieve(Cache):
    """SIEVE (Zhang, Yang, Yue, Vigfusson and Rashmi, NSDI 2024): a queue in the order of arrival, and a hand.

    A use marks an entry, and moves nothing. The hand goes from the oldest entry to the newest and round again; it takes
    the mark from those that were used and leaves them where they are, and evicts the first one that was not. So what is
    new has to be used before the hand comes by, and a scan evicts itself.

    Right where some inputs are always popular, or many come once. Where an input is asked about again soon or never, or
    all that is popular changes at once, `skysail.cache.lru` keeps the right ones.

    The hand cuts the queue in two, and only ever takes from the front of what is ahead of it, so that two plain queues
    are all there is to keep. The mark of an entry is that its output stands in a tuple.
    """

    def __init__(self, budget: int, ttl: float | None, clock: Clock) -> None:
        super().__init__(budget, ttl, clock)
        self._entries: dict[bytes, bytes | tuple[bytes]] = {}
        self._ahead: deque[bytes] = deque()
        self._behind: deque[bytes] = deque()

    def get(self, key: bytes) -> bytes | None:
        """The output kept under a key, which is marked as used."""
        output = self._entries.get(key)
        if output is None:
            self._misses += 1
            return None
        if self._ttl is not None and self._too_old(key):  # it keeps its place, for the one that will replace it
            return None
        self._hits += 1
        if isinstance(output, tuple):
            return output[0]
        self._entries[key] = (output,)
        return output

    def __contains__(self, key: bytes) -> bool:
        """Whether there is an output under a key; it is neither used nor counted."""
        return key in self._entries

    def put(self, key: bytes, output: bytes, now: float) -> None:
        """Keep an output; those that the hand finds unused make room for it. One that replaces an older output of its
        key was asked for again, and is marked.
        """
        size = len(key) + len(output) + _OVERHEAD
        if size > self._budget:
            return
        if self._ttl is not None:
            self._born[key] = now
        old = self._entries.get(key)
        if old is None:
            self._bytes += size
            self._make_room()  # before it stands in the queue: what is new is not what goes
            self._ahead.append(key)
            self._entries[key] = output
        else:
            self._bytes += len(output) - len(old[0] if isinstance(old, tuple) else old)
            self._entries[key] = (output,)
            self._make_room()

    def _held(self) -> int:
        return len(self._entries)

    def _make_room(self) -> None:
        """Let the hand go on until what is kept is within the budget."""
        entries = self._entries
        passed = 0
        while self._bytes > self._budget:
            if not self._ahead:
                self._ahead, self._behind = self._behind, self._ahead
            key = self._ahead.popleft()
            output = entries[key]
            if isinstance(output, tuple):
                output = output[0]
                if passed < _MOST_PASSED:
                    passed += 1
                    entries[key] = output
                    self._behind.append(key)
                    continue
            del entries[key]
            if self._ttl is not None:
                del self._born[key]
            self._bytes -= len(key) + len(output) + _OVERHEAD
            self._evicted += 1
