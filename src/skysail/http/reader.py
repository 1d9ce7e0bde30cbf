"""The reading half of a connection: bytes in, requests out. No socket, no clock.

A reader is always in one phase:

| phase | it is | until |
|---|---|---|
| `IDLE` | between requests | a request's first byte → `HEAD` |
| `HEAD` | in a request's line and headers | they are complete → `BODY` |
| `BODY` | in a request's body | it is complete → `IDLE`, or → `DEAF` if it says that it is the last |
| `DEAF` | reading nothing more | – |

An error leaves bytes unread, and what follows them could be anything, so it leads to `DEAF` from every phase; `cut`
tells it from an orderly end. The one exception: a request that is refused by its headers, and whose body is announced
and small, is read past, and the connection lives on.

httptools (llhttp) refuses the ambiguous by itself: a `Content-Length` twice or beside `Transfer-Encoding`, bare line
feeds, folded headers. What it lets through and we do not: other codings than `chunked`, chunks in HTTP/1.0, HTTP/0.9
and 2.0, a missing or repeated `Host`; and what an offer to upgrade does to a body (see `_decline_upgrade`).

Clients say the same again and again. A head that was read once, and had nothing rare about it, is known by its bytes,
to all connections; a request that begins with it, and is there whole, needs no parser.
"""

from __future__ import annotations

import logging
from typing import Final, NoReturn, Protocol

import httptools

from skysail.errors import HeadersTooLarge, InvalidRequest, SkysailError, TooLarge
from skysail.http.hub import Head, Hub
from skysail.http.request import Headers, Owner, Refusal, Request, internal_error

__all__ = ["BODY", "DEAF", "HEAD", "IDLE", "Reader", "Sink"]

_logger = logging.getLogger(__name__)

IDLE: Final = 0
"""Between requests."""

HEAD: Final = 1
"""In a request's line and headers."""

BODY: Final = 2
"""In a request's body."""

DEAF: Final = 3
"""Reading nothing more."""

_RARE = frozenset({b"connection", b"expect", b"transfer-encoding", b"upgrade"})
"""Headers that change how a request is read."""

_FRAMING = (b"content-length", b"transfer-encoding")
"""Headers that say where a body ends."""

_NO_PARSER = httptools.HttpRequestParser(None)
"""Stands for one that has been let go."""

_SKIPPED_BODY = 1 << 16
"""Bytes of a refused request's body that are read past, so that the connection can be kept."""

_KNOWN_HEAD = 1 << 10
"""Bytes of the longest head that is remembered."""

_KNOWN_HEADS = 4096
"""Heads that are remembered; their bodies' lengths are part of them."""

_OVERHEAD = 8
"""Bytes of chunk framing allowed for each byte of a body (one sent alone takes five), beside `max_head` in all."""


class Sink(Owner, Protocol):
    """What takes a reader's requests: its connection."""

    def enter(self, request: Request) -> None:
        """A request's headers are there: it has its place in the line of answers."""
        ...

    def complete(self, request: Request) -> None:
        """A request is there whole, and can be handled."""
        ...


class _Halt(Exception):
    """Stops the parser in the middle of what it was given; not an error."""


