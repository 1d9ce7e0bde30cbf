"""The sockets and the folder that the parent holds for its children."""

from __future__ import annotations

import errno
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skysail.errors import ConfigError

__all__ = ["BACKLOG", "bind_tcp", "bind_unix", "run_folder"]

BACKLOG = 1024
"""Connections that may wait to be accepted."""

_UNIX_PATH = 100
"""Longest path of a Unix socket, in bytes: macOS allows 103, Linux 107."""


def bind_tcp(host: str, port: int, key: str) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one. `key` is the config key of the port, for the error's remedy.

    Raises `ConfigError` when the address is taken or cannot be used.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise ConfigError(f"[server] host {host!r} is no address of this machine: {error.strerror}") from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError(_refusal(host, port, key, error)) from error
    sock.setblocking(False)
    return sock


def _refusal(host: str, port: int, key: str, error: OSError) -> str:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is taken by another process: stop it, or set [server] {key} to another port (0 picks a free one)"
        )
    if error.errno == errno.EACCES:
        return f"{where} may not be used without privileges: set [server] {key} to a port above 1023"
    return f"{where} cannot be listened on ([server] {key}): {error.strerror}"


def bind_unix(path: str) -> socket.socket:
    """A listening Unix socket at `path`, which is replaced if it is there."""
    Path(path).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def run_folder() -> Iterator[Path]:
    """A private folder for Unix sockets, removed at the end; its path is short, for theirs may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="skysail-"))
    if len(bytes(folder)) > _UNIX_PATH - len("/w/0123456789abcdef.sock"):
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="skysail-", dir="/tmp"))
    try:
        (folder / "w").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
