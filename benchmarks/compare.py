"""What became worse between two runs of a benchmark.

    python -m benchmarks.compare OLD NEW

OLD and NEW are files that `make bench`, `make bench-peers` or `python -m benchmarks.instructions` wrote. Compares what
both measured (`benchmarks.report.Measure`): ratios within a run and counts, which another hour or machine changes
least. A number is worse, or better, where the medians differ by more than 1 %, and each run's median is outside
everything that the other run saw: by more than its spread. Goals that were met before and no longer are, are named as
well, but decide nothing: they have no spread. Exits 1 where a number is worse, and 2 where there is nothing to compare.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.report import BenchmarkError, Measure, table

__all__ = ["Change", "changes", "lost_goals", "main", "read_measures"]

_LEAST = 0.01


@dataclass(frozen=True, kw_only=True)
class Change:
    """A number in two runs."""

    old: Measure
    """As it was."""

    new: Measure
    """As it is."""

    @property
    def relative(self) -> float:
        """By how much of itself the median grew."""
        before, after = median(self.old.values), median(self.new.values)
        if before:
            return (after - before) / abs(before)
        return 0.0 if after == before else float("inf") if after > 0 else float("-inf")

    @property
    def verdict(self) -> Literal["worse", "better", "same"]:
        """What the change amounts to."""
        before, after = median(self.old.values), median(self.new.values)
        apart = not _within(after, self.old.values) and not _within(before, self.new.values)
        if not apart or abs(self.relative) <= _LEAST:
            return "same"
        return "worse" if (after > before) == self.new.more_is_worse else "better"

    def row(self) -> list[str]:
        """The cells of a table."""
        return [self.new.what, _shown(self.old.values), _shown(self.new.values), f"{self.relative:+.1%}", self.verdict]


def _within(value: float, values: Sequence[float]) -> bool:
    return min(values) <= value <= max(values)


def _shown(values: Sequence[float]) -> str:
    """Median, least and greatest, to four digits that matter."""
    middle, *ends = (f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}" for value in
                     (median(values), min(values), max(values)))  # fmt: skip
    return f"{middle} ({'–'.join(ends)})" if len(values) > 1 else middle


def read_measures(file: Path) -> dict[str, Measure]:
    """The measures in a file, by what they are; those of a report are named after it."""
    found = {}
    for title, part in _parts(file):
        for it in part.get("measures", []):
            if it["values"]:
                measure = Measure(what=f"{title}{it['what']}", values=it["values"], more_is_worse=it["more_is_worse"])
                found[measure.what] = measure
    if not found:
        raise BenchmarkError(f"{file} holds no measures; it is no result of a benchmark, or one of an older version")
    return found


def changes(old: dict[str, Measure], new: dict[str, Measure]) -> list[Change]:
    """What both runs measured, in the order of the new one."""
    return [Change(old=old[what], new=measure) for what, measure in new.items() if what in old]


def lost_goals(old: Path, new: Path) -> list[str]:
    """Goals that were met and no longer are."""
    met = {goal["what"] for _, part in _parts(old) for goal in part.get("goals", []) if goal["met"]}
    missed = [goal["what"] for _, part in _parts(new) for goal in part.get("goals", []) if not goal["met"]]
    return [what for what in missed if what in met]


def _parts(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The reports in a file, each with what its names begin with; a file may be one report itself."""
    try:
        numbers: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from error
    return [("", numbers), *((f"{name}: ", report) for name, report in numbers.get("reports", {}).items())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what the command line names; the exit code."""
    parser = argparse.ArgumentParser(description="What became worse.", prog="python -m benchmarks.compare")
    parser.add_argument("old", type=Path, help="JSON of the run before")
    parser.add_argument("new", type=Path, help="JSON of the run after")
    options = parser.parse_args(arguments)
    try:
        old, new = read_measures(options.old), read_measures(options.new)
        lost = lost_goals(options.old, options.new)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    seen = changes(old, new)
    if not seen:
        print(f"{options.old} and {options.new} have no number in common", file=sys.stderr)
        return 2
    print("\n".join(table(["median (least–greatest)", "old", "new", "change", ""], [it.row() for it in seen])))
    for side, names in (("old", old.keys() - new.keys()), ("new", new.keys() - old.keys())):
        if names:
            print(f"only in the {side} run: {'; '.join(sorted(names))}")
    for what in lost:
        print(f"a goal that was met is missed: {what}")
    worse = [it.new.what for it in seen if it.verdict == "worse"]
    print(f"worse by more than the spread: {'; '.join(worse) or 'nothing'}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
