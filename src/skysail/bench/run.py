"""`skysail bench` from beginning to end: start the server, find its limits, look where the time goes, tell."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from skysail.bench import plot
from skysail.bench.look import Look, Span, batch_lines, steps
from skysail.bench.machine import describe_machine
from skysail.bench.remote import RemoteGenerator
from skysail.bench.report import METHOD, batch_curve, notes, trial_document, view
from skysail.bench.rows import Rows, random_rows, read_rows
from skysail.bench.search import Search
from skysail.bench.server import derive
from skysail.bench.trial import Closed, Open, Setup, Trial
from skysail.client import AsyncClient
from skysail.config.load import dump_config
from skysail.config.schema import Config
from skysail.errors import ConfigError, SkysailError, nearest
from skysail.serving import Addresses, Serving

__all__ = ["Options", "run"]

_CONNECTIONS = 64
_MOST_CONNECTIONS = 1024
_WARMUP = 2.0
_FIRST = 0.8
"""The first rate that is tried, as a share of the capacity."""

_LEAST_SLO = 0.002


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, and for how long."""

    file: str
    """The configuration's name, to be printed."""

    app: str | None = None
    """The application; may be left out where there is but one."""

    rates: tuple[float, ...] = ()
    """Measure these rates, in queries a second; else search the highest within the objective."""

    slo: float | None = None
    """The objective in seconds; by default the application's own."""

    seconds: float = 5.0
    """How long each rate is measured."""

    rows: Path | None = None
    """A file of inputs, one JSON value a line; else random ones of the declared type."""

    plot: Path | None = None
    """Where a page with charts goes."""

    as_json: bool = False
    """JSON on standard output, in place of tables."""


