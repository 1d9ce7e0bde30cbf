"""Links: a symmetric channel of JSON messages between two of our own processes, over a Unix stream.

Either side calls the other and awaits its answer, or notifies it and does not. One message is one line of JSON:

```
{"id": 7, "op": "stats", "args": {…}}      a call              {"op": "topology", "args": {…}}     a notification
{"id": 7, "result": …}                     its answer          {"id": 7, "error": {"code": …, "message": …}}
```

For what is rare and structured: topology, reports, statistics. Batches of rows travel by `skysail.wire.protocol`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Protocol

import msgspec

from skysail.errors import ProtocolError, SkysailError, Unavailable, from_code

__all__ = ["MAX_MESSAGE", "Handler", "Link", "LinkClosed", "connect_link", "keep_link", "open_link", "serve_links"]

MAX_MESSAGE = 32 << 20
"""Most bytes of one message, and most that may wait for a peer that does not read."""

_log = logging.getLogger(__name__)


class LinkClosed(Unavailable):
    """The process at the other end is gone, or never came; what was asked of it may or may not have happened."""


class Handler(Protocol):
    """What answers a peer: the result of a call, or an awaitable of it.

    It runs inside the read loop, so a plain function sees the messages in the order they came. What it returns as an
    awaitable is finished in a task of its own, beside the messages that follow. A `SkysailError` travels back by its
    code; an unknown operation is the handler's to refuse. What goes wrong with a notification is logged, for nobody
    waits to hear of it.
    """

    def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
        """Answer one call, or take one notification."""
        ...


class _Error(msgspec.Struct):
    code: str
    message: str


class _Message(msgspec.Struct, omit_defaults=True):
    """One line; a call has `id` and `op`, a notification `op` alone, an answer `id` alone."""

    id: int | None = None
    op: str | None = None
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    result: Any = None
    error: _Error | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


class Link:
    """One end of a connection. Its owner runs `run`, which reads until the peer is gone; `call` needs it running.

    >>> class Echo:
    ...     def __call__(self, link: Link, op: str, args: dict[str, Any], /) -> Any:
    ...         return args
    >>> async def demo() -> Any:
    ...     ours, theirs = socket.socketpair()
    ...     async with asyncio.TaskGroup() as tasks:
    ...         a, b = await open_link(ours, Echo()), await open_link(theirs, Echo())
    ...         tasks.create_task(a.run())
    ...         tasks.create_task(b.run())
    ...         answer = await a.call("echo", x=1)
    ...         a.close()
    ...         return answer
    >>> asyncio.run(demo())
    {'x': 1}
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._numbers = count()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._writer.is_closing()

    async def run(self) -> None:
        """Read and answer until either end closes. Raises `ProtocolError` when the peer sends what is not a message."""
        broken: ProtocolError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    while (line := await self._read_line()) is not None:
                        self._receive(line, tasks)
                except ProtocolError as error:
                    broken = error
                for task in self._answering:
                    task.cancel()
        finally:
            self.close()
            for waiting in self._calls.values():
                if not waiting.done():
                    waiting.set_exception(LinkClosed("the process at the other end of the link is gone"))
        if broken is not None:
            raise broken

    async def call(self, op: str, /, **args: Any) -> Any:
        """Ask the peer and await its answer, for as long as the link lives: bound it with `asyncio.timeout`.

        Raises what the peer's handler raised, by its code; `LinkClosed` when the peer goes away.
        """
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        try:
            self._send(_Message(id=number, op=op, args=args))
            return await answer
        finally:
            del self._calls[number]

    def notify(self, op: str, /, **args: Any) -> None:
        """Tell the peer, without an answer. Raises `LinkClosed` when the link is known to be closed."""
        self._send(_Message(op=op, args=args))

    def close(self) -> None:
        """Close this end; `run` then ends on both. Harmless when closed already."""
        self._writer.close()

    async def _read_line(self) -> bytes | None:
        try:
            return await self._reader.readuntil()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except asyncio.LimitOverrunError as error:
            raise ProtocolError(f"a message on a link is over {MAX_MESSAGE} bytes") from error

    def _receive(self, line: bytes, tasks: asyncio.TaskGroup) -> None:
        try:
            message = _decode(line)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"a line of {len(line)} bytes on a link is not a message: {error}") from error
        if message.op is None:
            self._settle(message)
            return
        try:
            result = self._handler(self, message.op, message.args)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._refuse(message, error)
            return
        if inspect.isawaitable(result):
            task = tasks.create_task(self._finish(message, result))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._answer(message, result)

    async def _finish(self, call: _Message, result: Awaitable[Any]) -> None:
        try:
            value = await result
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._refuse(call, error)
        else:
            self._answer(call, value)

    def _answer(self, call: _Message, result: Any) -> None:
        if call.id is None or self.closed:
            return
        try:
            self._send(_Message(id=call.id, result=result))
        except LinkClosed as error:
            _log.warning("the answer to %s cannot be sent: %s", call.op, error)
        except (TypeError, ValueError) as error:  # not JSON
            self._refuse(call, error)

    def _refuse(self, call: _Message, error: Exception) -> None:
        """Tell the caller why not; what is not one of our own errors is a bug at this end, and is logged here."""
        ours = isinstance(error, SkysailError)
        if call.id is None or not ours:
            _log.error("link operation %s failed", call.op, exc_info=error)
        if call.id is not None and not self.closed:
            told = (
                _Error(error.code, error.message)
                if isinstance(error, SkysailError)
                else _Error("internal", repr(error))
            )
            self._send(_Message(id=call.id, error=told))

    def _settle(self, message: _Message) -> None:
        """Pass on an answer. One to a call that was cancelled meanwhile finds nobody, and that is right."""
        waiting = self._calls.get(-1 if message.id is None else message.id)
        if waiting is None or waiting.done():
            return
        if message.error is None:
            waiting.set_result(message.result)
        else:
            waiting.set_exception(from_code(message.error.code, message.error.message))

    def _send(self, message: _Message) -> None:
        line = _encode(message)
        waiting = self._writer.transport.get_write_buffer_size()
        if self.closed:
            raise LinkClosed(f"cannot send {message.op or 'an answer'}: the link is closed")
        if len(line) + waiting >= MAX_MESSAGE:
            self._writer.transport.abort()
            raise LinkClosed(
                f"cannot send {message.op or 'an answer'} of {len(line)} bytes: the peer has {waiting} still to read, "
                f"and a link holds {MAX_MESSAGE}"
            )
        self._writer.write(line + b"\n")


