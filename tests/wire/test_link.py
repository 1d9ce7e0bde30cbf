from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ProtocolError, UnknownModel
from skysail.wire import link as module
from skysail.wire.link import Link, LinkClosed, connect_link, keep_link, open_link, serve_links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path


class Peer:
    """A handler with a few operations; it remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.gate = asyncio.Event()
        self.cancelled = False

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        match op:
            case "echo":
                return args
            case "tell":
                self.told.append(args["value"])
            case "slow":
                return self.slow()
            case "back":
                return link.call("echo", **args)
            case "unknown_model":
                raise UnknownModel("no model 'x'")
            case "unencodable":
                return object()
            case _:
                raise ValueError(op)
        return None

    async def slow(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "done"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Link, Link, Peer]]:
    """Two linked ends, and the handler of the second."""
    ours, theirs = socket.socketpair()
    peer = Peer()
    a, b = await open_link(ours, Peer()), await open_link(theirs, peer)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(a.run())
        tasks.create_task(b.run())
        yield a, b, peer
        a.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on each kind of loop."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def runner(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(asyncio.wait_for(coroutine, 20))

    return runner


def test_calls_and_notifications_go_both_ways_in_order(run: Any) -> None:
    """A call is answered, a notification arrives before the call that follows it, and the callee may call back."""

    async def body() -> None:
        async with pair() as (a, b, peer):
            for value in range(5):
                a.notify("tell", value=value)
            assert await a.call("echo", text="é\n", n=[1, None]) == {"text": "é\n", "n": [1, None]}
            assert peer.told == [0, 1, 2, 3, 4]
            assert await b.call("echo", x=1) == {"x": 1}
            assert await a.call("back", y=2) == {"y": 2}

    run(body())


def test_a_slow_call_does_not_hold_up_the_others(run: Any) -> None:
    """An awaitable answer is finished beside the messages that follow, and comes to the call that asked."""

    async def body() -> None:
        async with pair() as (a, _, peer), asyncio.TaskGroup() as tasks:
            slow = tasks.create_task(a.call("slow"))
            assert await a.call("echo") == {}
            peer.gate.set()
            assert await slow == "done"

    run(body())


def test_errors_come_back_as_what_they_are(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Our errors keep their class and message; a bug at the other end is an `internal` error, logged there."""

    async def body() -> None:
        async with pair() as (a, _, _):
            with pytest.raises(UnknownModel, match="no model 'x'"):
                await a.call("unknown_model")
            with pytest.raises(Exception, match="ValueError"):
                await a.call("nonsense")
            with pytest.raises(Exception, match="Encoding objects"):
                await a.call("unencodable")
            a.notify("nonsense")
            assert await a.call("echo") == {}

    run(body())
    assert sum("failed" in record.message for record in caplog.records) == 3


def test_a_lost_peer_ends_every_call_and_every_answer_in_progress(run: Any) -> None:
    """When an end closes, waiting calls raise `LinkClosed`, answers in progress are cancelled, and sending raises."""

    async def body() -> None:
        async with pair() as (a, _, peer):
            async with asyncio.TaskGroup() as tasks:
                slow = tasks.create_task(outcome(a.call("slow")))
                await a.call("echo")
                a.close()
                assert isinstance(await slow, LinkClosed)
            with pytest.raises(LinkClosed):
                a.notify("tell", value=1)
            with pytest.raises(LinkClosed):
                await a.call("echo")
        assert peer.cancelled

    run(body())


