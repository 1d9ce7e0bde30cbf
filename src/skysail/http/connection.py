"""One HTTP/1.1 connection: requests come in by its reader, answers go out in the order of the requests.

Requests stand in a line, from the end of their headers until their answer is written. An answer that is ready early
waits for those before it. The handler has at most `pipeline` of the line; complete requests behind them wait, and
reading pauses: what the line has no room for stays the bytes that came. Reading also pauses while the bodies in hand
exceed `max_body`, while there is no room for those of all connections (`skysail.http.hub` has the rules, and those of
turns), and while the client does not take answers.

A client that only closed its sending side is answered, then the connection is closed; requests of one that is gone are
forgotten. TCP shows both as the same end of stream, so we ask: an interim `100 Continue`, which every HTTP/1.1 client
must be able to skip (RFC 9110, 15.2), is taken by the one and answered with a reset by the other's system.

After an answer that leaves bytes unread the socket is not closed at once, since the reset that follows would overtake
the answer on its way to a client that is still sending. The connection closes its own side, and throws away what comes
for `linger` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from typing import cast

from skysail.errors import InvalidRequest, Overload, SkysailError
from skysail.http.hub import Hub
from skysail.http.reader import BODY, DEAF, HEAD, IDLE, Reader
from skysail.http.request import Request, internal_error
from skysail.http.response import CONTINUE, encode_response

__all__ = ["Connection"]

_REPLY_TO_PROBE = 0.02
"""Seconds until a client that is gone has answered with a reset; that of a distant one is found by the sweep."""

_SLICE = 1 << 14
"""Bytes of a read that are looked at before it is asked whether the line has room for more."""

_GULP = 1 << 17
"""Bytes of a read after which it is others' turn: what has sent so much has more."""

