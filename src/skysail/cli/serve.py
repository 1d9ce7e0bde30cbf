"""From a configuration to a running server, for the command line and for `skysail.serve`."""

from __future__ import annotations

from skysail.config.schema import Config

__all__ = ["run"]


def run(config: Config) -> int:
    """Serve until a signal ends it; gives the exit code. Raises `ConfigError` where a port is taken."""
    from skysail.supervisor.main import run as supervise  # noqa: PLC0415  # only `serve` needs it

    return supervise(config)
