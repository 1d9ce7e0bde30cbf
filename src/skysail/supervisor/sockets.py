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

__all__ = ["BACKLOG", "bind_shared", "bind_tcp", "bind_unix", "run_folder"]

BACKLOG = 1024
"""Connections that may wait to be accepted."""

_UNIX_PATH = 100
"""Longest path of a Unix socket, in bytes: macOS allows 103, Linux 107."""


def bind_tcp(host: str, port: int, key: str) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one. `key` is the config key of the port, for the error's remedy.

    Raises `ConfigError` when the address is taken or cannot be used.
    """
    return bind_shared(host, port, key, 1)[0]


def bind_shared(host: str, port: int, key: str, count: int) -> list[socket.socket]:
    """Listening TCP sockets of one address, each for a process of its own: connections are shared out among them.

    The kernel picks the socket by a hash of the connection's addresses (`SO_REUSEPORT`), so many connections come in
    about equal parts, and few need not. The first is bound as if it were alone: else two servers of one user could
    share a port without knowing. Raises `ConfigError` as `bind_tcp` does.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sockets = [socket.socket(family, kind, proto) for _ in range(count)]
    except OSError as error:
        raise ConfigError(f"[server] host {host!r} is no address of this machine: {error.strerror}") from error
    try:
        for place, sock in enumerate(sockets):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if place > 0:
                for sharing in sockets[: place + 1]:
                    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            address = sock.getsockname()
            sock.setblocking(False)
        for sock in sockets:
            sock.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise ConfigError(_refusal(host, port, key, error)) from error
    return sockets


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
