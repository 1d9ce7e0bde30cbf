"""A bounded memory of what was used lately."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

__all__ = ["Recent"]

_K = TypeVar("_K")
_V = TypeVar("_V")


def _one(value: object) -> int:
    return 1


class Recent(Generic[_K, _V]):
    """A mapping that forgets in bulk what was not used for longest: at most `limit` is kept, and at least half of it.

    There are two generations. New entries and those used again are in the young one; when that has reached half the
    limit, it becomes the old one, and what was in the old one is gone. So an entry costs no more than in a dict (an
    `OrderedDict` would move an entry at every use). `weigh` gives an entry's share of the limit: by default, entries
    are counted.
    """

    def __init__(self, limit: int, weigh: Callable[[_V], int] = _one) -> None:
        self._half = limit / 2
        self._weigh = weigh
        self._weight = 0
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def __len__(self) -> int:
        return len(self._young) + sum(key not in self._young for key in self._old)

    def get(self, key: _K) -> _V | None:
        """The value, which counts as used, or `None`."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: _K, value: _V) -> None:
        """Add or replace an entry."""
        before = self._young.get(key)
        self._young[key] = value
        self._grow(self._weigh(value) - (0 if before is None else self._weigh(before)))

    def put_all(self, entries: Mapping[_K, _V], weight: int) -> None:
        """Add many new entries, that weigh so much together, at the price of one."""
        self._young.update(entries)
        self._grow(weight)

    def drop(self, key: _K) -> None:
        """Forget an entry; harmless where there is none."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget all entries."""
        self._young, self._old, self._weight = {}, {}, 0

    def _grow(self, weight: int) -> None:
        self._weight += weight
        if self._weight >= self._half:
            self._old, self._young, self._weight = self._young, {}, 0
