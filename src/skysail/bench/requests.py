"""Requests as bytes, made before they are needed, no two of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

__all__ = ["Requests"]

_BLANKS = [bytes(blank) for blank in product(b" \t\n\r", repeat=6)]
"""All texts of six blanks: the number of a turn is written in two of them."""


class Requests:
    """POSTs of rows in turn, without end.

    JSON may have blanks between its values, and the cache compares an input as it was sent: so behind the first bracket
    of a row stand twelve blanks, other ones in each turn, and no cache answers a row that was sent before, while its
    model gets the very same values. A row without a bracket (a number, a string) stays as it is, and repeats.
    """

    def __init__(self, rows: Sequence[bytes], *, host: str, path: str, token: str | None = None) -> None:
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        head = "\r\n".join(lines).encode()
        self._halves = [_halves(head, row) for row in rows]
        self._number = 0

    def next(self) -> bytes:
        """The next request."""
        turn, place = divmod(self._number, len(self._halves))
        self._number += 1
        before, after = self._halves[place]
        return b"".join((before, _BLANKS[turn & 4095], _BLANKS[turn >> 12 & 4095], after))


def _halves(head: bytes, row: bytes) -> tuple[bytes, bytes]:
    """What stands before the blanks, and behind them."""
    at = 1 if row[:1] in b"[{" else 0
    before, after = b'{"input":' + row[:at], row[at:] + b"}"
    length = len(before) + 12 + len(after)
    return head + b"\r\nContent-Length: %d\r\n\r\n" % length + before, after
