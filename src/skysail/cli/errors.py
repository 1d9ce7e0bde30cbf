"""What goes wrong on the command line, and the exit codes it ends with.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed: the server refused, or could not |
| 2 | usage or configuration: change the command or the file |
| 3 | unreachable: no server at the address |
"""

from __future__ import annotations

from skysail.errors import ConfigError, MissingExtra, SkysailError

__all__ = ["FAILED", "UNREACHABLE", "USAGE", "UsageError", "exit_code"]

FAILED = 1
USAGE = 2
UNREACHABLE = 3


class UsageError(ConfigError):
    """The command cannot be carried out as it was written."""

    code = "usage"


def exit_code(error: SkysailError) -> int:
    """The exit code that an error ends a command with."""
    from skysail.client import Unreachable  # noqa: PLC0415  # an HTTP client, which a command that succeeds may not need

    if isinstance(error, Unreachable):
        return UNREACHABLE
    return USAGE if isinstance(error, ConfigError | MissingExtra) else FAILED
