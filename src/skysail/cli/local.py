"""The commands that need no running server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from skysail.config.schema import Config

__all__ = ["COMMANDS", "File", "check", "demo", "load", "serve", "version"]

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The TOML file that says what to serve.", show_default=False)
]


def load(file: Path) -> Config:
    """The configuration in a file, with its policies and losses checked too."""
    from skysail.assembly import check_policy  # noqa: PLC0415
    from skysail.config.load import load_config  # noqa: PLC0415

    return load_config(file, check_policy=check_policy)


def serve(
    file: File,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Data plane's port; 0 picks a free one.")] = None,
    admin_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Control plane's port, likewise.")] = None,
    host: Annotated[str | None, typer.Option(help="Address the data plane listens at.")] = None,
) -> None:
    """Serve the models and applications of a file.

    Prints one line, "skysail ready: …", once every application can be answered, and ends in order at Ctrl-C or SIGTERM.
    Options stand before the file's [server].
    """
    from skysail.cli.serve import run  # noqa: PLC0415

    config = load(file)
    server = config.server
    server = replace(
        server,
        host=server.host if host is None else host,
        port=server.port if port is None else port,
        admin_port=server.admin_port if admin_port is None else admin_port,
    )
    raise typer.Exit(run(replace(config, server=server)))


def check(file: File) -> None:
    """Check a file without serving it.

    Every key, value, path and policy in it, and that the libraries its models need are installed.
    """
    config = load(file)
    for model in config.models.values():
        print(f"model {model.name}: {model.runtime}, {model.path}, input {model.input or 'as the model says'}")
    for app in config.apps.values():
        print(f"app {app.name}: {app.policy} over {', '.join(app.models)}, within {app.slo * 1000:g} ms")
    print(f"{file} is right")


def demo(
    seconds: Annotated[float, typer.Option(min=3, help="How long the traffic lasts.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of the training and the traffic.")] = 0,
    rate: Annotated[float, typer.Option(min=1, help="Queries per second.")] = 200,
    folder: Annotated[Path, typer.Option(help="Where models, state and plot go.")] = Path("skysail-demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Let the server stay up afterwards, until Ctrl-C.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print plain lines even on a terminal.")] = False,
) -> None:
    """Watch feedback find out a broken model.

    Trains five models on scikit-learn's digits, serves them, and sends pictures they have not seen, and late labels.
    The best model breaks at one third and is mended at two. Needs an extra: pip install 'skysail[demo]'.
    """
    from skysail.demo.run import Options, run  # noqa: PLC0415

    options = Options(seconds=seconds, seed=seed, rate=rate, folder=folder, keep=keep, plain=plain)
    raise typer.Exit(run(options))


def version() -> None:
    """Print the version."""
    from importlib import metadata  # noqa: PLC0415

    try:
        print(f"skysail {metadata.version('skysail')}")
    except metadata.PackageNotFoundError:
        print("skysail, run from its source and not installed")


COMMANDS = (serve, check, demo, version)
"""The commands, in the order of the help."""
