"""The command that measures."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from skysail.cli.errors import UsageError
from skysail.cli.local import File, load

__all__ = ["COMMANDS", "bench"]


def bench(
    file: File,
    app: Annotated[str | None, typer.Option(help="The application, where the file has several.")] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="N[,N…]", help="Measure just these rates, in queries a second.")
    ] = None,
    slo: Annotated[str | None, typer.Option(help="Objective, such as 20ms, in place of the application's own.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each rate is measured.")] = 5,
    rows: Annotated[
        Path | None, typer.Option(help="Inputs, one JSON value a line; by default random ones of the declared type.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write an HTML page with charts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Measure what a file can serve here.

    Starts a server of its own on free ports, with a state of its own, and ends it again. Prints the highest rate within
    the latency objective, batches and their latency, and where a query's time goes. --plot needs an extra: pip install
    'skysail[ui]'.
    """
    from skysail.bench.run import Options, run  # noqa: PLC0415

    config = load(file)
    options = Options(
        file=str(file),
        app=app,
        rates=() if rate is None else _rates(rate),
        slo=None if slo is None else _seconds(slo),
        seconds=seconds,
        rows=rows,
        plot=plot,
        as_json=as_json,
    )
    name = config.server.token_env
    raise typer.Exit(run(config, options, token=None if name is None else os.environ.get(name)))


def _rates(text: str) -> tuple[float, ...]:
    """Rates in the order in which they were given."""
    try:
        rates = tuple([float(part) for part in text.split(",")])
    except ValueError as error:
        raise UsageError(f"--rate {text}: must be numbers with commas between them, such as 100,200") from error
    if not all(0 < rate < math.inf for rate in rates):
        raise UsageError(f"--rate {text}: each must be above 0, in queries a second")
    return rates


def _seconds(text: str) -> float:
    from skysail.config.units import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--slo {text}: {error}") from error


COMMANDS = (bench,)
"""The commands, in the order of the help."""