class Reader:
    """Reads one connection's requests for a sink; the parser calls its `on_` methods.

    `request` is the one whose body is being read; `since` is the sweep in which the phase began or last moved on.
    """

    def __init__(self, sink: Sink, hub: Hub) -> None:
        self.phase: int = IDLE
        self.request: Request | None = None
        self.since = hub.tick
        self.cut = False
        self.body_size = 0
        self._sink = sink
        self._hub = hub
        self._handler = hub.handler
        self._max_head = hub.limits.max_head
        self._max_body = hub.limits.max_body
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeated = 0  # bytes of headers that came more than once
        self._body: bytes | bytearray = b""
        self._raw = 0  # bytes of whole reads since the phase began: no more than the parser has taken in it
        self._at_most = 0  # bytes of all reads that may belong to the request: no less than its head
        self._upgrade = False  # this request offers another protocol
        self._new_head = b""  # the bytes of the head that is being read, if they are to be remembered

    @property
    def partial(self) -> int:
        """Bytes kept of a body that is not complete."""
        return len(self._body)

    @property
    def missing(self) -> int:
        """Bytes that are still to come of a body whose size was announced."""
        request = self.request
        return 0 if request is None or request.length is None else request.length - self.body_size

    def feed(self, data: bytes) -> None:
        """Take bytes; the sink learns what they complete."""
        if self.phase == IDLE:
            data = self._take_known(data)
            if not data:
                return
        size = len(data)
        if self.phase:
            self._raw += size
            self._at_most += size
        else:
            self._at_most = size
        rest = self._parse(data)
        while rest is not None and self.phase != DEAF:
            self._decline_upgrade()
            rest = self._parse(rest)
        if self.phase == BODY:
            self.since = self._hub.tick
            if self._raw > self._max_head + (1 + _OVERHEAD) * self.body_size:
                self.abandon(HeadersTooLarge("the body's chunk framing and trailers are too long; send larger chunks"))
        elif self.phase == HEAD and self._raw > self._max_head:
            self.abandon(self._head_too_large())

    def end(self) -> Request | None:
        """Read nothing more; returns the request that is left incomplete and unanswered, if one is."""
        request, self.request = self.request, None
        self.phase = DEAF
        self._drop_body()
        return None if request is None or request.status else request

    def abandon(self, error: SkysailError, status: int | None = None, headers: Headers = ()) -> None:
        """Answer what is being read with an error, and read nothing more."""
        request, self.request = self.request, None
        if request is None:
            request = Request(self._sink, b"", b"", b"", {})
            self._sink.enter(request)
        request.close = True
        self.phase = DEAF
        self.cut = True
        self._drop_body()
        if not request.status:
            request.fail(error, status=status, headers=headers)

    def release(self) -> None:
        """Let go of the parser, which holds our methods: no cycle is left for the collector."""
        self._parser = _NO_PARSER

    # ---- the parser's calls

    def on_message_begin(self) -> None:
        """Start a request at its first byte."""
        if self.phase == BODY:
            return  # see `_decline_upgrade`
        self.phase = HEAD
        self.since = self._hub.tick
        self._url = b""
        self._headers = {}
        self._repeated = self._raw = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        if self.phase == HEAD:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that comes behind the body (a trailer) is too late to change anything."""
        if self.phase == HEAD:
            name = name.lower()
            headers = self._headers
            if name in headers:
                self._repeat(name, value)
            else:
                headers[name] = value

    def on_headers_complete(self) -> None:
        """Give the request its place, and ask the handler whether its body is wanted."""
        if self.phase != HEAD:
            return
        headers, parser = self._headers, self._parser
        new_head, self._new_head = self._new_head, b""
        path, _, query = self._url.partition(b"?")
        request = self.request = Request(self._sink, parser.get_method(), path, query, headers)
        self.phase = BODY
        self.body_size = self._raw = 0
        self._body = b""
        self._sink.enter(request)
        if self._at_most > self._max_head and self._head_size() > self._max_head:
            self._stop(self._head_too_large())
        length = headers.get(b"content-length")
        if length is not None:
            request.length = int(length)
        host = headers.get(b"host", b",")
        if b"," in host or path[:1] != b"/" or not parser.should_keep_alive() or not _RARE.isdisjoint(headers):
            self._read_rare(request)
        if request.method == b"HEAD":
            request.method, request.head_only = b"GET", True
        refusal = self._judge(request)
        if refusal is not None:
            self._refuse(request, refusal)
        elif new_head:
            self._remember(new_head, request)

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body; the usual single piece is not copied."""
        self.body_size += len(data)
        if self.request is None or self.request.status:
            return
        if self.body_size > self._max_body:
            self._stop(self._body_too_large())
        self._hub.held += len(data)
        if not self._body:
            self._body = data
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += data

    def on_message_complete(self) -> None:
        """Hand the request over."""
        request = self.request
        if request is None or self._upgrade:
            return
        self.request = None
        self.phase = DEAF if request.close else IDLE
        if request.status:
            return
        body = self._body
        request.body = body if isinstance(body, bytes) else bytes(body)
        self._body = b""
        self._sink.complete(request)

    # ---- heads that are known

    def _take_known(self, data: bytes) -> bytes:
        """Take the requests at the beginning that are whole, and whose heads are known; what is left."""
        heads, sink = self._hub.heads, self._sink
        at, size = 0, len(data)
        self._new_head = b""
        while at < size:
            end = data.find(b"\r\n\r\n", at, at + _KNOWN_HEAD) + 4
            if end < 4:
                break
            raw = data[at:end]
            head = heads.get(raw)
            if head is None:
                if raw[0] > 32:  # else there are empty lines before it, and this is not where it ends
                    self._new_head = raw
                break
            stop = end + head.length
            if stop > size:
                break
            at = stop
            request = Request(sink, head.method, head.path, head.query, head.headers)
            request.length = head.length
            sink.enter(request)
            refusal = self._judge(request)
            if refusal is not None:
                request.fail(refusal.error, headers=refusal.headers)
                continue
            if head.length:
                request.body = data[end:stop]
                self._hub.held += head.length
            sink.complete(request)
        return data[at:] if at else data

    def _remember(self, raw: bytes, request: Request) -> None:
        """Know this head from now on, unless there is anything rare about it."""
        rare = request.close or request.expects or request.old or request.head_only or self._upgrade
        if rare or request.length is None:
            return
        heads = self._hub.heads
        if len(heads) >= _KNOWN_HEADS:
            heads.clear()
        heads[raw] = Head(request.method, request.path, request.query, request.headers, request.length)

    def _drop_body(self) -> None:
        """Let go of what there is of a body that will not be complete."""
        if self._body:
            self._hub.release(len(self._body))
            self._body = b""

    # ---- judging

    def _parse(self, data: bytes | memoryview) -> memoryview | None:
        """Have bytes parsed; returns those that are left where the parser stopped behind an offer to upgrade."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return memoryview(data)[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Halt):
                raise
        except httptools.HttpParserError as error:
            if self.phase != DEAF:
                self.abandon(InvalidRequest(f"this is not HTTP/1.1: {error}; the connection is closed"))
        return None

    def _decline_upgrade(self) -> None:
        """Go on with a request that offers another protocol (`h2c`, `websocket`) as if it did not.

        Clients send such offers uninvited, with bodies. The parser stops behind the headers, and would take the body
        for the next request; so a new one is told of the body by a head that nobody listens to.
        """
        self._upgrade = False
        self._parser = httptools.HttpRequestParser(self)
        framing = [b"%b: %b\r\n" % (name, self._headers[name]) for name in _FRAMING if name in self._headers]
        self._parse(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))

    def _repeat(self, name: bytes, value: bytes) -> None:
        """Join a repeated header's values by commas, up to a size that keeps the copying small."""
        self._repeated += len(name) + len(value) + 4
        if self._repeated > self._max_head:
            self._stop(self._head_too_large())
        self._headers[name] = b"%b, %b" % (self._headers[name], value)

    def _head_size(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers.items())

    def _read_rare(self, request: Request) -> None:
        """Note what most requests do not have: another version, chunks, an expectation, an offer, a wish to close."""
        headers, parser = self._headers, self._parser
        version = parser.get_http_version()
        request.old = version == "1.0"
        request.close = not parser.should_keep_alive()
        if version not in {"1.0", "1.1"}:
            self._stop(InvalidRequest(f"HTTP/{version} is not spoken here; send HTTP/1.1"))
        host = headers.get(b"host")
        if b"," in (host or b"") or (host is None and not request.old):
            self._stop(InvalidRequest("a request needs exactly one Host header; send one"))
        if request.method == b"CONNECT":
            self._stop(InvalidRequest("CONNECT asks for a proxy, and this is none; send the request itself"))
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if request.old or coding.strip().lower() != b"chunked":
                shown = coding.decode("latin-1")
                self._stop(InvalidRequest(f"Transfer-Encoding {shown!r} is not read here; send chunked by HTTP/1.1"))
            request.length = None
        expected = headers.get(b"expect", b"").strip().lower()
        request.expects = expected == b"100-continue" and not request.old and request.length != 0
        request.path = _origin_form(request.path)
        self._upgrade = parser.should_upgrade()

    def _judge(self, request: Request) -> Refusal | None:
        try:
            refusal = self._handler.admit(request)
        except SkysailError as error:
            return Refusal(error)
        except Exception:
            _logger.exception("admitting %r failed", request)
            return Refusal(internal_error())
        if refusal is None and request.length is not None and request.length > self._max_body:
            return Refusal(self._body_too_large())
        return refusal

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        if request.length is None or request.length > _SKIPPED_BODY or request.expects:
            self._stop(refusal.error, refusal.headers)
        request.fail(refusal.error, headers=refusal.headers)

    def _stop(self, error: SkysailError, headers: Headers = ()) -> NoReturn:
        """Abandon in a callback of the parser, which is stopped too."""
        self.abandon(error, headers=headers)
        raise _Halt

    def _head_too_large(self) -> SkysailError:
        return HeadersTooLarge(f"the request line and headers are over {self._max_head} bytes; send fewer")

    def _body_too_large(self) -> SkysailError:
        return TooLarge(f"the body is over {self._max_body} bytes; send less, or raise max_body under [server]")


def _origin_form(target: bytes) -> bytes:
    """The path of a request's target, which may be a whole URL.

    >>> _origin_form(b"http://host:8000/apps")
    b'/apps'
    """
    _, is_url, rest = target.partition(b"://")
    if target[:1] == b"/" or not is_url:
        return target
    _, slash, path = rest.partition(b"/")
    return slash + path or b"/"
