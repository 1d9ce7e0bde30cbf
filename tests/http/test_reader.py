from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skysail.errors import NotFound
from skysail.http.hub import Hub, Limits
from skysail.http.reader import BODY, DEAF, HEAD, IDLE, Reader
from skysail.http.request import Refusal, Request
from skysail.testing.loop import JumpingLoop

HOST = b"Host: h\r\n"


class Sink:
    """Takes requests, and is the handler too: `/no` is refused."""

    def __init__(self) -> None:
        self.entered: list[Request] = []
        self.done: list[Request] = []
        self.codes: list[str] = []

    def enter(self, request: Request) -> None:
        self.entered.append(request)

    def complete(self, request: Request) -> None:
        self.done.append(request)

    def answered(self, request: Request) -> None:
        pass

    def count_error(self, code: str) -> None:
        self.codes.append(code)

    def admit(self, request: Request) -> Refusal | None:
        return Refusal(NotFound("no")) if request.path == b"/no" else None

    def handle(self, request: Request) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def loop() -> Any:
    """A loop that no test here runs: readers do not wait."""
    loop = JumpingLoop()
    yield loop
    loop.close()


class Reading:
    """A reader, and what came of feeding it; `knowing` another's heads, it is on the same server."""

    def __init__(self, loop: Any, *pieces: bytes, knowing: Reading | None = None, **limits: Any) -> None:
        self.sink = Sink()
        self.hub = Hub(self.sink, Limits(**limits), loop)
        if knowing is not None:
            self.hub.heads = knowing.hub.heads
        self.reader = Reader(self.sink, self.hub)
        self.feed(*pieces)

    def feed(self, *pieces: bytes) -> None:
        """Bytes, as a connection would pass them on."""
        for piece in pieces:
            if self.reader.phase != DEAF:
                self.reader.feed(piece)

    @property
    def outcome(self) -> list[Any]:
        """Every request in its order, refused or not, complete or not, and how the reader stands."""
        seen: list[Any] = [
            (r.status, r.reply_body) if r.status else (r.method, r.path, r.query, r.body, r.close, r in self.sink.done)
            for r in self.sink.entered
        ]
        return [*seen, self.reader.phase, self.reader.cut]

    @property
    def refusal(self) -> tuple[int, str, str]:
        """Status, code and message of the last request's error."""
        request = self.sink.entered[-1]
        assert isinstance(request.reply_body, bytes)
        error = json.loads(request.reply_body)["error"]
        return request.status, error["code"], error["message"]


def post(path: bytes = b"/a", body: bytes = b"", *headers: bytes) -> bytes:
    """A request with a body."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (path, HOST, len(body), lines, body)


def chunked(path: bytes, *chunks: bytes, trailers: bytes = b"") -> bytes:
    """A request whose body comes in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path, HOST)
    return head + body + b"0\r\n" + trailers + b"\r\n"


