"""The server that is measured: the user's configuration on free ports of loopback, with a state of its own.

`python -m skysail.bench.server FILE` serves what `derive` made, from the JSON in a file: the same code as `skysail
serve`, which reads TOML, and paths relative to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from skysail.config.load import read_config
from skysail.config.schema import Config
from skysail.errors import SkysailError
from skysail.supervisor.main import run

__all__ = ["derive", "main"]

_LOOPBACK = "127.0.0.1"


def derive(config: Config, app: str, slo: float, folder: Path) -> Config:
    """A configuration as it is, but for where it listens, its state, which is in `folder`, and an application's
    objective. State in a file stays state in a file, since writing it costs something.
    """
    state = f"sqlite:///{folder.absolute() / 'state.db'}" if config.server.state.startswith("sqlite:") else "memory://"
    server = replace(config.server, host=_LOOPBACK, port=0, admin_host=_LOOPBACK, admin_port=0, state=state)
    return replace(config, server=server, apps={**config.apps, app: replace(config.apps[app], slo=slo)})


def main(arguments: Sequence[str]) -> int:
    """Serve the configuration in a file until SIGTERM; the exit status."""
    [file] = arguments
    try:
        return run(read_config(Path(file).read_bytes()))
    except SkysailError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
