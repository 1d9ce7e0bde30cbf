"""Prediction ids: time-ordered, unique for ever, and made without asking anybody.

An id is `frontend-boot-counter`. The boot number comes from the store and only grows, so two runs never share an id;
the counter grows within a run, so the decisions of one commit are a range of ids, and a lookup finds their block
without an index entry for each.
"""

from __future__ import annotations

import re

__all__ = ["IdSource", "id_prefix", "parse_id"]

_ID = re.compile(r"([0-9a-f]{2})-([0-9a-f]{6,})-([0-9a-f]{8,})")

_TAILS = [f"{low:03x}" for low in range(1 << 12)]
"""The last three digits of a counter: joining two texts costs a third of formatting a number."""


def id_prefix(frontend: int, boot: int) -> str:
    """How all ids of one run of a frontend begin, and no others."""
    return f"{frontend:02x}-{boot:06x}-"


class IdSource:
    """The ids of one run of one frontend, in order."""

    def __init__(self, frontend: int, boot: int) -> None:
        self.frontend = frontend
        self.boot = boot
        self._prefix = id_prefix(frontend, boot)
        self._head = ""
        self._counter = 0

    def next(self) -> str:
        """The next id."""
        counter = self._counter
        low = counter % len(_TAILS)
        if low == 0:
            self._head = f"{self._prefix}{counter // len(_TAILS):05x}"
        self._counter = counter + 1
        return self._head + _TAILS[low]


def parse_id(text: str) -> tuple[int, int, int] | None:
    """The frontend, boot and counter of an id; `None` for what cannot be one.

    >>> parse_id(IdSource(0, 7).next())
    (0, 7, 0)
    >>> parse_id("no id")
    """
    match = _ID.fullmatch(text)
    return None if match is None else (int(match[1], 16), int(match[2], 16), int(match[3], 16))
