"""One HTTP/1.1 connection: requests come in by its reader, answers go out in the order of the requests.

Requests stand in a line, from the end of their headers until their answer is written. An answer that is ready early
waits for those before it. The handler has the first `pipeline` of the line; complete requests behind them wait, and
reading pauses. It also pauses while the bodies in hand exceed `max_body`, and while the client does not take answers.

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
from itertools import islice
from typing import cast

from skysail.errors import InvalidRequest, SkysailError
from skysail.http.hub import Hub
from skysail.http.reader import DEAF, HEAD, IDLE, Reader
from skysail.http.request import Request, internal_error
from skysail.http.response import CONTINUE, encode_response

__all__ = ["Connection"]

_REPLY_TO_PROBE = 0.02
"""Seconds until a client that is gone has answered with a reset; that of a distant one is found by the sweep."""

_logger = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """The protocol of one accepted socket; made by `skysail.http.server.HttpServer`, and of no use without it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._limits = hub.limits
        self._reader = Reader(self, hub)
        self._line: deque[Request] = deque()
        self._waiting: deque[Request] = deque()  # those in the line that are complete and not yet handled
        self._held = 0  # bytes of complete bodies in the line
        self._busy = False  # reading or writing: an answer given now is written at the end of it
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
        reader = self._reader
        if reader.phase == DEAF:
            return
        self._busy = True
        try:
            reader.feed(data)
        finally:
            self._busy = False
        line = self._line
        if not line:
            self._rest()
        elif line[0].status or line[0].expects:
            self.flush()
        else:
            self._throttle()

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
        for request in lost:
            request.owner = None
        for request in lost:
            self._forget(request)

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        self._stalled, self._since = True, self._hub.tick
        self._throttle()

    def resume_writing(self) -> None:
        """It does again."""
        self._stalled, self._since = False, self._hub.tick
        if self._waiting and not self._busy:
            self.flush()
        else:
            self._throttle()

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
        if len(self._line) > self._limits.pipeline:
            self._waiting.append(request)
        else:
            self._hub.handle_soon(self, request)

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
        self._reader.abandon(InvalidRequest(f"the request's {what} within {seconds:g} s; send it faster"), status=408)
        if not (self._line or self._closing):
            self._rest()

    def handle(self, request: Request) -> None:
        """Have a complete request handled."""
        try:
            self._hub.handler.handle(request)
        except Exception as error:
            if not isinstance(error, SkysailError):
                _logger.exception("handling %r failed", request)
                error = internal_error()
            if not request.status:
                request.fail(error)

    def flush(self) -> None:
        """Write every answer whose turn has come, and have handled what waited for room."""
        self._flush_due = False
        self._busy = True
        try:
            self._write_answers()
            while self._waiting and not self._stalled and self._has_room():
                while self._waiting and self._has_room():
                    self.handle(self._waiting.popleft())
                self._write_answers()
        finally:
            self._busy = False
        if not self._line:
            self._rest()
        if self._paused or self._line:
            self._throttle()

    def _has_room(self) -> bool:
        """Whether the first request that waits is one of the first in the line."""
        return self._waiting[0] in islice(self._line, self._limits.pipeline)

    def _write_answers(self) -> None:
        line = self._line
        out: list[bytes] = []
        while line and line[0].status:
            request = line.popleft()
            self._held -= len(request.body)
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

    def _throttle(self) -> None:
        """Read on, or pause."""
        full = self._stalled or len(self._line) > self._limits.pipeline or self._held > self._limits.max_body
        if full is self._paused or self._eof:
            return
        self._paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._reader.since = self._hub.tick
            self._transport.resume_reading()

    def _forget(self, request: Request) -> None:
        if not request.status:
            self._hub.gone += 1
        try:
            request.forget()
        except Exception:
            _logger.exception("forgetting %r failed", request)
