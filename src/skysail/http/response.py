"""Answers as bytes: the status line and headers in front of a body."""

from __future__ import annotations

from http import HTTPStatus

from skysail.errors import SkysailError
from skysail.http.request import JSON, Headers, Prepared, Request
from skysail.http.status import error_body, headers_of, status_of

__all__ = ["CONTINUE", "encode_response", "prepare"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What a client that sent `Expect: 100-continue` waits for."""

_JOIN_BELOW = 1 << 16
"""Bytes up to which copying a body behind its head costs less than a second buffer on its way to the socket."""


def _status_line(status: HTTPStatus) -> bytes:
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()


_LINES = {status.value: _status_line(status) for status in HTTPStatus}
_JSON_HEADS = {status: line + b"Content-Type: application/json\r\nContent-Length: " for status, line in _LINES.items()}


def encode_response(request: Request, close: bool, out: list[bytes]) -> None:
    """Add an answer to the buffers to be written; `close` announces that it is the connection's last."""
    body = request.reply_body
    if (
        body.__class__ is bytes
        and request.content_type is JSON
        and not (close or request.reply_headers or request.head_only or request.old)
        and len(body) < _JOIN_BELOW
    ):
        out.append(b"%b%d\r\n\r\n%b" % (_JSON_HEADS[request.status], len(body), body))
    elif request.prepared is not None and not (close or request.head_only or request.old):
        out.append(request.prepared.whole)
    else:
        out += _encode_any(request, close)


def prepare(error: SkysailError) -> Prepared:
    """The answer to all that will meet with an error, as `Request.fail` would give it."""
    code, body, headers = error.code, error_body(error.code, error.message), headers_of(error.code)
    status = status_of(code)
    head = [_LINES[status], *_fields(JSON, len(body), headers), b"\r\n"]
    return Prepared(code, status, body, headers, b"".join([*head, body]))


def _fields(content_type: bytes, size: int, headers: Headers) -> list[bytes]:
    fields = [b"Content-Type: ", content_type, b"\r\nContent-Length: %d\r\n" % size]
    for name, value in headers:
        fields += (name, b": ", value, b"\r\n")
    return fields


def _encode_any(request: Request, close: bool) -> list[bytes]:
    body = request.reply_body
    pieces = [body] if isinstance(body, bytes) else list(body)
    size = sum(map(len, pieces))
    head = [_LINES[request.status], *_fields(request.content_type, size, request.reply_headers)]
    if close:
        head.append(b"Connection: close\r\n")
    elif request.old:
        head.append(b"Connection: keep-alive\r\n")
    head.append(b"\r\n")
    if request.head_only:
        return [b"".join(head)]
    if size < _JOIN_BELOW:
        return [b"".join(head + pieces)]
    return [b"".join(head), *pieces]
