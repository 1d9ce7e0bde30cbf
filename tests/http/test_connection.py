from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import Table, post

from skysail.http.request import Request
from skysail.testing.loop import JumpingLoop

# Keeping and closing


def test_a_connection_is_kept(play: Any) -> None:
    """Requests follow each other, refused ones too, and empty lines between them."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        for body in (b"one", b"two"):
            client.send(post("/echo", body) + b"\r\n")
            assert (await client.reply()).body == body
        client.send(post("/nowhere", b"small"))
        assert (await client.reply()).status == 404
        client.send(post("/late"))
        assert (await client.reply()).body == b"late"

    play(scenario)


@pytest.mark.parametrize(
    ("data", "announced"),
    [
        (post("/echo", b"x", "Connection: close"), "close"),
        (post("/hold", b"x", "Connection: close"), "close"),
        (b"GET /echo HTTP/1.0\r\n\r\n", "close"),
        (post("/nowhere", b"x", "Connection: close"), "close"),
    ],
    ids=range(4),
)
def test_the_last_request_is_the_last(play: Any, data: bytes, announced: str) -> None:
    """After its answer the connection is closed; what came behind it is not served."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(data + post("/echo", b"not served"))
        if b"/hold" in data:
            await rig.until(lambda: rig.desk.held)
            rig.desk.release()
        reply = await client.reply()
        assert reply.headers["connection"] == announced
        assert await client.rest() == b""
        assert b"not served" not in [r.body for r in rig.desk.served]

    play(scenario)


def test_an_old_client_can_ask_to_be_kept(play: Any) -> None:
    """HTTP/1.0 with `Connection: keep-alive` gets it, and is told."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        for _ in range(2):
            client.send(b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.reply()).headers["connection"] == "keep-alive"

    play(scenario)


def test_head_gets_no_body(play: Any) -> None:
    """The next answer begins right behind the headers."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(b"HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n" + post("/echo", b"next"))
        assert (await client.reply(head_only=True)).headers["content-length"] == "1000000"
        assert (await client.reply()).body == b"next"

    play(scenario)


def test_malformed_requests_are_answered_and_cut(play: Any) -> None:
    """The answer arrives although more is under way; good requests before it are answered first."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/late") + b"garbage\r\n" + b"x" * 1_000_000)
        assert (await client.reply()).body == b"late"
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert await client.rest() == b""

    play(scenario)


# Pipelines


def test_answers_come_in_the_order_of_the_requests(play: Any) -> None:
    """A hundred pipelined requests, answered by the handler in another order; never over the bound at once."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(b"".join(post("/hold", b"%d" % i) for i in range(100)))
        await rig.until(lambda: len(rig.desk.held) == 16)
        answered = 0
        while answered < 100:
            await rig.until(lambda: rig.desk.held)
            rig.desk.release((answered * 7) % len(rig.desk.held))
            answered += 1
        assert [(await client.reply()).body for _ in range(100)] == [b"%d" % i for i in range(100)]
        assert rig.desk.most_held == 16

    play(scenario, pipeline=16)


def test_a_pipeline_of_one(play: Any) -> None:
    """The smallest bound serves one request after another, and is not stuck by a half one."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        stream = b"".join(post("/hold", b"%d" % i) for i in range(5))
        client.send(stream[:-1])
        for i in range(4):
            await rig.until(lambda: rig.desk.held)
            assert len(rig.desk.held) == 1
            rig.desk.release()
            assert (await client.reply()).body == b"%d" % i
        client.send(stream[-1:])
        await rig.until(lambda: rig.desk.held)
        rig.desk.release()
        assert (await client.reply()).body == b"4"

    play(scenario, pipeline=1)


def test_refusals_and_half_requests_do_not_fill_the_line(play: Any) -> None:
    """Requests that wait for room get it, whatever stands behind them."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold", b"1") * 3 + post("/nowhere") * 3 + post("/hold", b"1")[:-1])
        for _ in range(3):
            await rig.until(lambda: rig.desk.held)
            rig.desk.release()
        assert [(await client.reply()).status for _ in range(6)] == [200, 200, 200, 404, 404, 404]

    play(scenario, pipeline=1)


def test_refusals_wait_their_turn(play: Any) -> None:
    """An error that is known at once does not overtake the answers before it."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold", b"first") + post("/nowhere") + post("/echo", b"third"))
        await rig.until(lambda: len(rig.desk.served) == 2)
        rig.desk.release()
        replies = [await client.reply() for _ in range(3)]
        assert [r.status for r in replies] == [200, 404, 200]
        assert replies[2].body == b"third"

    play(scenario)


def test_reading_pauses_while_bodies_are_held(play: Any) -> None:
    """A pipeline of large bodies does not fill the memory, and goes on as they are answered."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        body = bytes(100_000)
        client.send(b"".join(post("/hold", body) for _ in range(50)))
        await rig.until(lambda: len(rig.desk.held) >= 2)
        for _ in range(50):
            await rig.until(lambda: rig.desk.held)
            rig.desk.release(0, b"")
        for _ in range(50):
            assert (await client.reply()).status == 200
        assert rig.desk.most_held < 10

    play(scenario, max_body=150_000)


