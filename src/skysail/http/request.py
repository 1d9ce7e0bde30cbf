"""One HTTP request as a handler sees it, and what a handler is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from skysail.errors import SkysailError
from skysail.http.status import error_body, headers_of, status_of

__all__ = ["JSON", "Body", "Handler", "Headers", "Owner", "Prepared", "Refusal", "Request", "internal_error"]

JSON = b"application/json"
"""The content type of every reply that does not name another."""

Body = bytes | Sequence[bytes]
"""A reply's body, whole or in pieces."""

Headers = Sequence[tuple[bytes, bytes]]
"""Names and values of a reply's further headers."""


class Refusal(NamedTuple):
    """Why a request is not served, decided before its body is read."""

    error: SkysailError
    headers: Headers = ()


class Prepared:
    """An error reply that is made once and given many times; `whole` is all of its bytes, from the status line on.

    For what a server says when it has the least time to say it (`skysail.http.response.prepare` makes one).
    """

    __slots__ = ("body", "code", "headers", "status", "whole")

    def __init__(self, code: str, status: int, body: bytes, headers: Headers, whole: bytes) -> None:
        self.code = code
        self.status = status
        self.body = body
        self.headers = headers
        self.whole = whole


class Handler(Protocol):
    """What a server calls, on the loop: neither method may block, and either may raise a `SkysailError` to refuse."""

    def admit(self, request: Request) -> Refusal | None:
        """Judge a request by its line and headers; its body is not there yet, and is not read if it is refused."""
        ...

    def handle(self, request: Request) -> None:
        """Answer a complete request by `request.reply` or `request.fail`, now or later, exactly once."""
        ...


class Owner(Protocol):
    """What a request tells that it has been answered: its connection."""

    def answered(self, request: Request) -> None:
        """The request has its answer."""
        ...

    def count_error(self, code: str) -> None:
        """An error is the answer."""
        ...


class Request:
    """One HTTP request, and its place in the connection's line of answers.

    Everything is bytes, as it was sent: `method` (a `HEAD` is shown as `GET`, and its answer's body left out), `path`
    without the query, `query` without the question mark, `body` once the request is handled. Header names are lower
    case, and a repeated header's values are joined by commas. `length` is the body's announced size; `None` if chunked.

    `on_gone` is called, once, if the client is gone before the answer: set it to what forgets the work. `route` is the
    handler's own, to carry what `admit` found to `handle`. `status` is 0 until there is an answer. The other attributes
    are the connection's: `close` (no request follows), `expects` (100 Continue), `old` (HTTP/1.0), `head_only`, and
    `handed` (the handler was given it). Requests with the same head share `headers`: nobody changes them.
    """

    __slots__ = (
        "body",
        "close",
        "content_type",
        "expects",
        "handed",
        "head_only",
        "headers",
        "length",
        "method",
        "old",
        "on_gone",
        "owner",
        "path",
        "prepared",
        "query",
        "reply_body",
        "reply_headers",
        "route",
        "status",
    )

    def __init__(self, owner: Owner, method: bytes, path: bytes, query: bytes, headers: dict[bytes, bytes]) -> None:
        self.owner: Owner | None = owner
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.length: int | None = 0
        self.body = b""
        self.on_gone: Callable[[], None] | None = None
        self.route: Any = None
        self.prepared: Prepared | None = None
        self.close = self.expects = self.handed = self.head_only = self.old = False
        self.status = 0

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name, or `None`."""
        value = self.headers.get(name)
        return None if value is None else value.strip(b" \t")

    @property
    def gone(self) -> bool:
        """Whether the client has left; an answer is harmless then, and goes nowhere."""
        return self.owner is None

    def reply(self, status: int, body: Body, content_type: bytes = JSON, headers: Headers = ()) -> None:
        """Give the answer. It is written when those to earlier requests of the same connection have been."""
        if self.status:
            raise RuntimeError(f"{self!r} was answered with {self.status} already; a request is answered once")
        self.status = status
        self.reply_body = body
        self.content_type = content_type
        self.reply_headers = headers
        self.on_gone = None
        if self.owner is not None:
            self.owner.answered(self)

    def fail(self, error: SkysailError, *, status: int | None = None, headers: Headers = ()) -> None:
        """Answer with an error: the status its code stands for (or `status`), and the body every error has."""
        if self.owner is not None:
            self.owner.count_error(error.code)
        self.reply(
            status or status_of(error.code),
            error_body(error.code, error.message),
            headers=(*headers_of(error.code), *headers),
        )

    def give(self, reply: Prepared) -> None:
        """Answer with a reply that is there already."""
        if self.owner is not None:
            self.owner.count_error(reply.code)
        self.prepared = reply
        self.reply(reply.status, reply.body, headers=reply.headers)

    def forget(self) -> None:
        """The client is gone: part from the connection, and call `on_gone` if there is no answer yet."""
        self.owner = None
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    def __repr__(self) -> str:
        return f"<Request {self.method.decode('latin-1')} {self.path.decode('latin-1')}>"


def internal_error() -> SkysailError:
    """What to answer when a handler fails in a way that nobody meant; the exception goes to the log."""
    return SkysailError("the server failed on this request; its log has the traceback")
