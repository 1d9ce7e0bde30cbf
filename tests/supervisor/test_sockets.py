from __future__ import annotations

import socket
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from skysail.errors import ConfigError
from skysail.supervisor.sockets import bind_shared, bind_tcp, bind_unix, run_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_taken_port_is_named_with_the_remedy() -> None:
    """The second server on a port is told which port, that it is taken, and both ways out."""
    with bind_tcp("127.0.0.1", 0, "port") as sock:
        port = sock.getsockname()[1]
        assert port > 0
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} is taken.*stop it, or set \[server\] admin_port"):
            bind_tcp("127.0.0.1", port, "admin_port")


def test_connections_are_shared_out_among_sockets_of_one_port() -> None:
    """Each of three sockets gets some of a hundred connections, and together they get all."""
    with ExitStack() as stack:
        shared = [stack.enter_context(sock) for sock in bind_shared("127.0.0.1", 0, "port", 3)]
        address = shared[0].getsockname()
        assert {sock.getsockname() for sock in shared} == {address}
        for _ in range(100):
            stack.enter_context(socket.create_connection(address))
        got = [accepted(sock) for sock in shared]
        assert sum(got) == 100
        assert min(got) > 0


def accepted(sock: socket.socket) -> int:
    """How many connections wait in a socket, none of which does any longer."""
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_sockets_that_are_shared_are_not_shared_with_another_server() -> None:
    """A second server of the same user is told that the port is taken, however many frontends either has."""
    with ExitStack() as stack:
        shared = [stack.enter_context(sock) for sock in bind_shared("127.0.0.1", 0, "port", 2)]
        port = shared[0].getsockname()[1]
        for count in (1, 2):
            with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} is taken"):
                bind_shared("127.0.0.1", port, "port", count)


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
