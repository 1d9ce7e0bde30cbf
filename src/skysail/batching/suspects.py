"""Rows that were being evaluated when a worker died: tried again alone, and kept away once they are proven deadly."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Suspects"]

_ALONE = 2
_QUARANTINE = 3
_SECONDS = 60.0
_MOST = 4096


class Suspects:
    """Counts, by the row's bytes, the workers that died over it; forgets after a minute, or as soon as the row is
    answered.

    A batch that kills one worker goes to another as it is. The rows of a batch that killed two are sent one by one. A
    row that then kills a third is quarantined: refused for a minute, whoever sends it.
    """

    def __init__(self) -> None:
        self._deaths: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._deaths)

    def died(self, rows: list[bytes], now: float) -> None:
        """A worker died over these rows."""
        for row in rows:
            self._deaths[row] = (self._count(row, now) + 1, now)
            self._deaths.move_to_end(row)
        while len(self._deaths) > _MOST:
            self._deaths.popitem(last=False)

    def survived(self, row: bytes) -> None:
        """The row was answered after all: it is innocent."""
        self._deaths.pop(row, None)

    def alone(self, row: bytes, now: float) -> bool:
        """Whether this row must be sent by itself."""
        return self._count(row, now) >= _ALONE

    def quarantined(self, row: bytes, now: float) -> bool:
        """Whether this row must not be sent at all."""
        return self._count(row, now) >= _QUARANTINE

    def _count(self, row: bytes, now: float) -> int:
        deaths, when = self._deaths.get(row, (0, now))
        if now - when > _SECONDS:
            del self._deaths[row]
            return 0
        return deaths
