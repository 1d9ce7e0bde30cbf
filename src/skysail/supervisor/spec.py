"""What the parent is asked to run, and what it says of what runs."""

from __future__ import annotations

import signal
from typing import Any, Literal

import msgspec

__all__ = ["ChildSpec", "ChildStatus", "Kind", "describe_exit"]

Kind = Literal["frontend", "control", "worker"]
"""Frontends are stopped first, and drain while all they need is there; control says which workers there are."""


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One process to keep running. Equal specs are the same process; a changed one means a restart.

    It is started as `argv --spec JSON`, where the JSON object is `spec` with one more field, `NAME_fd`, for each
    descriptor it inherits: `lifeline` always (its end of file says that the parent is gone), and those in `fds`:

    - `listen`: the listening Unix socket bound to the path `listen`; it lives as long as the child is wanted, so that
      connections wait in it while the child restarts;
    - `report`: a pipe for JSON lines to the parent, which keeps the last one and passes each on to control;
    - `link`: one end of a `skysail.wire.link` to the parent;
    - any other name: a socket that the parent holds (`data/0` and on, `admin`, `control`); the field is called by what
      stands before the slash.
    """

    name: str
    kind: Kind
    argv: tuple[str, ...]
    spec: dict[str, Any] = {}
    fds: tuple[str, ...] = ()
    listen: str | None = None
    env: dict[str, str] = {}
    """Added to the parent's environment."""
    cwd: str | None = None


class ChildStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A child at one moment.

    `state` is `running`, `waiting` (to be started again after a back-off) or `stopping`. `report` is the last line on
    its report pipe since it was started. `last_exit` says in words how it last ended, `tail` what it had printed last.
    """

    name: str
    kind: Kind
    state: Literal["running", "waiting", "stopping"]
    pid: int | None
    starts: int
    report: dict[str, Any]
    last_exit: str | None
    tail: tuple[str, ...]


def describe_exit(code: int) -> str:
    """How a process ended, in words, from `Popen.returncode`.

    >>> describe_exit(3)
    'exited with status 3'
    >>> describe_exit(-9)
    'was killed by SIGKILL (by hand, or by the system because memory ran out)'
    """
    if code >= 0:
        return f"exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (by hand, or by the system because memory ran out)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
