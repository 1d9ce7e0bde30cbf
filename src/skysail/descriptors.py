"""The descriptors of a process: as many as it may have, with the room for them made at the start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from typing import Final

__all__ = ["make_room"]

_ROOM: Final = 16_384
"""Descriptors that there is room for from the start: 128 KiB of the kernel's memory."""

_MOST: Final = 1 << 20
"""What the soft limit is raised to at most; more is refused by some systems, whatever the hard limit says."""


def make_room() -> None:
    """Raise the soft limit of descriptors to the hard one, and have the kernel's table of them grow now, not later.

    For a process that is to have thousands of connections; call it before there are threads. The usual soft limit is
    1,024. And a table that is full is doubled: in a process with threads Linux then waits until no processor can still
    be reading the old one (`expand_fdtable` and `synchronize_rcu`), during which the thread that accepts stands still,
    for 5 to 20 ms where processors are busy: five times on the way to 2,048 connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower one besides, which it does not tell here
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    last = _ROOM if soft == resource.RLIM_INFINITY else min(soft, _ROOM)
    here = os.open(os.devnull, os.O_RDONLY)
    try:
        os.close(fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, last - 1))
    finally:
        os.close(here)