_logger = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """The protocol of one accepted socket; made by `skysail.http.server.HttpServer`, and of no use without it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._limits = hub.limits
        self._reader = Reader(self, hub)
        self._line: deque[Request] = deque()
        self._waiting: deque[Request] = deque()  # those in the line that are complete and not yet handled
        self._handed = 0  # those in the line that the handler was given
        self._held = 0  # bytes of complete bodies in the line
        self._unread = b""  # what was received and not looked at
        self._sated = False  # has read enough for this turn
        self._gated = False  # waits to be read from again
        self._in_ring = False  # has a place among those that take turns
        self._busy = False  # reading: an answer given now is written at the end of it
        self._flush_due = False
        self._closing = False  # all is written; the client is to close
        self._since = 0  # the sweep in which we began to close, or the client ceased to take its answers
        self._eof = False
        self._stalled = False
        self._paused = False

    # ---- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._hub.join(self)

    def data_received(self, data: bytes) -> None:
        """Read requests, and write what they were answered at once."""
        hub = self._hub
        hub.reads += 1
        self._look_at(data)
        if hub.crowded and not self._gated:
            self._gated = True
            hub.wait_at_gate(self)
            self.throttle()
        hub.read_enough()

    def eof_received(self) -> bool:
        """The client sends no more: what it asked completely is answered (true: keep the transport open for that)."""
        self._eof = True
        unfinished = self._reader.end()
        if unfinished is not None:
            self._line.remove(unfinished)
            self._forget(unfinished)
        if not self._line:
            self._closing, self._since = True, self._hub.tick
        elif not (self._line[0].old or self._line[0].status):
            self._transport.write(CONTINUE)
            self._hub.loop.call_later(_REPLY_TO_PROBE, self._look_for_reset)
        return bool(self._line)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: forget its requests."""
        self._hub.leave(self)
        self._reader.end()
        self._reader.release()
        lost, self._line = self._line, deque()
        self._waiting.clear()
        self._unread, self._sated = b"", False
        self._hub.release(self._held)
        self._held = 0
        for request in lost:
            request.owner = None
        for request in lost:
            self._forget(request)

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        self._stalled, self._since = True, self._hub.tick
        self.throttle()

    def resume_writing(self) -> None:
        """It does again."""
        self._stalled, self._since = False, self._hub.tick
        self.throttle()
        self._take_turns()

    # ---- the hub's calls

    def sweep(self) -> None:
        """Look at the limits of time; called once a period."""
        if self._eof:
            self._look_for_reset()
        hub, limits, reader = self._hub, self._limits, self._reader
        if self._closing or self._stalled:
            taken = self._closing and not self._transport.get_write_buffer_size()
            if hub.tick - self._since > limits.sweeps(limits.linger if taken else limits.idle_timeout):
                self._transport.abort()
        elif reader.phase == IDLE:
            if not self._line and hub.tick - reader.since > limits.sweeps(limits.idle_timeout):
                self._close()
        elif self._is_slow():
            self._time_out()
        elif self._is_left_out():
            self._give_up(Overload("the server has as many bytes of bodies in hand as it may; send it again later"))

    def drain(self) -> None:
        """Close as soon as nothing is under way."""
        if not self._line and self._reader.phase == IDLE:
            self._close()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()

    # ---- the reader's and the requests' calls

    def enter(self, request: Request) -> None:
        """Give a request its place."""
        self._line.append(request)

    def complete(self, request: Request) -> None:
        """Have a request handled, when there is room for it."""
        self._hub.requests += 1
        self._held += len(request.body)
        self._waiting.append(request)
        if not self._in_ring:
            self._take_turns()

    def answered(self, request: Request) -> None:
        """Write an answer if it is its turn."""
        if not (self._busy or self._flush_due) and self._line[0] is request:
            self._flush_due = True
            self._hub.flush_soon(self)

    def count_error(self, code: str) -> None:
        """Count an error that is answered."""
        errors = self._hub.errors
        errors[code] = errors.get(code, 0) + 1

    # ---- inside

    def _look_at(self, data: bytes) -> None:
        if self._reader.phase == DEAF:
            return
        self._busy = True
        try:
            if len(data) <= _SLICE:
                self._reader.feed(data)
            else:
                self._feed(data)
        finally:
            self._busy = False
        line = self._line
        if not line:
            self._rest()
        elif line[0].status or line[0].expects:
            self.flush()
        else:
            self.throttle()

    def _look_for_reset(self) -> None:
        """Nobody reads from the socket after the end of its stream, so a reset shows only where it is looked for."""
        sock = self._transport.get_extra_info("socket")
        if (
            sock is not None
            and not self._transport.is_closing()
            and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        ):
            self._transport.abort()

    def _is_slow(self) -> bool:
        reader, limits = self._reader, self._limits
        if reader.phase == DEAF or self._paused or (reader.request is not None and reader.request.expects):
            return False  # it waits for us
        return self._hub.tick - reader.since > limits.sweeps(limits.header_timeout)

    def _time_out(self) -> None:
        what = "headers were not complete" if self._reader.phase == HEAD else "body did not go on"
        seconds = self._limits.header_timeout
        self._give_up(InvalidRequest(f"the request's {what} within {seconds:g} s; send it faster"), status=408)

    def _is_left_out(self) -> bool:
        """Whether there has been no room for the rest of a body for as long as a client may take to send it."""
        reader, hub = self._reader, self._hub
        return (
            self in hub.crowd
            and reader.phase == BODY
            and hub.tick - reader.since > self._limits.sweeps(self._limits.header_timeout)
        )

    def _give_up(self, error: SkysailError, status: int | None = None) -> None:
        """Answer a request that is not complete, and never will be."""
        self._reader.abandon(error, status=status)
        self._unread = b""
        if not (self._line or self._closing):
            self._rest()

    def _handle(self, request: Request) -> None:
        try:
            self._hub.handler.handle(request)
        except Exception as error:
            if not isinstance(error, SkysailError):
                _logger.exception("handling %r failed", request)
                error = internal_error()
            if not request.status:
                request.fail(error)

    def let_in(self) -> None:
        """Be read from again; the moment at the gate is not the client's, and does not give it more time either."""
        since, self._gated = self._reader.since, False
        self.throttle()
        self._reader.since = since

    def step(self) -> bool:
        """Have one request handled, or look at more of what was received; whether there is more of either to do."""
        if self._can_handle():
            request = self._waiting.popleft()
            request.handed = True
            self._handed += 1
            self._handle(request)
        elif self._can_look():
            unread, self._unread = self._unread, b""
            self._look_at(unread)
        self._in_ring = self._can_handle() or self._can_look()
        if self._sated and not self._in_ring:
            self._sated = False
            self.throttle()
        return self._in_ring

    def _can_handle(self) -> bool:
        return bool(self._waiting) and self._handed < self._limits.pipeline and not self._stalled

    def _can_look(self) -> bool:
        return bool(self._unread) and not self._full()

    def _take_turns(self) -> None:
        if not self._in_ring and (self._sated or self._can_handle() or self._can_look()):
            self._in_ring = True
            self._hub.take_turns(self)

    def _feed(self, data: bytes) -> None:
        """Look at a long read slice by slice, a body in one, while the line has room."""
        reader, at, size = self._reader, 0, len(data)
        while at < size and reader.phase != DEAF and len(self._line) <= self._limits.pipeline:
            end = at + max(_SLICE, reader.missing)
            reader.feed(data[at:end])
            at = end
        if reader.phase != DEAF:
            self._unread = data[at:]
            self._sated = size >= _GULP
            if self._sated:
                self._take_turns()

    def flush(self) -> None:
        """Write every answer whose turn has come; there may be room for others then."""
        self._flush_due = False
        self._write_answers()
        if not self._line:
            self._rest()
        if self._paused or self._line or self._unread or self._hub.crowd:
            self.throttle()
            self._take_turns()

    def _write_answers(self) -> None:
        line = self._line
        out: list[bytes] = []
        while line and line[0].status:
            request = line.popleft()
            if request.body:
                self._held -= len(request.body)
                self._hub.release(len(request.body))
            if request.handed:
                self._handed -= 1
            encode_response(request, request.close or (not line and self._is_ending()), out)
        if line and line[0].expects:
            line[0].expects = False
            self._reader.since = self._hub.tick
            if line[0] is self._reader.request and not self._reader.body_size:
                out.append(CONTINUE)
        if self._transport.is_closing():
            return
        if len(out) == 1:
            self._transport.write(out[0])
        elif out:
            self._transport.writelines(out)

    def _is_ending(self) -> bool:
        phase = self._reader.phase
        return phase == DEAF or (phase == IDLE and self._hub.draining)

    def _rest(self) -> None:
        """All is answered: close if this was the end; the silence counts from here."""
        if self._is_ending():
            self._close()
        elif self._reader.phase == IDLE:
            self._reader.since = self._hub.tick

    def _close(self) -> None:
        if self._transport.is_closing():
            return
        self._reader.end()
        self._closing, self._since = True, self._hub.tick
        if self._reader.cut and not self._eof:
            self._transport.write_eof()
        else:
            self._transport.close()

    def throttle(self) -> None:
        """Read on, or pause."""
        full = self._full() or self._gated or self._sated or bool(self._unread)
        if full is self._paused or self._eof or self._transport.is_closing():
            return
        self._paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._reader.since = self._hub.tick
            self._transport.resume_reading()

    def _full(self) -> bool:
        """Whether nothing more is to be looked at: the client takes no answers, or the line or the memory is full."""
        stalled, held = self._stalled, self._held + self._reader.partial
        crowded = self._hub.must_wait(self, 0 if stalled or self._eof else held)
        return crowded or stalled or len(self._line) > self._limits.pipeline or self._held > self._limits.max_body

    def _forget(self, request: Request) -> None:
        if not request.status:
            self._hub.gone += 1
        try:
            request.forget()
        except Exception:
            _logger.exception("forgetting %r failed", request)
