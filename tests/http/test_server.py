from __future__ import annotations

import asyncio
import http.client
import json
import logging
from contextlib import closing
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skysail.http.server import HttpServer, HttpStatistics


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    """A request with a body."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


HELD = post("/hold", b"hi")


# Clients


def test_httpx_talks_to_it(play: Any) -> None:
    """A client library gets answers and errors, and keeps its connection through them."""

    async def scenario(rig: Any) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{rig.port}") as client:
            answer = await client.post("/echo", json={"input": [1, 2]})
            assert (answer.status_code, answer.json()) == (200, {"input": [1, 2]})
            assert answer.headers["content-type"] == "application/json"
            missing = await client.post("/nowhere", content=b"x" * 1000)
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
            denied = await client.get("/denied")
            assert (denied.status_code, denied.headers["www-authenticate"]) == (401, "Bearer")
            busy = await client.get("/overload")
            assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
            wrong = await client.get("/post-only")
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
            assert (await client.head("/echo")).status_code == 200
            streamed = await client.post("/echo", content=chunks())
            assert streamed.content == b"onetwo"
            assert len((await client.get("/big")).content) == 1_000_000
        assert rig.server.statistics().accepted == 1

    async def chunks() -> Any:
        yield b"one"
        yield b"two"

    play(scenario)


def test_the_standard_client_talks_to_it(play: Any) -> None:
    """The simplest client there is, in a thread of its own."""

    def talk(port: int) -> list[tuple[int, bytes]]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            answers = []
            for body in (b"a", b"b" * 300_000):
                client.request("POST", "/echo", body)
                answer = client.getresponse()
                answers.append((answer.status, answer.read()))
            return answers

    async def scenario(rig: Any) -> None:
        assert await asyncio.to_thread(talk, rig.port) == [(200, b"a"), (200, b"b" * 300_000)]

    play(scenario)


def test_a_hundred_megabytes_are_refused_before_they_are_read(play: Any) -> None:
    """A client that sends on regardless still gets to read its 413, since the connection is not reset under it."""

    def talk(port: int) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            client.request("POST", "/echo", bytes(100_000_000))
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())["error"]["code"]

    async def scenario(rig: Any) -> None:
        assert await asyncio.to_thread(talk, rig.port) == (413, "too_large")
        assert rig.desk.served == []

    play(scenario, linger=30.0, max_body=1 << 20)


def test_statistics_count(play: Any) -> None:
    """A snapshot of what there is and was; errors by code."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.reply()
        await client.reply()
        other = await rig.connect()
        other.send(HELD)
        await rig.until(lambda: rig.desk.held)
        before = rig.server.statistics()
        await other.reset()
        await rig.until(lambda: rig.desk.gone)
        after = rig.server.statistics()
        assert (before.connections, before.accepted, before.requests, before.gone) == (2, 2, 2, 0)
        assert (after.connections, after.accepted, after.requests, after.gone) == (1, 2, 2, 1)
        assert before.errors == after.errors == {"not_found": 1}

    play(scenario)


# The end