# Clients that go


def test_a_client_that_is_gone_takes_its_work_along(play: Any) -> None:
    """Every unfinished request is forgotten, once; answers that come all the same are harmless."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(b"".join(post("/hold", b"%d" % i) for i in range(10)))
        await rig.until(lambda: len(rig.desk.held) == 10)
        rig.desk.release(3)
        await client.reset()
        await rig.until(lambda: len(rig.desk.gone) == 9)
        for request in rig.desk.gone:
            assert request.gone
            request.reply(200, b"")
        assert rig.server.statistics().gone == 9  # one had its answer, though it was not its turn

    play(scenario)


def test_one_that_cannot_be_forgotten_harms_no_other(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in `on_gone` is logged, and the next is called."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold") * 2)
        await rig.until(lambda: len(rig.desk.held) == 2)
        rig.desk.held[0].on_gone = lambda: 1 / 0
        await client.reset()
        await rig.until(lambda: rig.desk.gone)

    play(scenario)
    assert "forgetting <Request POST /hold> failed" in caplog.text


def test_forgetting_may_answer_others(play: Any) -> None:
    """What waits with a request that is given up may be settled on the spot."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold") * 2)
        await rig.until(lambda: len(rig.desk.held) == 2)
        first, second = rig.desk.held
        first.on_gone = lambda: second.reply(200, b"")
        await client.reset()
        await rig.until(lambda: first.gone)
        assert rig.desk.gone == []

    play(scenario)


def test_a_half_closed_client_is_answered(play: Any) -> None:
    """It said that it sends no more, not that it is gone; half a request behind is dropped."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(post("/hold", b"one") + post("/hold", b"two") + post("/hold", b"three")[:-1])
        client.end()
        await rig.until(lambda: len(rig.desk.held) == 2)
        rig.desk.release(1)
        rig.desk.release(0)
        first = await client.reply()
        if first.status == 100:  # it was asked whether it is still there
            first = await client.reply()
        assert [first.body, (await client.reply()).body] == [b"one", b"two"]
        assert await client.rest() == b""
        assert rig.desk.gone == []
        await rig.until(lambda: not rig.server.statistics().connections)

    play(scenario)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_closing_at_every_byte(play: Any, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a client leaves, nothing of it is left, nothing is logged, and the next one is served."""
    request = b"POST /hold HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def scenario(rig: Any) -> None:
        for cut in range(len(request) + 1):
            client = await rig.connect()
            client.send(post("/echo", b"x") + request[:cut])
            assert (await client.reply()).body == b"x"
            await getattr(client, how)()
        await rig.until(lambda: rig.server.statistics().connections == len(rig.desk.held) - len(rig.desk.gone))
        for held in rig.desk.held:  # only a complete request of a client that closed in silence still waits
            if not held.gone:
                held.reply(200, b"")
        await rig.until(lambda: not rig.server.statistics().connections)
        assert b"abc" in [r.body for r in rig.desk.served] or how == "reset"
        assert b"200 OK" in await rig.exchange(post("/echo"))

    play(scenario)
    assert caplog.text == ""


@pytest.mark.parametrize("cut", range(0, 64, 9))
def test_requests_in_two_reads(play: Any, cut: int) -> None:
    """A request in two segments is answered as one in one (every split is tested on the reader)."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        data = post("/echo", b"hello")
        client.send(data[:cut])
        await client.drain()
        await asyncio.sleep(0)
        client.send(data[cut:])
        assert (await client.reply()).body == b"hello"

    play(scenario)


# Clients that do not read


@pytest.fixture(scope="module")
def loop() -> Any:
    """A loop that runs when a test says so."""
    loop = JumpingLoop()
    yield loop
    loop.close()


def test_a_client_that_does_not_read_does_not_fill_the_memory(play: Any) -> None:
    """Large answers to a great many small requests are made as they are taken, not when they are asked."""

    async def scenario(rig: Any) -> None:
        client = await rig.connect()
        client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n" * 200)
        await rig.until(lambda: rig.desk.served)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(rig.desk.served) <= 20
        for _ in range(200):
            assert len((await client.reply()).body) == 1_000_000

    play(scenario, pipeline=8)


def test_answers_of_one_turn_are_one_write(loop: Any) -> None:
    """Those given while reading, and those that a worker's batch brings, each go out together."""
    table = Table(loop)
    table.receive(post("/a", b"x") * 5)
    for request in table.held[:4]:
        request.reply(200, b"")
    assert table.wire.writes == []
    table.turn()
    assert [write.count(b"200 OK") for write in table.wire.writes] == [4]
    table.held[4].reply(200, b"")
    table.turn()
    assert len(table.wire.writes) == 2


