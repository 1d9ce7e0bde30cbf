from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import uvloop

from skysail.http.door import Door

PATIENCE = 30.0


class Guest(asyncio.Protocol):
    """A connection that was let in."""

    def __init__(self, house: House) -> None:
        self.house = house

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.house.guests.append(transport)

    def data_received(self, data: bytes) -> None:
        self.house.heard.append(data)


class House:
    """A door, what came in by it, and how many at most in one turn of the loop."""

    def __init__(self) -> None:
        self.guests: list[asyncio.BaseTransport] = []
        self.heard: list[bytes] = []
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.sock.getsockname()
        self.door = Door(self.sock, lambda: Guest(self))

    def knock(self, data: bytes = b"") -> socket.socket:
        client = socket.socket()
        client.connect(self.address)
        if data:
            client.sendall(data)
        return client

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - what is waited for is the state of others
            await asyncio.sleep(0.001)


def visit(scenario: Callable[[House], Awaitable[None]]) -> None:
    """Run a scenario before a door that is not open yet."""

    async def main() -> None:
        house = House()
        try:
            await asyncio.wait_for(scenario(house), PATIENCE)
        finally:
            house.door.close()
            house.door.close()
            house.sock.close()
            for guest in house.guests:
                guest.close()
            await asyncio.sleep(0.01)

    uvloop.run(main())


def test_all_who_knock_are_let_in_a_few_at_a_time() -> None:
    """Other work of the loop goes on between, however many there are."""

    async def scenario(house: House) -> None:
        clients = [house.knock(b"%d" % n) for n in range(200)]
        house.door.open()
        counts = [0]
        while len(house.guests) < 200:
            await asyncio.sleep(0)
            counts.append(len(house.guests))
        assert max(b - a for a, b in pairwise(counts)) <= 32
        await house.until(lambda: len(house.heard) == 200)
        for client in clients:
            client.close()

    visit(scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a client has hung up before it is heard")
def test_of_a_crowd_those_who_have_left_are_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is there still is; one that only closed its sending side is told to come again."""

    async def scenario(house: House) -> None:
        monkeypatch.setattr("skysail.http.door._CROWD", 1)
        early = [house.knock() for _ in range(32)]
        for n in range(300):
            house.knock(b"gone %d" % n).close()
        half = house.knock(b"half")
        half.shutdown(socket.SHUT_WR)
        late = [house.knock(b"late") for _ in range(10)]
        house.door.open()
        await house.until(lambda: house.heard.count(b"late") == 10)
        assert len(house.guests) == 42
        half.setblocking(False)
        said = await asyncio.get_running_loop().sock_recv(half, 1000)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in said
        for client in (*early, half, *late):
            client.close()

    visit(scenario)


def test_one_who_closed_its_sending_side_is_heard() -> None:
    """Unless there is a crowd, it is served like any other."""

    async def scenario(house: House) -> None:
        client = house.knock(b"half")
        client.shutdown(socket.SHUT_WR)
        house.door.open()
        await house.until(lambda: house.heard == [b"half"])
        client.close()

    visit(scenario)


def test_without_descriptors_it_tries_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It says so once, and lets in who waits as soon as it can."""

    async def scenario(house: House) -> None:
        loop, tried = asyncio.get_running_loop(), 0

        class Short:
            """A loop without descriptors, for three times."""

            def __getattr__(self, name: str) -> object:
                return getattr(loop, name)

            async def sock_accept(self, sock: socket.socket) -> object:
                nonlocal tried
                tried += 1
                if tried <= 3:
                    raise OSError(errno.EMFILE, "Too many open files")
                return await loop.sock_accept(sock)

        monkeypatch.setattr("skysail.http.door._PAUSE", 0.001)
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "get_running_loop", Short)
            house.door.open()
            await asyncio.sleep(0)
        client = house.knock(b"x")
        await house.until(lambda: house.heard)
        client.close()

    visit(scenario)
    assert caplog.text.count("cannot accept connections") == 1


def test_a_closed_door_lets_nobody_in() -> None:
    """The port is free again."""

    async def scenario(house: House) -> None:
        house.door.open()
        await asyncio.sleep(0.01)
        house.door.close()
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(house.address)

    visit(scenario)