def test_draining_closes_the_idle_and_answers_the_rest(play: Any) -> None:
    """No new connection; an idle one is closed; the last answer of a busy one says that it is the last."""

    async def scenario(rig: Any) -> None:
        idle, busy, reading = [await rig.connect() for _ in range(3)]
        idle.send(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
        await idle.reply()
        busy.send(HELD + HELD)
        reading.send(HELD[:-1])
        await rig.until(lambda: len(rig.desk.held) == 2)
        await rig.until(lambda: rig.server.statistics().connections == 3)
        draining = asyncio.ensure_future(rig.server.drain(30))
        assert await idle.rest() == b""
        with pytest.raises(OSError, match=r"refused|reset|Connect"):
            await rig.connect()
        rig.desk.release(0, b"one")
        assert (await busy.reply()).headers.get("connection") is None
        reading.send(HELD[-1:])
        await rig.until(lambda: len(rig.desk.held) == 2)
        assert not draining.done()
        rig.desk.release(0, b"two")
        rig.desk.release(0, b"three")
        for client, body in ((busy, b"two"), (reading, b"three")):
            last = await client.reply()
            assert (last.body, last.headers["connection"]) == (body, "close")
            assert await client.rest() == b""
        await draining
        assert rig.desk.gone == []

    play(scenario)


def test_draining_has_an_end(play: Any) -> None:
    """What is not answered in time is cut off, and forgotten."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(HELD)
        await rig.until(lambda: rig.desk.held)
        await rig.server.drain(0.01)
        assert len(rig.desk.gone) == 1
        assert rig.server.statistics().connections == 0
        await rig.server.drain(0.01)
        await rig.server.aclose()

    play(scenario)


def test_a_server_that_never_started_closes_too() -> None:
    """Closing and counting need no start."""

    async def main() -> HttpStatistics:
        server = HttpServer(None)  # type: ignore[arg-type] # it is never asked
        server.sweep()
        await server.drain(1)
        await server.aclose()
        return server.statistics()

    assert asyncio.run(main()).accepted == 0


def test_sweeping_by_hand_is_what_the_timer_does(play: Any) -> None:
    """Tests of timeouts need not wait for them."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        await rig.until(lambda: rig.server.statistics().connections)
        for _ in range(5):
            rig.server.sweep()
        assert await client.rest() == b""

    play(scenario, idle_timeout=1000, header_timeout=1000, linger=1000)


# Expect: 100-continue


def test_continue_is_sent_when_the_body_is_wanted(play: Any) -> None:
    """Once, and before the answer."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/echo", b"hello", "Expect: 100-continue")[:-5])
        assert await client.line() == b"HTTP/1.1 100 Continue\r\n"
        assert await client.line() == b"\r\n"
        client.send(b"he")
        client.send(b"llo")
        assert (await client.reply()).body == b"hello"

    play(scenario)


def test_continue_waits_for_the_answers_before_it(play: Any) -> None:
    """It would be taken for the answer to another request."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold", b"first") + post("/echo", b"second", "Expect: 100-continue")[:-6])
        await rig.until(lambda: rig.desk.held)
        for _ in range(1000):  # it is our turn that is awaited, so the client is not slow
            rig.server.sweep()
        rig.desk.release()
        assert (await client.reply()).body == b"first"
        assert await client.line() == b"HTTP/1.1 100 Continue\r\n"
        assert await client.line() == b"\r\n"
        client.send(b"second")
        assert (await client.reply()).body == b"second"

    play(scenario, header_timeout=100.0)


@pytest.mark.parametrize("extra", [b"h", b"hello"])
def test_continue_is_left_out_when_the_body_is_coming(play: Any, extra: bytes) -> None:
    """A client that did not wait does not need it."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        head = post("/echo", b"hello", "Expect: 100-continue")[:-5]
        client.send(head + extra)
        client.send(b"hello"[len(extra) :])
        assert (await client.reply()).body == b"hello"

    play(scenario)


@pytest.mark.parametrize(("path", "length", "status"), [("/echo", 101, 413), ("/nowhere", 5, 404), ("/denied", 5, 401)])
def test_a_refused_body_is_not_asked_for(play: Any, path: str, length: int, status: int) -> None:
    """The final status comes instead of 100, and then the end."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(
            f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert await client.rest() == b""

    play(scenario, max_body=100)


# Limits of time