def test_an_answer_given_while_reading_is_written_at_once(loop: Any) -> None:
    """What needs no worker does not wait for the turn's end."""
    table = Table(loop)
    table.receive(b"nonsense\r\n\r\n")
    assert table.wire.writes


def test_reading_pauses_while_the_client_does_not_take_its_answers(loop: Any) -> None:
    """And goes on when it does."""
    table = Table(loop)
    table.connection.pause_writing()
    assert not table.wire.reading
    table.sweeps(100)
    table.connection.resume_writing()
    assert table.wire.reading
    assert not table.wire.closed


def test_reading_pauses_at_the_bound_and_goes_on_below_it(loop: Any) -> None:
    """What arrived already is kept; more is not asked for."""
    table = Table(loop, pipeline=2)
    table.receive(post("/a") * 5)
    assert (len(table.held), table.wire.reading) == (2, False)
    for _ in range(3):
        table.held.pop(0).reply(200, b"")
        table.turn()
    assert (len(table.held), table.wire.reading) == (2, True)


def test_a_paused_client_is_not_slow(loop: Any) -> None:
    """The time in which we do not read is not its fault."""
    table = Table(loop, pipeline=1, header_timeout=1.0, linger=1.0)
    table.receive(post("/a") * 2 + b"POST")
    assert not table.wire.reading
    table.sweeps(100)
    assert not table.wire.closed
    while table.held:
        table.held.pop().reply(200, b"")
        table.turn()
    assert table.wire.reading
    table.sweeps(4)
    assert b"408" not in table.wire.writes[-1]
    table.sweeps(1)
    assert b"408" in table.wire.writes[-1]


def test_a_client_that_never_takes_its_answers_is_cut_off(loop: Any) -> None:
    """Whether they stand above the mark where reading pauses, or below it when the connection is to close."""
    stalled = Table(loop, idle_timeout=10.0)
    stalled.wire.unsent = 100_000
    stalled.connection.pause_writing()
    stalled.sweeps(20)
    assert not stalled.wire.closed
    stalled.sweeps(1)
    assert stalled.wire.closed == "aborted"

    closing = Table(loop, idle_timeout=10.0)
    closing.wire.unsent = 100
    closing.receive(post("/a", b"", "Connection: close"))
    closing.held[0].reply(200, b"")
    closing.turn()
    assert closing.wire.closed == "closed"
    closing.sweeps(20)
    assert closing.wire.closed == "closed"
    closing.sweeps(1)
    assert closing.wire.closed == "aborted"


def test_an_answer_after_the_end_is_harmless(loop: Any) -> None:
    """Between the cut and the transport's word of it, nothing is written."""
    table = Table(loop)
    table.receive(post("/a") * 2)
    table.connection.abort()
    for request in table.held:
        request.reply(200, b"")
    table.turn()
    table.connection.connection_lost(None)
    assert table.wire.writes == []


# Handlers that fail


def test_failing_after_the_answer_is_only_logged(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The answer that was given stands."""
    table = Table(loop)

    def handle(request: Request) -> None:
        request.reply(200, b"")
        raise ZeroDivisionError

    table.handle = handle  # type: ignore[method-assign]
    table.receive(post("/a"))
    assert [write[9:12] for write in table.wire.writes] == [b"200"]
    assert "ZeroDivisionError" in caplog.text


# Garbage


PIECES = [
    post("/echo", b"x"),
    post("/hold"),
    b"GET ",
    b"HTTP/1.1\r\n",
    b"Host: h\r\n",
    b"\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
]
STREAMS = st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(PIECES)), max_size=12)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STREAMS, st.booleans())
def test_no_stream_is_too_much(loop: Any, caplog: pytest.LogCaptureFixture, stream: list[bytes], ends: bool) -> None:
    """Whatever comes, in whatever pieces, all that was complete is answered, and nothing is logged."""
    table = Table(loop, pipeline=3)
    connection = table.connection
    for piece in stream:
        table.receive(piece)
    if ends:
        keep = connection.eof_received()
        assert keep == any(not request.status for request in table.held)
    while table.held:
        table.held.pop().reply(200, b"")
        table.turn()
    table.sweeps(500)  # what is late is told so,
    table.sweeps(500)  # and then closed
    assert table.wire.closed or ends
    connection.connection_lost(None)
    assert (table.hub.gone, caplog.text) == (0, "")
    assert not table.hub.members