STREAMS = {
    "get": b"GET /a?b=c?d HTTP/1.1\r\nHost: h\r\n\r\n",
    "post": post(b"/a", b'{"input": 1}'),
    "pipeline": post(b"/a", b"one") + b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n" + post(b"/c", b"three"),
    "chunks": chunked(b"/a", b"hello ", b"world") + post(b"/b", b"next"),
    "trailers": chunked(b"/a", b"x", trailers=b"Host: evil\r\nX-T: 1\r\n") + post(b"/b"),
    "trailers out of place": chunked(b"/a", b"x", trailers=b"Connection: upgrade\r\nUpgrade: h2c\r\n") + post(b"/b"),
    "a trailer that ends it": chunked(b"/a", b"x", trailers=b"Connection: close\r\n") + post(b"/b"),
    "refused, then served": post(b"/no", b"not read") + post(b"/b", b"read"),
    "expectation": post(b"/a", b"body", b"Expect: 100-continue") + post(b"/b"),
    "refused expectation": post(b"/no", b"body", b"Expect: 100-continue") + post(b"/b"),
    "upgrade": post(b"/a", b"body", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c") + post(b"/b", b"next"),
    "upgrade without body": b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + post(),
    "last": post(b"/a", b"x", b"Connection: close") + post(b"/b"),
    "old": b"GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
    "old and kept": b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
    "garbage behind": post(b"/a", b"x") + b"garbage\r\n\r\n",
    "bad chunk": chunked(b"/a", b"hello")[:-5] + b"zz\r\n",
    "two lengths": b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "too large": post(b"/a", b"x" * 101),
    "too large by chunks": chunked(b"/a", b"x" * 60, b"x" * 60),
    "long head": b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 300 + b"\r\n\r\n",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_stream_means_the_same_however_it_is_cut(loop: Any, stream: bytes) -> None:
    """Cut in two at every byte, and into single bytes, the same requests come of it."""
    whole = Reading(loop, stream, max_body=100, max_head=200).outcome
    for cut in range(len(stream)):
        assert Reading(loop, stream[:cut], stream[cut:], max_body=100, max_head=200).outcome == whole
    single = [stream[i : i + 1] for i in range(len(stream))]
    assert Reading(loop, *single, max_body=100, max_head=200).outcome == whole


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_stream_means_the_same_to_who_knows_it(loop: Any, stream: bytes) -> None:
    """Heads that were read before change nothing, wherever the second stream is cut."""
    first = Reading(loop, stream, max_body=100, max_head=200)
    for part in STREAMS.values():
        Reading(loop, part, max_body=100, max_head=200, knowing=first)
    for cut in range(len(stream)):
        again = Reading(loop, stream[:cut], stream[cut:], max_body=100, max_head=200, knowing=first)
        assert again.outcome == first.outcome
        assert again.hub.held == first.hub.held


def test_known_heads_are_shared_and_few(loop: Any) -> None:
    """What is rare is not remembered, what is remembered needs no parser, and there is an end to it."""
    first = Reading(loop, *STREAMS.values())
    assert not any(b"xpect" in head or b"HTTP/1.0" in head or b"hunked" in head for head in first.hub.heads)
    reading = Reading(loop, post(b"/a", b"one"), post(b"/a", b"two"))
    reading.reader.release()  # without a parser nothing else could be read
    reading.feed(post(b"/a", b"six") * 3)
    assert [r.body for r in reading.sink.done] == [b"one", b"two", b"six", b"six", b"six"]
    assert reading.sink.done[0].headers is reading.sink.done[4].headers
    for n in range(5000):
        Reading(loop, b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n, knowing=reading)
    assert len(reading.hub.heads) <= 4096


def test_a_known_head_is_judged_anew(loop: Any) -> None:
    """What was admitted once may be refused by now; the connection goes on behind it."""
    reading = Reading(loop, post(b"/a", b"one"))
    reading.sink.admit = lambda request: Refusal(NotFound("gone"))  # type: ignore[method-assign]
    reading.feed(post(b"/a", b"two") * 2)
    assert [r.status for r in reading.sink.entered] == [0, 404, 404]
    assert (len(reading.sink.done), reading.reader.phase, reading.reader.cut) == (1, IDLE, False)


def test_empty_lines_are_no_head(loop: Any) -> None:
    """A request behind line ends is not remembered as these."""
    reading = Reading(loop, b"\r\n\r\n" + post(b"/a", b"x"), b"\r\n\r\n" + post(b"/b", b"y"))
    assert [r.path for r in reading.sink.done] == [b"/a", b"/b"]


def test_bytes_in_hand_are_counted(loop: Any) -> None:
    """Of bodies that are whole and of those that are not yet; not those of bodies that are refused or given up."""
    reading = Reading(
        loop, post(b"/a", b"12345"), post(b"/a", b"12345"), post(b"/no", b"123"), post(b"/a", b"123")[:-1]
    )
    assert (reading.hub.held, reading.reader.partial, reading.reader.missing) == (12, 2, 1)
    reading.reader.end()
    assert (reading.hub.held, reading.reader.partial) == (10, 0)
    reading = Reading(loop, chunked(b"/a", b"x" * 60, b"x" * 60), max_body=100)
    assert reading.hub.held == 0


def test_a_get(loop: Any) -> None:
    """Path and query are apart at the first question mark."""
    reading = Reading(loop, STREAMS["get"])
    assert reading.outcome == [(b"GET", b"/a", b"b=c?d", b"", False, True), IDLE, False]
    assert reading.sink.done[0].length == 0


def test_a_pipeline(loop: Any) -> None:
    """Requests in one read come out in order."""
    assert [(r.path, r.body) for r in Reading(loop, STREAMS["pipeline"]).sink.done] == [
        (b"/a", b"one"),
        (b"/b", b""),
        (b"/c", b"three"),
    ]


def test_chunks_are_one_body(loop: Any) -> None:
    """The framing is gone, and the request behind it is found."""
    reading = Reading(loop, STREAMS["chunks"])
    assert [r.body for r in reading.sink.done] == [b"hello world", b"next"]
    assert reading.sink.done[0].length is None


def test_trailers_change_nothing(loop: Any) -> None:
    """What comes behind a body is not a header, of this request or of the next."""
    first, second = Reading(loop, STREAMS["trailers"]).sink.done
    assert first.header(b"host") == second.header(b"host") == b"h"
    assert not first.close


def test_head_is_shown_as_get(loop: Any) -> None:
    """A handler has no HEAD to think of."""
    (request,) = Reading(loop, b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n").sink.done
    assert (request.method, request.head_only) == (b"GET", True)


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://h:1/a/b?c", b"/a/b"), (b"http://h", b"/"), (b"*", b"*"), (b"/http://x", b"/http://x")],
)
def test_the_target_may_be_a_whole_url(loop: Any, target: bytes, path: bytes) -> None:
    """Proxies send the absolute form."""
    (request,) = Reading(loop, b"OPTIONS " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n").sink.done
    assert request.path == path


def test_repeated_headers_are_a_list(loop: Any) -> None:
    """Values are joined by commas, in their order, under a lower-case name."""
    (request,) = Reading(loop, b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nX-Empty:\r\n\r\n").sink.done
    assert request.header(b"x-a") == b"1, 2"
    assert request.header(b"x-empty") == b""


@pytest.mark.parametrize("name", ["upgrade", "upgrade without body"])
def test_an_offer_to_upgrade_is_declined(loop: Any, name: str) -> None:
    """The request is read as any other: its body is not taken for the next request."""
    reading = Reading(loop, STREAMS[name])
    assert reading.sink.done[0].path == b"/a"
    assert len(reading.sink.done) == 2
    assert not reading.sink.codes


def test_many_offers_in_one_read(loop: Any) -> None:
    """They cost no depth of calls."""
    reading = Reading(loop, post(b"/a", b"x", b"Connection: upgrade", b"Upgrade: h2c") * 3000)
    assert [r.body for r in reading.sink.done] == [b"x"] * 3000


def test_a_refused_small_body_is_read_past(loop: Any) -> None:
    """The connection is kept, and the refused request is never complete."""
    reading = Reading(loop, STREAMS["refused, then served"])
    assert [r.status for r in reading.sink.entered] == [404, 0]
    assert [r.body for r in reading.sink.done] == [b"read"]
    assert not reading.reader.cut


@pytest.mark.parametrize(
    "request_", [post(b"/no", b"x" * 70_000), chunked(b"/no", b"x"), STREAMS["refused expectation"]], ids=range(3)
)
def test_a_refused_body_that_is_large_or_unsure_is_not_read(loop: Any, request_: bytes) -> None:
    """Nothing behind the headers is looked at."""
    reading = Reading(loop, request_)
    assert [(r.status, r.close) for r in reading.sink.entered] == [(404, True)]
    assert (reading.reader.phase, reading.reader.cut, reading.sink.done) == (DEAF, True, [])


def test_too_large_is_told_from_the_announcement(loop: Any) -> None:
    """No byte of the body is needed to refuse it."""
    reading = Reading(loop, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
    assert reading.refusal[:2] == (413, "too_large")
    assert reading.reader.phase == DEAF


def test_chunks_are_refused_as_soon_as_they_are_too_many(loop: Any) -> None:
    """The byte over the limit decides, not the end of the body; the limit itself fits."""
    head = chunked(b"/a")[:-5]
    assert Reading(loop, head + b"64\r\n" + b"x" * 100, max_body=100).reader.phase == BODY
    reading = Reading(loop, head + b"65\r\n" + b"x" * 101, max_body=100)
    assert reading.refusal[:2] == (413, "too_large")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 20_000,
        b"GET /a HTTP/1.1\r\nX: " + b"y" * 20_000,
        b"GET /a HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(2000)),
        b"GET /a HTTP/1.1\r\n" + b"X: y\r\n" * 4000,
    ],
    ids=["url", "value", "names", "repeats"],
)
def test_headers_too_large(loop: Any, head: bytes) -> None:
    """Whatever is long in it, and whether or not it ever ends, a head over the limit is refused."""
    whole = head + b" HTTP/1.1\r\nHost: h\r\n\r\n" if head.endswith(b"a") else head + b"\r\nHost: h\r\n\r\n"
    assert Reading(loop, whole).refusal[:2] == (431, "headers_too_large")
    endless = Reading(loop, *[head[i : i + 100] for i in range(0, len(head), 100)])
    assert endless.refusal[:2] == (431, "headers_too_large")


def test_a_head_behind_a_large_body_is_not_taken_for_large(loop: Any) -> None:
    """The limit counts a request's own head, not what was read with it."""
    stream = post(b"/a", b"x" * 50_000) + post(b"/b", b"y")
    assert len(Reading(loop, stream).sink.done) == 2
    assert len(Reading(loop, stream[:-20], stream[-20:]).sink.done) == 2


@pytest.mark.parametrize(
    "tail", [b"5;" + b"e" * 20_000, b"0\r\n" + b"X-T: y\r\n" * 4000, b"0\r\nX-T: " + b"y" * 20_000], ids=range(3)
)
def test_framing_without_a_body_is_refused(loop: Any, tail: bytes) -> None:
    """Extensions and trailers cannot be sent for ever."""
    reading = Reading(loop, chunked(b"/a")[:-5], *[tail[i : i + 100] for i in range(0, len(tail), 100)])
    assert reading.refusal[:2] == (431, "headers_too_large")


def test_bytes_sent_one_by_one_are_not_refused(loop: Any) -> None:
    """A clumsy client's framing is five times its body, and still no attack."""
    reading = Reading(loop, *[bytes([b]) for b in chunked(b"/a", *[b"x"] * 20_000)])
    assert reading.sink.done[0].body == b"x" * 20_000


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "method": b"FROB / HTTP/1.1\r\nHost: h\r\n\r\n",
    "version 0.9": b"GET /\r\n\r\n",
    "version 2": b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "version 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks and length": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "gzip": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "gzip alone": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    "almost chunked": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n",
    "huge length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: h\r\n more\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: h\0\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: h\n\n",
    "proxy": b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "spaces in the target": b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("stream", MALFORMED.values(), ids=MALFORMED)
def test_malformed(loop: Any, stream: bytes) -> None:
    """What is not plain HTTP/1.1 is 400, and nothing behind it is read."""
    reading = Reading(loop, stream, post(b"/b"))
    status, code, message = reading.refusal
    assert (status, code) == (400, "invalid_request")
    assert message
    assert (reading.reader.phase, reading.reader.cut, reading.sink.done) == (DEAF, True, [])


def test_nothing_is_read_behind_the_last_request(loop: Any) -> None:
    """What follows `Connection: close` is neither served nor complained of."""
    for name in ("last", "old"):
        reading = Reading(loop, STREAMS[name])
        assert [r.path for r in reading.sink.entered] == [b"/a"]
        assert (reading.reader.phase, reading.reader.cut) == (DEAF, False)


def test_empty_lines_between_requests_are_no_request(loop: Any) -> None:
    """A reader that was sent line ends alone is still idle."""
    reading = Reading(loop, b"\r\n\r\n", post(b"/a"), b"\r\n")
    assert (len(reading.sink.done), reading.reader.phase) == (1, IDLE)


@pytest.mark.parametrize(
    ("stream", "expects"),
    [
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n", True),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", True),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", False),
        (b"POST /a HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", False),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: something\r\n\r\n", False),
    ],
)
def test_who_waits_for_continue(loop: Any, stream: bytes, expects: bool) -> None:
    """Only a client of HTTP/1.1 that has a body to send."""
    assert Reading(loop, stream).sink.entered[0].expects is expects


def test_since_tells_a_trickle_from_progress(loop: Any) -> None:
    """Headers are timed from the first byte, a body from its last."""
    reading = Reading(loop, b"POST /a ")
    reading.hub.tick = 5
    reading.feed(b"HTTP/1.1\r\nHost: h\r\n")
    assert (reading.reader.phase, reading.reader.since) == (HEAD, 0)
    reading.feed(b"Content-Length: 5\r\n\r\nab")
    assert (reading.reader.phase, reading.reader.since) == (BODY, 5)
    reading.hub.tick = 7
    reading.feed(b"c")
    assert reading.reader.since == 7


def test_an_end_in_the_middle_gives_up_the_request(loop: Any) -> None:
    """The unanswered rest is handed back to be forgotten; one that was refused is not."""
    reading = Reading(loop, post(b"/a", b"hello")[:-1])
    assert reading.reader.end() is reading.sink.entered[0]
    assert Reading(loop, post(b"/no", b"hello")[:-1]).reader.end() is None
    assert Reading(loop, post(b"/a", b"hello")).reader.end() is None


def test_a_fault_of_our_own_is_not_blamed_on_the_client(loop: Any) -> None:
    """An exception in taking a request comes out, and is not answered as malformed HTTP."""
    reading = Reading(loop)
    reading.sink.complete = None  # type: ignore[assignment, method-assign]
    with pytest.raises(Exception, match="callback"):
        reading.feed(post())


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """Requests with a few bytes changed, and where to cut them."""
    parts = draw(st.lists(st.sampled_from(sorted(STREAMS.values()) + sorted(MALFORMED.values())), max_size=3))
    data = bytearray(b"".join(parts) + draw(st.binary(max_size=20)))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from(b"\r\n :;,0aZ/\0\xff"))
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=4))
    return bytes(data), sorted(cuts)


@settings(max_examples=300)
@given(streams())
def test_no_bytes_raise(loop: Any, stream: tuple[bytes, list[int]]) -> None:
    """Whatever comes is requests or a refusal, and the same however it is cut."""
    data, cuts = stream
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    whole = Reading(loop, data)
    assert Reading(loop, *pieces).outcome == whole.outcome
    assert Reading(loop, *pieces, knowing=whole).outcome == Reading(loop, data, knowing=whole).outcome == whole.outcome
