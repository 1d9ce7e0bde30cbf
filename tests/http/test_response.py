from __future__ import annotations

import pytest

from skysail.errors import Overload
from skysail.http.request import Request
from skysail.http.response import CONTINUE, encode_response, prepare


class Owner:
    def answered(self, request: Request) -> None:
        pass

    def count_error(self, code: str) -> None:
        pass


def encoded(request: Request, *, close: bool = False) -> list[bytes]:
    """The buffers of an answer."""
    out: list[bytes] = []
    encode_response(request, close, out)
    return out


@pytest.fixture
def asked() -> Request:
    """A request without an answer."""
    return Request(Owner(), b"GET", b"/", b"", {})


def test_a_json_answer(asked: Request) -> None:
    """The usual answer is one buffer."""
    asked.reply(200, b"[1]")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n"
    assert encoded(asked) == [head + b"[1]"]


def test_pieces_types_and_headers(asked: Request) -> None:
    """A body in pieces has the length of all of them; type and headers are the handler's."""
    asked.reply(404, [b"a", b"bc"], content_type=b"text/plain", headers=[(b"X-A", b"1")])
    (buffer,) = encoded(asked)
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nX-A: 1\r\n\r\n"
    assert buffer == head + b"abc"


def test_the_last_answer_says_so(asked: Request) -> None:
    """A client must not send the next request into a closing connection."""
    asked.reply(200, b"")
    assert b"\r\nConnection: close\r\n" in encoded(asked, close=True)[0]
    assert b"Connection" not in encoded(asked)[0]


def test_an_old_client_is_told_that_the_connection_stays(asked: Request) -> None:
    """HTTP/1.0 has no keep-alive unless it is named."""
    asked.old = True
    asked.reply(200, b"")
    assert b"\r\nConnection: keep-alive\r\n" in encoded(asked)[0]
    assert b"keep-alive" not in encoded(asked, close=True)[0]


def test_head_has_the_length_and_no_body(asked: Request) -> None:
    """HEAD is answered as GET is, without the body."""
    asked.head_only = True
    asked.reply(200, b"12345")
    (buffer,) = encoded(asked)
    assert b"Content-Length: 5\r\n" in buffer
    assert buffer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_large_body_is_not_copied(asked: Request, pieces: int) -> None:
    """Above a few pages the body goes to the socket as it is."""
    body = [b"x" * 100_000] * pieces
    asked.reply(200, body if pieces > 1 else body[0])
    head, *rest = encoded(asked)
    assert b"Content-Length: %d\r\n" % (100_000 * pieces) in head
    assert all(a is b for a, b in zip(rest, body, strict=True))


@pytest.mark.parametrize(
    ("close", "old", "head_only"), [(False,) * 3, (True, False, False), (False, True, False), (False, False, True)]
)
def test_a_prepared_answer_is_the_same_answer(close: bool, old: bool, head_only: bool) -> None:
    """Byte for byte what failing with the error gives, whoever asked and how."""
    error, buffers = Overload("too much"), []
    for _ in range(2):
        request = Request(Owner(), b"POST", b"/", b"", {})
        request.old, request.head_only = old, head_only
        if buffers:
            request.give(prepare(error))
        else:
            request.fail(error)
        buffers.append(encoded(request, close=close))
    assert buffers[0] == buffers[1]
    assert b"\r\nRetry-After: 1\r\n" in buffers[0][0]


def test_a_prepared_answer_costs_no_encoding(asked: Request) -> None:
    """The very same bytes go to every client."""
    reply = prepare(Overload("too much"))
    asked.give(reply)
    assert encoded(asked)[0] is reply.whole


def test_continue_is_a_whole_answer() -> None:
    """Nothing follows the interim status but the real answer."""
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"