def test_a_slow_head_is_408(play: Any) -> None:
    """Bytes that trickle in do not extend the time that headers have."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        for byte in b"GET /echo HT":
            client.send(bytes([byte]))
            await asyncio.sleep(1)
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert b'"invalid_request"' in reply.body
        assert b"headers" in reply.body
        assert await client.rest() == b""

    play(scenario, jumping=True, header_timeout=10.0)


def test_a_body_may_take_its_time_but_not_pause(play: Any) -> None:
    """Each piece renews the time; the pause that is too long is 408."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/echo", b"x" * 10)[:-10])
        for _ in range(9):
            await asyncio.sleep(8)
            client.send(b"x")
        reply = await client.reply()
        assert reply.status == 408
        assert b"body" in reply.body

    play(scenario, jumping=True, header_timeout=10.0)


def test_a_slow_request_behind_others_is_answered_in_turn(play: Any) -> None:
    """The 408 comes after the answers to what came before."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold", b"first") + b"GET")
        await asyncio.sleep(100)
        rig.desk.release()
        assert (await client.reply()).body == b"first"
        assert (await client.reply()).status == 408
        assert await client.rest() == b""

    play(scenario, jumping=True)


def test_a_refused_body_that_does_not_come_is_not_waited_for(play: Any) -> None:
    """The answer is given already: the connection just ends."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/nowhere", b"x" * 100)[:-50])
        assert (await client.reply()).status == 404
        assert await client.rest() == b""

    play(scenario, jumping=True)


def test_silence_is_closed_silently(play: Any) -> None:
    """Between requests, and before the first, a connection lives for the idle time and no answer is sent."""

    async def scenario(rig: Any) -> None:
        loop = asyncio.get_running_loop()
        fresh, used = await rig.connect(), await rig.connect()
        start = loop.time()
        used.send(post("/echo"))
        await used.reply()
        await asyncio.sleep(50)
        used.send(post("/late"))
        await used.reply()
        assert await fresh.rest() == b""
        assert 75 <= loop.time() - start <= 76
        assert await used.rest() == b""
        assert 125 <= loop.time() - start <= 126

    play(scenario, jumping=True, idle_timeout=75.0)


def test_a_request_in_hand_has_no_limit_here(play: Any) -> None:
    """How long an answer may take is the engine's to say."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold", b"x"))
        await asyncio.sleep(1000)
        rig.desk.release()
        assert (await client.reply()).body == b"x"

    play(scenario, jumping=True)


def test_a_client_that_will_not_close_is_cut_off(play: Any) -> None:
    """After an answer that left bytes unread we wait for the client's end, for a while."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(b"garbage\r\n\r\n")
        assert (await client.reply()).status == 400
        assert rig.server.statistics().connections == 1
        await asyncio.sleep(3)
        assert rig.server.statistics().connections == 0

    play(scenario, jumping=True, linger=2.0)


# Handlers that fail


@pytest.mark.parametrize(("path", "logged"), [("/broken", "handling"), ("/broken-door", "admitting")])
def test_a_handler_that_fails_is_500(play: Any, caplog: pytest.LogCaptureFixture, path: str, logged: str) -> None:
    """The client learns nothing of the exception, the log everything, and the connection lives on."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post(path) + post("/echo", b"next"))
        reply = await client.reply()
        assert reply.status == 500
        assert b"ZeroDivision" not in reply.body
        assert (await client.reply()).body == b"next"

    play(scenario)
    assert f"{logged} <Request POST {path}> failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


# Garbage


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=st.binary(min_size=1, max_size=200))
def test_garbage_over_a_real_socket(play: Any, stream: bytes) -> None:
    """The server answers with an error or not at all, closes, and serves the next client."""

    async def scenario(rig: Any) -> None:
        answer = await rig.exchange(stream)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert b"200 OK" in await rig.exchange(post("/echo"))

    play(scenario)


def test_logging_is_quiet(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What clients do wrong is answered, and is nobody's business in the log."""

    async def scenario(rig: Any) -> None:
        assert b" 400 " in await rig.exchange(b"garbage\r\n\r\n")
        assert b" 404 " in await rig.exchange(post("/nowhere"))

    with caplog.at_level(logging.DEBUG, logger="skysail"):
        play(scenario)
    assert caplog.text == ""
