from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest


async def answered(paper: Any, answers: list[bytes], use: Callable[[Any], Any]) -> Any:
    """What `use` makes of a client whose server gives these answers, one for each read, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(1 << 16)
            for part in (answer[:20], answer[20:]):  # an answer may come in parts
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, paper("client").Client(url) as client:
        return await use(client)


def http(status: str, body: str) -> bytes:
    """An answer."""
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def test_predictions_and_observations(paper: Any) -> None:
    """Both lists go over one connection, and come back decoded."""
    told = [http("200 OK", '{"predictions":[{"output":7}]}'), http("200 OK", '{"accepted":1}')]

    async def use(client: Any) -> tuple[Any, Any]:
        return await client.predict("app", [1], context="u"), await client.observe("app", [{}])

    assert asyncio.run(answered(paper, told, use)) == ([{"output": 7}], {"accepted": 1})


def test_an_error_is_said(paper: Any) -> None:
    """A status other than 200 is an error with what the server said; `post` gives both as they are."""
    refused = http("404 Not Found", '{"error":{"code":"unknown_app"}}')

    async def use(client: Any) -> Any:
        with pytest.raises(paper("harness").BenchmarkError, match="unknown_app"):
            await client.predict("app", [1])
        return await client.post("/x", {})

    assert asyncio.run(answered(paper, [refused, refused], use)) == (404, {"error": {"code": "unknown_app"}})


def test_a_closed_connection_is_an_error_once(paper: Any) -> None:
    """A request that was on its way fails; the next one gets a new connection."""

    async def use(client: Any) -> Any:
        await client.get("/a")
        with pytest.raises(paper("harness").BenchmarkError, match="closed"):
            await client.get("/b")
        return await client.get("/c")

    assert asyncio.run(answered(paper, [http("200 OK", "{}")], use)) == (200, {})
