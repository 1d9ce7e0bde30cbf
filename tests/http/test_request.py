from __future__ import annotations

import json

import pytest

from skysail.errors import Overload, Unauthorized
from skysail.http.request import JSON, Prepared, Request, internal_error


class Owner:
    """What a connection is to a request."""

    def __init__(self) -> None:
        self.answers: list[Request] = []
        self.codes: list[str] = []

    def answered(self, request: Request) -> None:
        self.answers.append(request)

    def count_error(self, code: str) -> None:
        self.codes.append(code)


@pytest.fixture
def owner() -> Owner:
    """A stand-in for a connection."""
    return Owner()


@pytest.fixture
def request_(owner: Owner) -> Request:
    """A request that waits for its answer."""
    return Request(owner, b"POST", b"/a", b"q=1", {b"content-type": b"text/plain \t", b"empty": b""})


def test_headers_are_found_by_lower_case_name(request_: Request) -> None:
    """Values come without the white space around them; an empty one is not an absent one."""
    assert request_.header(b"content-type") == b"text/plain"
    assert request_.header(b"empty") == b""
    assert request_.header(b"accept") is None


def test_a_request_is_answered_once(request_: Request, owner: Owner) -> None:
    """A second answer is a mistake of the handler, and says so."""
    request_.reply(200, b"one")
    with pytest.raises(RuntimeError, match="answered with 200 already"):
        request_.reply(200, b"two")
    assert owner.answers == [request_]
    assert (request_.reply_body, request_.content_type) == (b"one", JSON)


def test_failing_answers_with_the_errors_status(request_: Request, owner: Owner) -> None:
    """The code decides status and headers; the handler may add headers, and the code is counted."""
    request_.fail(Overload("full"), headers=((b"X-Extra", b"1"),))
    assert request_.status == 503
    assert list(request_.reply_headers) == [(b"Retry-After", b"1"), (b"X-Extra", b"1")]
    assert isinstance(request_.reply_body, bytes)
    assert json.loads(request_.reply_body) == {"error": {"code": "overload", "message": "full"}}
    assert owner.codes == ["overload"]


def test_a_status_can_be_more_exact_than_the_code(request_: Request) -> None:
    """A timeout is `invalid_request`, and 408."""
    request_.fail(Unauthorized("who"), status=408)
    assert request_.status == 408


def test_forgetting_calls_on_gone_once(request_: Request, owner: Owner) -> None:
    """A client that is gone takes its work along; the answer that comes all the same goes nowhere."""
    calls: list[int] = []
    request_.on_gone = lambda: calls.append(1)
    assert not request_.gone
    request_.forget()
    request_.forget()
    assert request_.gone
    assert calls == [1]
    request_.fail(Overload("full"))
    assert owner.answers == []


def test_an_answered_request_is_not_gone(request_: Request) -> None:
    """`on_gone` belongs to work that nobody has finished."""
    calls: list[int] = []
    request_.on_gone = lambda: calls.append(1)
    request_.reply(200, b"")
    request_.forget()
    assert calls == []


def test_what_a_request_is_called_in_a_log(request_: Request) -> None:
    """Method and path identify it."""
    assert repr(request_) == "<Request POST /a>"


def test_an_internal_error_says_where_to_look() -> None:
    """Nothing of the exception reaches the client."""
    assert internal_error().code == "internal"
    assert "log" in internal_error().message


def test_a_prepared_answer_is_counted_like_any_other(owner: Owner, request_: Request) -> None:
    """Its code is an error of this connection, and there is one answer; to one who is gone it is harmless."""
    reply = Prepared("overload", 503, b"{}", (), b"")
    request_.give(reply)
    assert (request_.status, owner.codes, owner.answers) == (503, ["overload"], [request_])
    with pytest.raises(RuntimeError, match="already"):
        request_.give(reply)
    lost = Request(owner, b"POST", b"/a", b"", {})
    lost.forget()
    lost.give(reply)
    assert owner.codes == ["overload"] * 2
