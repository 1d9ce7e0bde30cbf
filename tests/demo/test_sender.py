from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from skysail.client import Unreachable
from skysail.demo.sender import Answer, Sender
from skysail.errors import Overload

BODY = b'{"prediction_id": "i", "output": 7, "default": false, "models": ["a@1"], "confidence": null}'
ANSWER = Answer("i", 7, False, ("a@1",))


class World:
    """A server that answers as it is told, and keeps what it was asked."""

    def __init__(self, reply: Callable[[int], bytes]) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                await self.gate.wait()
                reply = self.reply(len(self.requests))
                writer.write(reply)
                if not reply.endswith(b"}"):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def message(body: bytes, status: str = "200 OK") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def talk(world: World, use: Callable[[Sender], Awaitable[Any]]) -> Any:
    """What is done with a sender to such a server."""

    async def whole() -> Any:
        listener = await asyncio.start_server(world.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        try:
            async with Sender(f"http://127.0.0.1:{port}") as sender:
                return await use(sender)
        finally:
            listener.close()

    return asyncio.run(whole())


def test_requests_share_a_connection() -> None:
    """One after another they need but one."""
    world = World(lambda n: message(BODY))

    async def use(sender: Sender) -> list[Answer]:
        return [await sender.predict("digits", [1.5]) for _ in range(3)]

    assert talk(world, use) == [ANSWER] * 3
    assert world.connections == 1
    assert all(request.startswith(b"POST /apps/digits/predict HTTP/1.1\r\n") for request in world.requests)
    assert world.requests[0].endswith(b'{"input":[1.5]}')


def test_requests_at_one_time_do_not_wait_for_each_other() -> None:
    """Each has a connection of its own, which is used again afterwards."""
    world = World(lambda n: message(BODY))

    async def use(sender: Sender) -> list[Answer]:
        await asyncio.gather(*[sender.predict("a", 1) for _ in range(5)])
        return await asyncio.gather(*[sender.predict("a", 1) for _ in range(5)])

    assert talk(world, use) == [ANSWER] * 5
    assert world.connections == 5


def test_what_became_of_observations() -> None:
    """The count of those accepted, and why others were not."""
    body = b'{"accepted": 1, "duplicates": 0, "rejected": [{"index": 1, "code": "c", "message": "m"}]}'
    world = World(lambda n: message(body))
    observed = talk(world, lambda sender: sender.observe("a", [{"prediction_id": "x", "label": 1}]))
    assert observed.accepted == 1
    assert [(it.code, it.message) for it in observed.rejected] == [("c", "m")]
    assert world.requests[0].endswith(b'{"observations":[{"prediction_id":"x","label":1}]}')


def test_an_error_is_raised_and_the_connection_used_again() -> None:
    """The server's own error comes out as its class; the next request goes well."""
    refusal = message(b'{"error": {"code": "overload", "message": "too much"}}', "503 Service Unavailable")
    world = World(lambda n: refusal if n == 1 else message(BODY))

    async def use(sender: Sender) -> Answer:
        with pytest.raises(Overload, match="too much"):
            await sender.predict("a", 1)
        return await sender.predict("a", 1)

    assert talk(world, use) == ANSWER
    assert world.connections == 1


@pytest.mark.parametrize("length", [0, 10, 30, len(message(BODY)) - 1])
def test_a_connection_that_breaks_off_is_not_used_again(length: int) -> None:
    """Wherever in an answer it ends, that is `Unreachable`, and the next request opens another."""
    world = World(lambda n: message(BODY)[:length] if n == 1 else message(BODY))

    async def use(sender: Sender) -> Answer:
        with pytest.raises(Unreachable, match="broke off"):
            await sender.predict("a", 1)
        return await sender.predict("a", 1)

    assert talk(world, use) == ANSWER
    assert world.connections == 2


def test_nobody_at_the_address_is_unreachable() -> None:
    """Port 1 on loopback has no server."""

    async def use() -> None:
        async with Sender("http://127.0.0.1:1") as sender:
            await sender.predict("a", 1)

    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 broke off"):
        asyncio.run(use())


def test_a_cancelled_request_takes_its_connection_with_it() -> None:
    """The late answer to a request that was given up is never taken for the next one's."""
    world = World(lambda n: message(BODY))

    async def use(sender: Sender) -> Answer:
        world.gate.clear()
        first = asyncio.ensure_future(sender.predict("a", 1))
        async with asyncio.timeout(10):
            await world.asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        world.gate.set()
        return await sender.predict("a", 1)

    assert talk(world, use) == ANSWER
    assert world.connections == 2
