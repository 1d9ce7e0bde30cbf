"""Blocks as bytes: many decisions in one blob, from which one can be cut out without reading the others.

A blob is a table of n + 1 positions (32 bits each, little-endian), then the records. Record i, that of counter
first + i, lies between the i-th position and the next; where these are equal, there is none. Decisions are recorded
when their answer is ready, not in the order of their ids, so the ranges of blocks may overlap: a reader looks into each
block whose range holds its counter, and `SPAN` bounds how far back it has to look.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise, repeat
from typing import NamedTuple

from skysail.errors import StoreError
from skysail.ids import parse_id

__all__ = ["BYTES", "GAP", "SPAN", "Packed", "cut", "members", "pack", "parse_key", "require_key"]

SPAN = 512
"""Most counters that one blob covers."""

GAP = 64
"""Missing counters in a row that cost more as holes in a blob than as the beginning of another."""

BYTES = 4 << 20
"""Size beyond which a blob takes no further record."""

_LARGEST = 2**63 - 1


class Packed(NamedTuple):
    """A blob with the least and the greatest counter in it."""

    first: int
    last: int
    data: bytes


def parse_key(id: str) -> tuple[int, int, int] | None:
    """The frontend, boot and counter of an id, as numbers a store can hold; `None` for what was never an id of ours.

    >>> parse_key("00-000007-0000002a")
    (0, 7, 42)
    >>> parse_key("00-000007-ffffffffffffffffffff")
    """
    key = parse_id(id)
    return None if key is None or max(key) > _LARGEST else key


def require_key(id: str) -> tuple[int, int, int]:
    """As `parse_key`, for an id about which something is to be written: raises `StoreError` for what is none."""
    key = parse_key(id)
    if key is None:
        raise StoreError(f"{id!r} is not a prediction id, so nothing can be kept under it; ids are made by IdSource")
    return key


def pack(records: dict[int, bytes]) -> list[Packed]:
    """Blobs that hold these records, which are in ascending order: one, unless they lie far apart."""
    return [_packed(records, first, last) for first, last in _ranges(records)]


def cut(data: bytes, index: int) -> bytes | None:
    """The record at `index` (its counter less the blob's first) of a blob."""
    start, end = struct.unpack_from("<2I", data, 4 * index)
    return data[start:end] if end > start else None


def members(first: int, last: int, data: bytes) -> list[int]:
    """The counters that a blob has records of; its table of positions is enough for `data`."""
    positions = struct.unpack_from(f"<{last - first + 2}I", data)
    return [first + i for i, (start, end) in enumerate(pairwise(positions)) if end > start]


def _ranges(records: dict[int, bytes]) -> Iterator[tuple[int, int]]:
    """The counters that go into one blob, as first and last."""
    counters = list(records)
    start = 0
    while start < len(counters):
        end = bisect_left(counters, counters[start] + SPAN, start)
        near = counters[start:end]
        if near[-1] - near[0] < len(near) + GAP and sum(map(len, map(records.__getitem__, near))) <= BYTES:
            yield near[0], near[-1]
        else:
            yield from _divided(records, near)
        start = end


def _divided(records: dict[int, bytes], near: list[int]) -> Iterator[tuple[int, int]]:
    """As `_ranges`, for counters within one span that have wide gaps between them or make too large a blob."""
    first = last = near[0]
    size = 0
    for counter in near:
        if counter - last > GAP or size > BYTES:
            yield first, last
            first, size = counter, 0
        last = counter
        size += len(records[counter])
    yield first, last


def _packed(records: dict[int, bytes], first: int, last: int) -> Packed:
    """One blob of the records from `first` to `last`. (All loops are in C: this runs beside a busy event loop.)"""
    count = last - first + 1
    values = list(map(records.get, range(first, last + 1), repeat(b"")))
    positions = accumulate(chain((4 * (count + 1),), map(len, values)))
    return Packed(first, last, struct.pack(f"<{count + 1}I", *positions) + b"".join(values))
