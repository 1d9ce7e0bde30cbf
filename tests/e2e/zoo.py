"""Models in plain Python for the end-to-end tests: each is some use or some fault."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 30.0


def echo(batch: list[Any]) -> list[Any]:
    """The input itself."""
    return list(batch)


def shout(batch: list[Any]) -> list[Any]:
    """Another version of `echo`, told from it by its answers."""
    return [f"{row}!" for row in batch]


def total(batch: Any) -> list[float]:
    """The sum of each row's numbers, slow enough for rows to gather meanwhile."""
    time.sleep(0.01)
    return [float(row.sum()) for row in batch]


def gated(batch: list[Any]) -> list[Any]:
    """The input itself, as soon as there is a file of the name that its first row gives."""
    deadline = time.monotonic() + PATIENCE
    gate = Path(batch[0]["gate"])
    gate.with_suffix(".reached").touch()
    time.sleep(0.01)
    while not gate.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    return list(batch)


def moody(batch: list[Any]) -> list[Any]:
    """What each row says to do: nothing, or one of many ways to go wrong."""
    for row in batch:
        match row:
            case "raise":
                raise ValueError("this row is bad")
            case "leave":
                sys.exit(5)
            case "quit":
                os._exit(7)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                loop_for_ever()
    return list(batch)


def loop_for_ever() -> None:
    """Never return; the traceback of the hang names this function."""
    while True:
        pass


def strict(batch: list[Any]) -> list[Any]:
    """A later version that cannot answer what its predecessor could."""
    raise ValueError(f"cannot answer {len(batch)} rows")


class Unloadable:
    """A model that cannot even be made."""

    def __init__(self) -> None:
        raise RuntimeError("the weights are not where they were")


def first(batch: list[Any]) -> list[Any]:
    """What each row says that the first of several models is to answer; `null` is NaN."""
    return [float("nan") if row[0] is None else row[0] for row in batch]


def second(batch: list[Any]) -> list[Any]:
    """What each row says for the second."""
    return [row[1] for row in batch]


def third(batch: list[Any]) -> list[Any]:
    """What each row says for the third."""
    return [row[2] for row in batch]