def run(config: Config, options: Options, *, token: str | None = None) -> int:
    """Measure a configuration and print what was found; the exit code. Raises `SkysailError` where it cannot be."""
    app = _app(config, options.app)
    slo = config.apps[app].slo if options.slo is None else options.slo
    if slo < _LEAST_SLO:
        raise ConfigError(f"--slo {slo * 1e3:g}ms: must be at least 2ms, as any objective")
    if options.plot is not None:
        plot.require()
    rows = None if options.rows is None else read_rows(options.rows)
    console = Console(stderr=True, highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="skysail-bench-") as folder:
            bench = _Bench(derive(config, app, slo, Path(folder)), app, options, rows, token, Path(folder))
            document = asyncio.run(bench.run(console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted; the server has ended.")
        return 130
    if options.plot is not None:
        plot.draw(options.plot, document)
        console.print(f"Plot: {options.plot}")
    if options.as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
    else:
        Console(highlight=False).print(view(document))
    return 0


def _app(config: Config, name: str | None) -> str:
    """The application to be measured."""
    if name is None and len(config.apps) == 1:
        [name] = config.apps
    if name is None:
        raise ConfigError(f"there are {len(config.apps)} applications: name one by --app ({', '.join(config.apps)})")
    if name not in config.apps:
        raise ConfigError(f"--app {name!r} is not in the file ({nearest(name, config.apps)})")
    return name


@dataclass
class _Measured:
    """A trial, and what the server counted meanwhile."""

    trial: Trial
    span: Span


@dataclass
class _Bench:
    """One run: what is measured, and what has been so far."""

    config: Config
    app: str
    options: Options
    rows: Rows | None
    token: str | None
    folder: Path
    measured: list[_Measured] = field(default_factory=list)
    sent: int = 0

    @property
    def slo(self) -> float:
        """The objective in force."""
        return self.config.apps[self.app].slo

    async def run(self, console: Console) -> dict[str, Any]:
        """The document of a whole run. What was started has ended when this returns, or raises."""
        task = asyncio.current_task()
        if task is not None:  # SIGTERM ends the server as Ctrl-C does
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        machine = describe_machine()
        file = self.folder / "config.json"
        file.write_bytes(dump_config(self.config))
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        # Drawn at each step only: a thread that draws would share the cores with what is measured.
        with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
            self._progress, self._line = progress, progress.add_task("")
            self._say("starting the server")
            async with Serving("skysail.bench.server", str(file)) as server:
                addresses = await server.wait_ready()
                try:
                    return await self._measure(addresses, machine)
                except ConfigError:
                    raise
                except SkysailError as error:
                    raise SkysailError(f"{error.message}\n{server.log}".rstrip()) from error

    def _say(self, what: str) -> None:
        self._progress.update(self._line, description=what, refresh=True)

    async def _measure(self, addresses: Addresses, machine: dict[str, str]) -> dict[str, Any]:
        async with AsyncClient(addresses.url, addresses.admin_url, token=self.token) as client:
            status = await client.status()
            self._client = client
            self._processes = {name: it["pid"] for name, it in status["processes"].items() if it["pid"] is not None}
            rows = self.rows or self._random(status)
            async with RemoteGenerator(self._setup(addresses, rows)) as self._generator:
                await self._warm_up()
                capacity, search = None, None
                if self.options.rates:
                    for rate in self.options.rates:
                        await self._at(rate)
                else:
                    capacity = await self._capacity()
                    search = await self._search(capacity)
                document = {**self._head(rows, machine), **await self._found(capacity, search)}
                return {**document, "notes": list(notes(document))}

    def _random(self, status: Mapping[str, Any]) -> Rows:
        """Inputs of the type that the application's models declare."""
        declared = [status["models"][model]["input"] for model in self.config.apps[self.app].models]
        typed = [text for text in declared if text not in (None, "json")]
        return random_rows(typed[0] if typed else "json", np.random.default_rng(0))

    def _setup(self, addresses: Addresses, rows: Rows) -> Setup:
        file = self.folder / "rows.jsonl"
        file.write_bytes(b"\n".join(rows.texts))
        host, _, port = addresses.url.removeprefix("http://").rpartition(":")
        return Setup(
            host=host.strip("[]"), port=int(port), path=f"/apps/{self.app}/predict", rows=str(file), token=self.token
        )

    # -- measuring ----------------------------------------------------------------------------------------------------

    async def _warm_up(self) -> None:
        """Let models and estimates get warm. Raises `SkysailError` where no query is answered: nothing will be."""
        self._say("warming up")
        trial = await self._generator.run(Closed(_CONNECTIONS, min(_WARMUP, self.options.seconds)))
        self.sent += trial.sent
        if trial.errors and trial.rate == 0:
            raise SkysailError(f"no query of the warm-up was answered by a model; the first error: {trial.message}")

    async def _capacity(self) -> _Measured:
        self._say(f"closed loop, {_CONNECTIONS} connections")
        return await self._one(Closed(_CONNECTIONS, self.options.seconds))

    async def _search(self, capacity: _Measured) -> Search:
        """Find the highest rate within the objective."""
        search = Search(_FIRST * capacity.trial.rate)
        while (rate := search.rate) is not None:
            kept = await self._at(rate) or await self._at(rate)  # one hiccup of a shared machine is no verdict
            search.told(rate, kept=kept)
        return search

    async def _at(self, rate: float) -> bool:
        """Measure a rate; whether it was kept."""
        self._say(f"open loop, {rate:,.0f} queries/s")
        # Twice what is under way at once where every query takes as long as it may.
        connections = min(_MOST_CONNECTIONS, max(_CONNECTIONS, round(2 * rate * self.slo)))
        order = Open(rate, self.options.seconds, connections, seed=len(self.measured))
        measured = await self._one(order)
        self.measured.append(measured)
        return measured.trial.within(self.slo)

    async def _one(self, order: Closed | Open) -> _Measured:
        before = await self._look()
        trial = await self._generator.run(order)
        self.sent += trial.sent
        return _Measured(trial, Span.between(before, await self._look()))

    async def _look(self) -> Look:
        return Look.of(self.app, await self._client.metrics(), self._processes)

    # -- telling ------------------------------------------------------------------------------------------------------

    def _head(self, rows: Rows, machine: dict[str, str]) -> dict[str, Any]:
        """What was measured, where and how."""
        app = self.config.apps[self.app]
        state = "in memory" if self.config.server.state == "memory://" else "a file in the folder for temporary files"
        said = {"connections": _CONNECTIONS, "seconds": self.options.seconds, "state": state}
        return {
            "file": self.options.file,
            "app": self.app,
            "models": list(app.models),
            "slo_ms": self.slo * 1e3,
            "rows": {"origin": rows.origin, "distinct": rows.distinct},
            "machine": machine,
            "method": METHOD.format(**said).splitlines(),
        }

    async def _found(self, capacity: _Measured | None, search: Search | None) -> dict[str, Any]:
        """What came of it."""
        return {
            "capacity": None if capacity is None else trial_document(capacity.trial, self.slo),
            "search": search and {"kept": search.kept, "missed": search.missed if np.isfinite(search.missed) else None},
            "highest": (search.kept or None) if search is not None else None,
            "trials": [trial_document(measured.trial, self.slo) for measured in self.measured],
            "batches": self._batches(await self._client.status(), [*self.measured, *([capacity] if capacity else [])]),
            "time": await self._time(self._best()),
            "cache": {"hits": sum([measured.span.hits for measured in self.measured]), "sent": self.sent},
        }

    def _best(self) -> _Measured:
        """The highest rate that was kept, or the lowest of those missed."""
        kept = [measured for measured in self.measured if measured.trial.within(self.slo)]
        if kept:
            return max(kept, key=lambda measured: measured.trial.offered or 0.0)
        return min(self.measured, key=lambda measured: measured.trial.offered or 0.0)

    def _batches(self, status: Mapping[str, Any], seen: Sequence[_Measured]) -> dict[str, Any]:
        """The curve that each replica has learned, and what the batches of each trial were."""
        lines = batch_lines(status, self.config.apps[self.app].models)
        return {
            replica: {
                **line,
                "curve": batch_curve(line),
                "seen": [
                    {"rows": measured.span.rows[ref], "ms": measured.span.batch[ref]}
                    for measured in seen
                    for ref in [replica.rpartition("/")[0]]
                    if ref in measured.span.rows
                ],
            }
            for replica, line in lines.items()
        }

    async def _time(self, measured: _Measured) -> dict[str, Any]:
        """Where the time of a trial's queries went."""
        self._say("asking where the time went")
        decisions = []
        for id in measured.trial.ids:
            try:
                decisions.append(await self._client.why(id))
            except SkysailError:
                continue  # the ledger keeps no more than it is allowed to
        seconds = self.options.seconds
        return {
            "rate": measured.trial.offered,
            "answered": measured.trial.rate,
            "steps": steps(measured.trial, measured.span, decisions),
            "cpu": {
                **{name: used / seconds for name, used in measured.span.cpu.items()},
                "generator": measured.trial.cpu,
            },
        }
