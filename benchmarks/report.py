"""What a benchmark hands over: numbers as text for people and as data for programs, and the goals they are held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

__all__ = ["BenchmarkError", "Goal", "Measure", "Report", "spread", "table"]


class BenchmarkError(Exception):
    """Something could not be measured, or was not what the report would say."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A number, and the limit it is held to."""

    what: str
    """What the number is."""

    value: float
    """The number."""

    limit: float
    """The limit."""

    least: bool = False
    """Whether the number is to be at least the limit; else it must be below it."""

    unit: str = ""
    """The unit of both."""

    @property
    def met(self) -> bool:
        """Whether the number keeps the limit."""
        return self.value >= self.limit if self.least else self.value < self.limit

    def __str__(self) -> str:
        sign, unit = ("≥" if self.least else "<"), self.unit and f" {self.unit}"
        verdict = "met" if self.met else "MISSED"
        return f"{self.what}: {self.value:.3g}{unit} (goal {sign} {self.limit:.3g}{unit}): {verdict}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number that two runs can be compared by (`benchmarks.compare`): best a ratio within a run, or a count, for
    which neither the machine nor the hour matters.
    """

    what: str
    """What the number is; the same in every run."""

    values: Sequence[float]
    """It, as often as it was measured."""

    more_is_worse: bool = False
    """Whether a greater number is a worse one."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One benchmark's outcome."""

    title: str
    """What was measured."""

    method: str
    """How, and what the numbers do not say."""

    lines: list[str]
    """The numbers, as tables and sentences."""

    data: dict[str, Any]
    """The same as JSON values, unrounded."""

    goals: list[Goal] = field(default_factory=list)
    """What they are held to."""

    measures: list[Measure] = field(default_factory=list)
    """What another run can be compared by."""

    def __str__(self) -> str:
        return "\n".join([self.title, "-" * len(self.title), self.method, "", *self.lines, *map(str, self.goals)])

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        goals = [{"what": g.what, "value": g.value, "limit": g.limit, "met": g.met} for g in self.goals]
        measures = [asdict(measure) for measure in self.measures]
        return {"title": self.title, "method": self.method, "data": self.data, "goals": goals, "measures": measures}


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, least and greatest of some numbers.

    >>> spread([3, 1, 2000])
    '3 (1–2,000)'
    """
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    cells = [list(map(str, row)) for row in (columns, *rows)]
    first, *rest = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], rest)]).rstrip() for row in cells]
