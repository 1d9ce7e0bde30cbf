"""The C library's allocator: told to keep what is freed, and to give it back when it has become much."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from skysail.clock import Clock

__all__ = ["Spare", "keep_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""

_KEPT: Final = 64 << 20
"""Bytes at the end of the heap that are not given back."""

_LARGEST: Final = 32 << 20
"""Bytes of one buffer that still come from the heap; the most that glibc takes."""


def keep_memory() -> None:
    """Have the C library keep freed memory for the next use; harmless where it has no such setting.

    For a process that makes large buffers again and again. Giving them back and faulting them in anew made receiving
    64 rows of 10 kB take 900 µs in a worker (kept, it takes 55 µs), and writing the record of decisions a page fault
    for every tenth query in a frontend.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)


_STATM: Final = Path("/proc/self/statm")
_EVERY: Final = 3.0
"""Seconds between two looks, at least."""

_MUCH: Final = 6 << 20
"""Bytes that the process has grown by when it is worth the milliseconds to ask what of them is free."""


class Spare:
    """Freed memory that the process keeps, given back when it has grown by much.

    What is kept for the next batch is worth its pages; what an overload, or one batch of a thousand rows, has left
    behind is not, and nobody asks for it again. So where the process has become larger by 6 MiB since the last time,
    all that is free is given back, in the middle of the heap too (`malloc_trim`). What is still in use, such as a cache
    that fills, makes it look again at each such step, and no more. Harmless where there is no glibc, or no `/proc`.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _STATM.exists() else None
        self._next = self._now() + _EVERY
        self._least = 0
        self._least = self._resident()

    def look(self) -> None:
        """Give back what is to be given back: milliseconds, or nothing within three seconds of the last look."""
        now = self._now()
        if self._trim is None or now < self._next:
            return
        self._next = now + _EVERY
        resident = self._resident()
        if resident >= self._least + _MUCH:
            self._trim(0)
            self._least = self._resident()
        else:
            self._least = min(self._least, resident)

    def _resident(self) -> int:
        """Bytes in memory; where that cannot be told just now, for want of descriptors, as few as ever."""
        try:
            return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return self._least
