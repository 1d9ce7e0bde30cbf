"""What every experiment of `benchmarks/paper` is made of: a server, a client, and a result that is held to goals.

A script defines one `Experiment` and ends by running it:

    EXPERIMENT = Experiment(name="failure", run=_run)

    if __name__ == "__main__":
        sys.exit(main([EXPERIMENT]))

`run(quick)` starts the real server with `started(config, files)`, speaks to it with `client.Client` inside `drive`,
and returns a `Result`. The name of its module goes into `EXPERIMENTS` of `__main__.py`, which runs all of them.

    def _run(quick: bool) -> Result:
        with started(_CONFIG, {"models.py": _MODELS}) as server:
            errors = drive(_ask(server.url, queries=200 if quick else 20_000))
        return Result(title=…, method=…, lines=[…], data={…}, goals=[Goal(…)], figures=[Figure(…)], plot=_plot(errors))
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev
from typing import Any, TypeVar

import uvloop
from benchmarks.machine import describe_machine
from benchmarks.report import BenchmarkError, Report, table
from benchmarks.servers import Skysail, serve
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

__all__ = ["Canvas", "Experiment", "Figure", "Plot", "Result", "curve", "drive", "main", "standard_error", "started"]

Plot = Callable[[Canvas], None]
"""Draws a result on an empty Matplotlib figure."""

_T = TypeVar("_T")

_RESULTS = Path(__file__).parents[1] / "results" / "paper"

_SERVER = """
[server]
port = 0
admin_port = 0
"""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number that somebody published, and ours."""

    what: str
    """What the number is."""

    published: str
    """The published number, and where it stands where that is not plain; `–` for one that nobody published."""

    ours: str
    """What was measured now."""


@dataclass(frozen=True, kw_only=True)
class Result(Report):
    """One experiment's outcome: a report, with the published numbers beside ours and a picture."""

    figures: list[Figure] = field(default_factory=list)
    """Published numbers beside ours."""

    plot: Plot | None = None
    """Draws the picture."""

    def __str__(self) -> str:
        rows = [(f.what, f.published, f.ours) for f in self.figures]
        beside = ["", *table(["", "published", "ours"], rows)] if rows else []
        return "\n".join([self.title, "-" * len(self.title), self.method, "", *self.lines, *beside, "",
                          *map(str, self.goals)])  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The result for programs."""
        figures = [{"what": f.what, "published": f.published, "ours": f.ours} for f in self.figures]
        return super().as_json() | {"figures": figures}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Something to be shown, by name."""

    name: str
    """The script's name, and that of its files."""

    run: Callable[[bool], Result]
    """Runs it: at full size, or for `True` at a size that shows only that it works and holds its goals with luck."""


@contextmanager
def started(config: str, files: Mapping[str, str] | None = None) -> Iterator[Skysail]:
    """`skysail serve` in a temporary folder, with the tables of `config` and these files beside it.

    `config` has no `[server]` table of its own; keys of `[server]` that it begins with, before any table, are added to
    the free ports that are asked for. The server has `url`, `admin_url`, `status()`, `cpu()`, `memory()`.
    """
    with tempfile.TemporaryDirectory(prefix="skysail-paper-") as name:
        folder = Path(name)
        for file, text in (files or {}).items():
            (folder / file).write_text(text)
        (folder / "skysail.toml").write_text(_SERVER + config)
        with serve(folder) as server:
            yield server


def drive(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on a fast loop, to its end."""
    return uvloop.run(work)


def curve(values: Sequence[float], points: int = 200) -> list[float]:
    """About that many of a curve's values, evenly spaced and the last among them, rounded: enough to draw.

    >>> curve([0.1, 0.2, 0.3, 0.4], points=2)
    [0.2, 0.4]
    """
    step = max(1, len(values) // points)
    return [round(float(values[place]), 5) for place in range((len(values) - 1) % step, len(values), step)]


def standard_error(values: Sequence[float]) -> float:
    """That of the mean of independent runs; 0 for a single one, of which nothing can be said.

    >>> round(standard_error([1.0, 3.0]), 3)
    1.0
    """
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def main(experiments: Sequence[Experiment], arguments: Sequence[str] | None = None) -> int:
    """Run experiments as the command line asks; the exit code: 1 where a goal is missed or nothing was measured.

    Each result is printed as it is ready; its numbers and its picture are written to `NAME.json` and `NAME.png`. A
    quick run is too small to miss its goals for a reason: they are printed, and only what cannot be measured fails it.
    """
    names = [experiment.name for experiment in experiments]
    parser = argparse.ArgumentParser(description="The published experiments, through the server.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)} (all)")
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it works")
    parser.add_argument("--folder", type=Path, default=_RESULTS, help="where numbers and pictures go")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(names)):
        parser.error(f"there is no experiment {', '.join(unknown)}; there are {', '.join(names)}")
    machine = describe_machine()
    print("\n".join(f"{key:10} {value}" for key, value in machine.items()), flush=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = [experiment for experiment in experiments if experiment.name in (options.names or names)]
    outcomes = [_outcome(experiment, options.quick, options.folder, machine) for experiment in chosen]
    print("\n" + "\n".join(table(["", "s", "goals met", "verdict"], outcomes)))
    print(f"\nNumbers and pictures are in {os.path.relpath(options.folder)}")
    if options.quick:
        print("Goals are for the full size; a quick run shows that everything works, and fails where it does not.")
    verdicts = {verdict for *_, verdict in outcomes}
    return 0 if verdicts <= ({"met", "MISSED"} if options.quick else {"met"}) else 1


def _outcome(experiment: Experiment, quick: bool, folder: Path, machine: dict[str, str]) -> tuple[str, str, str, str]:
    """Run one, print and write what came of it, and sum it up as a row."""
    began = time.perf_counter()
    try:
        result = experiment.run(quick)
    except (BenchmarkError, OSError) as error:
        print(f"\n{experiment.name}: not measured: {error}", flush=True)
        return experiment.name, f"{time.perf_counter() - began:.0f}", "", "NOT MEASURED"
    seconds = time.perf_counter() - began
    print(f"\n{result}\n({experiment.name}: {seconds:.0f} s)", flush=True)
    numbers = {"machine": machine, "quick": quick, "seconds": round(seconds, 1)} | result.as_json()
    (folder / f"{experiment.name}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    if result.plot is not None:
        canvas = Canvas(figsize=(9, 5), layout="constrained")
        FigureCanvasAgg(canvas)
        result.plot(canvas)
        canvas.savefig(folder / f"{experiment.name}.png", dpi=110)
    met = sum(goal.met for goal in result.goals)
    return (
        experiment.name,
        f"{seconds:.0f}",
        f"{met}/{len(result.goals)}",
        "met" if met == len(result.goals) else "MISSED",
    )