async def outcome(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result, or the `LinkClosed` in its place."""
    try:
        return await coroutine
    except LinkClosed as error:
        return error


def test_a_cancelled_call_harms_no_other(run: Any) -> None:
    """A call given up leaves the link as it was; its late answer is ignored."""

    async def body() -> None:
        async with pair() as (a, _, peer):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await a.call("slow")
            peer.gate.set()
            assert await a.call("echo", x=1) == {"x": 1}

    run(body())


def raw(data: bytes) -> list[Any]:
    """What a peer is told by these bytes and an end of file."""

    async def body() -> list[Any]:
        ours, theirs = socket.socketpair()
        peer = Peer()
        with theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            await (await open_link(ours, peer)).run()
        return peer.told

    return asyncio.run(body())


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_or_an_end(data: bytes) -> None:
    """Whatever bytes come, the link ends by itself, with `ProtocolError` or nothing."""
    try:
        raw(data)
    except ProtocolError as error:
        assert "not a message" in error.message  # noqa: PT017 - either outcome is right


def test_a_cut_at_every_byte_is_a_clean_end() -> None:
    """A message that stops in the middle never happened."""
    line = json.dumps({"op": "tell", "args": {"value": 1}}).encode()
    assert [raw(line[:cut]) for cut in range(len(line))] == [[]] * len(line)
    assert raw(line + b"\n") == [1]


def test_oversize_is_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message over the limit is not sent; one that comes is not gathered, but ends the link."""
    monkeypatch.setattr(module, "MAX_MESSAGE", 1000)
    with pytest.raises(ProtocolError, match="over 1000 bytes"):
        raw(b"x" * 5000)

    async def body() -> None:
        async with pair() as (a, _, _):
            with pytest.raises(LinkClosed, match="a link holds 1000"):
                a.notify("tell", value="x" * 1000)

    asyncio.run(body())


def test_dialling_waits_for_the_listener_and_survives_its_restarts(run: Any, tmp_path: Path) -> None:
    """`keep_link` connects when the socket appears, and again after the peer was restarted on the same held socket."""
    path = tmp_path / "s"

    async def body() -> None:
        links: asyncio.Queue[Link] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            dialler = tasks.create_task(keep_link(str(path), Peer(), links.put_nowait, pause=0.01))
            await asyncio.sleep(0)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()
                for _ in range(2):
                    served: asyncio.Queue[Link] = asyncio.Queue()
                    lost: asyncio.Queue[Link] = asyncio.Queue()
                    server = tasks.create_task(serve_links(listener, Peer(), served.put_nowait, lost.put_nowait))
                    link = await links.get()
                    assert await link.call("echo", x=1) == {"x": 1}
                    theirs = await served.get()
                    assert not theirs.closed
                    server.cancel()
                    assert await lost.get() is theirs
            dialler.cancel()

    run(body())


def test_dialling_gives_up_naming_the_socket(tmp_path: Path) -> None:
    """`connect_link` raises after its attempts, and says which socket nobody serves."""
    with pytest.raises(LinkClosed, match=str(tmp_path / "none")):
        asyncio.run(connect_link(str(tmp_path / "none"), Peer(), attempts=2, pause=0.001))


def test_one_bad_client_does_not_end_the_server(run: Any, tmp_path: Path) -> None:
    """A client that breaks the protocol loses its own link alone."""
    path = tmp_path / "s"

    async def body() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            async with asyncio.TaskGroup() as tasks:
                server = tasks.create_task(serve_links(listener, Peer(), lambda link: None))
                _, writer = await asyncio.open_unix_connection(str(path))
                writer.write(b"nonsense\n")
                good = await connect_link(str(path), Peer())
                running = tasks.create_task(good.run())
                assert await good.call("echo", x=1) == {"x": 1}
                writer.close()
                server.cancel()
                await running

    run(body())


def test_messages_are_lines_of_json(run: Any) -> None:
    """What travels is what the module's docstring says, readable by anybody."""

    async def body() -> bytes:
        ours, theirs = socket.socketpair()
        link = await open_link(ours, Peer())
        link.notify("tell", value=1)
        reader, writer = await asyncio.open_unix_connection(sock=theirs)
        line = await reader.readline()
        writer.close()
        link.close()
        return line

    assert msgspec.json.decode(run(body())) == {"op": "tell", "args": {"value": 1}}
