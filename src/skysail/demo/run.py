"""The demo from beginning to end: train, start the server, drive it, break and mend its best model, and tell what
happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from skysail.client import AsyncClient
from skysail.clock import Clock, SystemClock
from skysail.config.load import load_config
from skysail.demo import offline, plot, report, view
from skysail.demo.drive import Drive, Incident
from skysail.demo.findings import examine
from skysail.demo.models import APP, BAD_RELEASE, BEST, CONFIG, MODELS, train
from skysail.demo.score import Scores
from skysail.demo.sender import Sender
from skysail.demo.snapshot import take
from skysail.demo.traffic import REPEATS, plan
from skysail.errors import ConfigError
from skysail.serving import Addresses, Serving

__all__ = ["Options", "prepare", "run", "slo_ms"]

_PLOT = "demo.png"
_LIVE_EVERY = 0.5
_PLAIN_EVERY = 2.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the demo is run."""

    seconds: float = 30.0
    """How long the traffic lasts."""

    seed: int = 0
    """Of the split, the training and the traffic."""

    rate: float = 200.0
    """Queries per second."""

    folder: Path = Path("skysail-demo")
    """Where models, config, state and plot go."""

    keep: bool = False
    """Whether the server stays up after the report, until Ctrl-C."""

    plain: bool = False
    """Plain lines even on a terminal."""


def run(options: Options) -> int:
    """The demo as a command; the exit code. Raises `SkysailError` where it cannot be carried through."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        asyncio.run(_demo(options, console, SystemClock()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted; the server has ended.")
        return 130
    except ExceptionGroup as group:
        raise _first(group) from group
    return 0


def _first(error: Exception) -> Exception:
    """What went wrong first, out of the group of what was under way."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


async def _demo(options: Options, console: Console, clock: Clock) -> None:
    if (task := asyncio.current_task()) is not None:  # SIGTERM ends the demo, and so its server, as Ctrl-C does
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    folder = prepare(options.folder)
    console.print(f"Training five models on scikit-learn's digits, into {folder} …")
    digits = train(folder, options.seed)
    traffic = plan(digits, options.seconds, options.rate, options.seed)
    scores = Scores(traffic.labels, offline.outputs(folder, traffic.images), MODELS)
    serve = ["serve", str(folder / CONFIG), "--port", "0", "--admin-port", "0"]
    async with Serving("skysail.cli.main", *serve) as server:
        addresses = await server.wait_ready()
        console.print(_introduction(options, addresses))
        async with AsyncClient(addresses.url, addresses.admin_url) as client, Sender(addresses.url) as sender:
            drive = Drive(sender, client, traffic, scores, clock)
            await _watched(drive, _incidents(client, folder, options.seconds), options, console, slo_ms(folder))
            await _conclude(drive, client, options, console)
        if options.keep:
            console.print(_invitation(options, addresses, drive))
            with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how it is meant to end
                await server.wait()
    if not options.keep:
        console.print(_invitation(options, addresses, drive))


def prepare(folder: Path) -> Path:
    """The folder, absolute, without the state of an earlier demo; refused if it holds anything but a demo."""
    folder = folder.absolute()
    config = folder / CONFIG
    if folder.exists() and any(folder.iterdir()) and not config.exists():
        raise ConfigError(f"--folder {folder} is not empty and holds no demo: name another folder")
    if config.exists() and config.read_bytes() != (Path(__file__).parent / CONFIG).read_bytes():
        raise ConfigError(f"--folder {folder}: its {CONFIG} is not this demo's: name another folder, or delete it")
    shutil.rmtree(folder / ".skysail", ignore_errors=True)
    return folder


def slo_ms(folder: Path) -> float:
    """The latency objective in the demo's config, in milliseconds."""
    return load_config(folder / CONFIG).apps[APP].slo * 1000


def _introduction(options: Options, addresses: Addresses) -> str:
    return (
        f"Serving at {addresses.url}, control plane at {addresses.admin_url}.\n"
        f"{options.rate:g} queries/s for {options.seconds:g} s: held-out pictures, each freshly disturbed, "
        f"{REPEATS:.0%} exact repeats; every true label follows by prediction id within half a second.\n"
        f"At one third a bad release of {BEST}, the best model, is deployed; at two thirds it is rolled back.\n"
    )


def _incidents(client: AsyncClient, folder: Path, seconds: float) -> tuple[Incident, Incident]:
    """The bad release at one third of the run, and its rollback at two thirds, through the control plane's public
    routes.
    """
    bad = str(folder / BAD_RELEASE)
    return (
        Incident(seconds / 3, lambda: client.deploy(BEST, bad)),
        Incident(seconds * 2 / 3, lambda: client.rollback(BEST)),
    )


async def _watched(
    drive: Drive, incidents: tuple[Incident, ...], options: Options, console: Console, slo: float
) -> None:
    """The run, with its view: live on a terminal, else plain lines."""
    plain = options.plain or not console.is_terminal
    with contextlib.nullcontext() if plain else Live(console=console, auto_refresh=False) as screen:
        async with asyncio.TaskGroup() as group:
            ticker = group.create_task(_tick(drive, console, screen, options.seconds, slo))
            await drive.run(incidents)
            ticker.cancel()


async def _tick(drive: Drive, console: Console, screen: Live | None, seconds: float, slo: float) -> None:
    """Show the present moment again and again."""
    while True:
        await asyncio.sleep(_PLAIN_EVERY if screen is None else _LIVE_EVERY)
        if screen is None:
            console.print(view.plain(take(drive), slo))
        else:
            screen.update(view.live(take(drive), seconds, slo), refresh=True)


async def _conclude(drive: Drive, client: AsyncClient, options: Options, console: Console) -> None:
    """The report and the plot."""
    findings = await examine(client, drive.scores, options.seconds)
    bounds = report.bounds(findings, options.seconds)
    path = options.folder.absolute() / _PLOT
    moments = [plot.Moment(bounds[0], f"bad release of {BEST}"), plot.Moment(bounds[1], "rollback")]
    plot.draw(path, drive.scores, drive.weights, moments)
    console.print("", report.error_table(drive.scores, bounds), *report.conclusions(drive, findings), sep="\n")
    console.print(f"Plot: {path}")


def _invitation(options: Options, addresses: Addresses, drive: Drive) -> str:
    """What to try next, on the server that stays up or on one that is started again."""
    if options.keep:
        how = "The server stays up until Ctrl-C. Try:"
    else:
        addresses = Addresses("http://127.0.0.1:8000", "http://127.0.0.1:8002")
        again = f"skysail serve {options.folder / CONFIG}"
        how = f"The server has ended. Start it again with\n  {again}\nand try, elsewhere:"
    row, last = drive.traffic.images[0].tolist(), drive.scores.results[-1].id
    return "\n  ".join([how, *report.commands(addresses, row, last)])
