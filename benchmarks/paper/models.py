"""Models of stated accuracy, and the worlds they are right and wrong in: everything follows from the row.

A row is JSON, `{"seed": 3, "t": 17, "label": 4}`: which world, which query of it, and what would be right. Whether a
model is right, and what it says if not, is a hash of the seed, the query and the model, so that a run is the same
whenever its seeds are, in whatever order its queries come and whoever else is asked. The row tells the model the label
because a synthetic model must know it to be wrong just as often as stated; nothing on the way reads a row.

This module is imported by workers: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

__all__ = ["LABELS", "Expert", "Row", "chance", "declared", "label", "row"]

LABELS = 10
"""Classes, numbered from 0."""

Row = dict[str, Any]
"""One query: `seed`, `t`, `label`, and what an experiment adds."""


def chance(seed: int, t: int, what: str) -> float:
    """A number in [0, 1) that looks random and depends on the arguments alone.

    >>> chance(1, 2, "a") == chance(1, 2, "a") != chance(1, 2, "b")
    True
    """
    return int.from_bytes(blake2b(f"{seed} {t} {what}".encode(), digest_size=6).digest()) / (1 << 48)


def label(seed: int, t: int) -> int:
    """What is right for a query: any class, equally likely."""
    return int(chance(seed, t, "label") * LABELS)


def row(seed: int, t: int) -> Row:
    """A query as it is sent."""
    return {"seed": seed, "t": t, "label": label(seed, t)}


@dataclass(frozen=True, kw_only=True)
class Expert:
    """A model that is right with a fixed probability, independently of all others; called with rows, it predicts."""

    name: str
    """Its name, which its mistakes depend on."""

    accuracy: float
    """How often it is right."""

    broken: tuple[int, int] = (0, 0)
    """The first query at which it is broken, and the first one after that at which it is not. While it is broken it is
    always wrong.
    """

    specialist: int | None = None
    """The group of users (`group` of the row) for which it is that accurate; for all others it is `elsewhere`."""

    elsewhere: float = 0.0
    """How often a specialist is right for other groups than its own."""

    shared: bool = False
    """Whether it makes the mistakes that others make too: all models that are wrong about a query say the same, so that
    no vote tells them apart.
    """

    def __call__(self, rows: Sequence[Row]) -> list[int]:
        """What it says of each row."""
        return [self.says(row) for row in rows]

    def says(self, row: Row) -> int:
        """What it says of one row: the label, or another one, any equally likely."""
        seed, t, right = row["seed"], row["t"], row["label"]
        if self.right(row):
            return int(right)
        share = chance(seed, t, "mistake" if self.shared else f"{self.name} mistake")
        return int((right + 1 + int(share * (LABELS - 1))) % LABELS)

    def right(self, row: Row) -> bool:
        """Whether it is right about one row."""
        if self.broken[0] <= row["t"] < self.broken[1]:
            return False
        accuracy = self.accuracy if self.specialist in (None, row.get("group")) else self.elsewhere
        return chance(row["seed"], row["t"], self.name) < accuracy


def declared(experts: Sequence[Expert]) -> tuple[str, str]:
    """The tables of the config file that declare these models, and the text of the `zoo.py` that they are in."""
    tables = [f'[models.{e.name}]\npath = "zoo:{e.name}"\ninput = "json"\n' for e in experts]
    lines = [f"{e.name} = {e!r}\n" for e in experts]
    return "\n".join(tables), "from benchmarks.paper.models import Expert\n\n" + "".join(lines)
