from __future__ import annotations

import socket
import stat
from typing import TYPE_CHECKING

import pytest

from skysail.errors import ConfigError
from skysail.supervisor.sockets import bind_tcp, bind_unix, run_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_taken_port_is_named_with_the_remedy() -> None:
    """The second server on a port is told which port, that it is taken, and both ways out."""
    with bind_tcp("127.0.0.1", 0, "port") as sock:
        port = sock.getsockname()[1]
        assert port > 0
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} is taken.*stop it, or set \[server\] admin_port"):
            bind_tcp("127.0.0.1", port, "admin_port")


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    """A name that means nothing, or another machine's address, is a config error that names it."""
    with pytest.raises(ConfigError, match=host):
        bind_tcp(host, 0, "port")


def test_ipv6_is_an_address_too() -> None:
    """A server may listen on ::1, where the machine has it."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    with bind_tcp("::1", 0, "port") as sock:
        assert sock.family == socket.AF_INET6


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """What a dead process left at the path does not matter."""
    path = str(tmp_path / "s")
    bind_unix(path).close()
    with bind_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_the_run_folder_is_private_short_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may enter it, a socket's path in it fits in any system's limit, and nothing of it stays."""
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with run_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        path = folder / "w" / "0123456789abcdef.sock"
        assert len(bytes(path)) <= 103
        with bind_unix(str(path)):
            pass
    assert not folder.exists()
    assert list(long.iterdir()) == []
