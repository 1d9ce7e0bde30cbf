"""The command line's entry: `skysail COMMAND …`.

A command returns when it is done and raises `SkysailError` when it is not; here errors become one line on standard
error and an exit code. What a command needs is imported when it runs, so that `skysail --help` is quick.
"""

from __future__ import annotations

import sys

import typer

from skysail.cli import bench, local, remote
from skysail.cli.errors import exit_code
from skysail.errors import SkysailError

__all__ = ["app", "main"]

app = typer.Typer(
    name="skysail",
    help="Serve many models behind one endpoint, by the deadline, learning from feedback which of them to trust.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no server at the address.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (*local.COMMANDS, *bench.COMMANDS, *remote.COMMANDS):
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code; by default the process's own arguments."""
    try:
        app(arguments, prog_name="skysail")
    except SkysailError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