async def open_link(sock: socket.socket, handler: Handler) -> Link:
    """A link on a connected Unix stream socket, such as one half of a `socketpair`; the link owns it from now on."""
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_MESSAGE)
    return Link(reader, writer, handler)


async def connect_link(path: str, handler: Handler, *, attempts: int = 20, pause: float = 0.02) -> Link:
    """A link to whoever serves the Unix socket at `path`.

    A socket that nobody listens on yet is tried again with a back-off that doubles from `pause` seconds to a second;
    `LinkClosed` after `attempts` of them. A socket that is held open for a process being restarted accepts at once.
    """
    for attempt in range(attempts):
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_MESSAGE)
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            await asyncio.sleep(min(pause * 2**attempt, 1.0))
        else:
            return Link(reader, writer, handler)
    raise LinkClosed(f"nobody serves the socket {path} after {attempts} attempts: is the process that owns it running?")


async def keep_link(path: str, handler: Handler, connected: Callable[[Link], None], *, pause: float = 0.1) -> None:
    """Stay linked with whoever serves `path`, for ever: when the link ends, connect again.

    `connected` is told of each new link before its first message is handled. A peer that closes at once, again
    and again, is not dialled more often than every `pause` seconds.
    """
    while True:
        try:
            link = await connect_link(path, handler)
            connected(link)
            await link.run()
        except LinkClosed:
            pass
        except ProtocolError as error:
            _log.warning("the link to %s broke: %s", path, error)
        await asyncio.sleep(pause)


async def serve_links(
    sock: socket.socket,
    handler: Handler,
    connected: Callable[[Link], None],
    lost: Callable[[Link], None] = lambda link: None,
) -> None:
    """Accept links on a listening Unix socket until cancelled, which closes them; the socket stays open, for its owner.

    `connected` is told of each new link before its first message is handled, `lost` of each that ended.
    """
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        while True:
            peer, _ = await loop.sock_accept(sock)
            tasks.create_task(_serve(peer, handler, connected, lost))


async def _serve(
    peer: socket.socket, handler: Handler, connected: Callable[[Link], None], lost: Callable[[Link], None]
) -> None:
    link = await open_link(peer, handler)
    connected(link)
    try:
        await link.run()
    except ProtocolError as error:
        _log.warning("a link broke: %s", error)
    finally:
        lost(link)
