"""Whatever is sent: an answer that says what is wrong with it, and a server that answers the next request."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx
    from tests.e2e.conftest import Site

CONFIG = """
[models]
vector = { path = "ZOO:total", input = "float32[3]" }
counter = { path = "ZOO:total", input = "int16[2]" }
words = { path = "ZOO:echo", input = "string" }
lenient = { path = "ZOO:total", input = "float32[3]", finite = false }

[apps]
sums = { models = ["vector"], slo = "10s", default = 0 }
counts = { models = ["counter"], slo = "10s" }
texts = { models = ["words"], slo = "10s" }
odd = { models = ["lenient"], slo = "10s" }
"""

HUGE = 100 << 20

BODIES: dict[str, tuple[str, bytes, int, str, str]] = {
    # name: application, body, status, code, words of the message
    "too few numbers": ("sums", b'{"input": [1, 2]}', 400, "invalid_input", "3"),
    "nested otherwise": ("sums", b'{"input": [[1, 2], [3]]}', 400, "invalid_input", "float32[3]"),
    "no list": ("sums", b'{"input": {"a": 1}}', 400, "invalid_input", "float32[3]"),
    "a string for numbers": ("sums", b'{"input": ["1", "2", "3"]}', 400, "invalid_input", "float32"),
    "a boolean for a number": ("sums", b'{"input": [true, 2, 3]}', 400, "invalid_input", "float32"),
    "null for a number": ("sums", b'{"input": [null, 2, 3]}', 400, "invalid_input", "float32"),
    "NaN": ("sums", b'{"input": [NaN, 2, 3]}', 400, "", ""),
    "overflow": ("sums", b'{"input": [1e300, 2, 3]}', 400, "invalid_input", ""),
    "a fraction for an integer": ("counts", b'{"input": [1.5, 2]}', 400, "invalid_input", "int16"),
    "an integer out of range": ("counts", b'{"input": [40000, 2]}', 400, "invalid_input", "int16"),
    "a number for a string": ("texts", b'{"input": 7}', 400, "invalid_input", "string"),
    "not UTF-8": ("texts", b'{"input": "\xff\xfe"}', 400, "invalid_json", "UTF-8"),
    "half a surrogate pair": ("texts", b'{"input": "\\ud800"}', 400, "", ""),
    "not JSON": ("sums", b'{"input": [1, 2, 3]', 400, "invalid_json", "JSON"),
    "nothing": ("sums", b"", 400, "invalid_json", "JSON"),
    "a nesting bomb": ("sums", b'{"input": ' + b"[" * 500_000 + b"]" * 500_000 + b"}", 400, "invalid_json", "64"),
    "an open nesting bomb": ("sums", b'{"input": ' + b'{"a":' * 500_000, 400, "invalid_json", "64"),
    "an unknown field": ("sums", b'{"inptu": [1, 2, 3]}', 400, "invalid_request", "inptu"),
    "no input": ("sums", b"{}", 400, "invalid_request", "input"),
    "input and inputs": ("sums", b'{"input": [1, 2, 3], "inputs": []}', 400, "invalid_request", "inputs"),
    "inputs that are no list": ("sums", b'{"inputs": 3}', 400, "invalid_request", "inputs"),
    "too many rows": ("sums", json.dumps({"inputs": [[1, 2, 3]] * 1025}).encode(), 413, "too_large", "1024"),
    "no object": ("sums", b"[1, 2, 3]", 400, "invalid_request", ""),
    "an empty context": ("sums", b'{"input": [1, 2, 3], "context": ""}', 400, "invalid_request", "context"),
    "a long context": ("sums", b'{"input": [1,2,3], "context": "%b"}' % (b"x" * 257), 400, "invalid_request", "256"),
    "no time": ("sums", b'{"input": [1, 2, 3], "deadline_ms": 0}', 400, "invalid_request", "deadline_ms"),
    "a deadline in words": ("sums", b'{"input": [1,2,3], "deadline_ms": "1"}', 400, "invalid_request", "deadline_ms"),
}

OBSERVATIONS: dict[str, tuple[bytes, int, str, str]] = {
    "neither label nor reward": (b'{"prediction_id": "x"}', 400, "invalid_request", "label"),
    "label and reward": (b'{"prediction_id": "x", "label": 1, "reward": 1}', 400, "invalid_request", "reward"),
    "a reward above one": (b'{"prediction_id": "x", "reward": 1.5}', 400, "invalid_request", "1.5"),
    "neither id nor input": (b'{"label": 1}', 400, "invalid_request", "prediction_id"),
    "an unknown id": (b'{"prediction_id": "00-000001-00ffffff", "label": 1}', 404, "unknown_prediction", "sums"),
    "no id at all": (b'{"prediction_id": "\\u0000", "label": 1}', 404, "unknown_prediction", "sums"),
    "an input that does not fit": (b'{"input": [1], "label": 1}', 400, "invalid_input", "float32[3]"),
    "not UTF-8": (b'{"prediction_id": "\xc3(", "label": 1}', 400, "invalid_json", "UTF-8"),
}


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Applications that declare what they take; one with a default, which bad input must not get."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG) as site:
        yield site


@pytest.fixture(autouse=True)
def _well_after(site: Site) -> Iterator[None]:
    """After each test the server answers, and no worker has been started again."""
    yield
    assert site.predict("sums", [1, 2, 3])["output"] == 6
    assert {process["starts"] for process in site.processes().values()} == {1}


def check(response: httpx.Response, status: int, code: str, words: str) -> None:
    """An error as documented: its status, its code, and a message that names the thing."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] == code or (not code and error["code"] in {"invalid_json", "invalid_input"})
    assert words in error["message"]
    assert 10 < len(error["message"]) < 500


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_prediction_request(site: Site, name: str) -> None:
    """A body that cannot be answered is refused with the field, the value or the limit; never with the default."""
    app, body, *expected = BODIES[name]
    check(site.data.post(f"/apps/{app}/predict", content=body), *expected)


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_bad_observation(site: Site, name: str) -> None:
    """Feedback that cannot be taken is refused likewise; in a list it is named by its place, and harms no other."""
    body, *expected = OBSERVATIONS[name]
    check(site.data.post("/apps/sums/observe", content=body), *expected)
    if name == "not UTF-8":
        return
    good = json.dumps({"prediction_id": site.predict("sums", [1, 2, 3])["prediction_id"], "label": 6}).encode()
    response = site.data.post("/apps/sums/observe", content=b'{"observations": [%b, %b]}' % (body, good))
    assert response.status_code == 200, response.text
    (rejected,) = response.json()["rejected"]
    assert (rejected["index"], rejected["code"], response.json()["accepted"]) == (0, expected[1], 1)


@pytest.mark.parametrize(
    ("headers", "content", "status", "code", "words"),
    [
        ({}, b"\0" * 11, 400, "invalid_input", "12"),
        ({}, b"", 400, "invalid_input", "12"),
        ({}, struct.pack("<3f", math.nan, 1, 2), 400, "invalid_input", "infinity"),
        ({}, struct.pack("<3f", 1, -math.inf, 2), 400, "invalid_input", "infinity"),
        ({"Skysail-Deadline-Ms": "soon"}, b"\0" * 12, 400, "invalid_request", "Skysail-Deadline-Ms"),
        ({"Skysail-Deadline-Ms": "nan"}, b"\0" * 12, 400, "invalid_request", "Skysail-Deadline-Ms"),
        ({"Skysail-Context": "%ff"}, b"\0" * 12, 400, "invalid_request", "Skysail-Context"),
        ({"Content-Type": "text/csv"}, b"1,2,3", 415, "unsupported_media_type", "text/csv"),
        ({"X-Padding": "x" * 20_000}, b"\0" * 12, 431, "headers_too_large", "16384"),
    ],
)
def test_a_bad_row_of_bytes(
    site: Site, headers: dict[str, str], content: bytes, status: int, code: str, words: str
) -> None:
    """A row of bytes is refused for its length, its values or its headers."""
    headers = {"Content-Type": "application/octet-stream", **headers}
    check(site.data.post("/apps/sums/predict", content=content, headers=headers), status, code, words)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "words"),
    [
        ("POST", "/apps/sum/predict", 404, "unknown_app", "did you mean 'sums'?"),
        ("POST", "/apps/txts/observe", 404, "unknown_app", "did you mean 'texts'?"),
        ("GET", "/apps/vector", 404, "unknown_app", "known: "),
        ("GET", "/apps/%ff%00", 404, "unknown_app", "known: "),
        ("GET", "/apps/sums/predict", 405, "method_not_allowed", "POST"),
        ("POST", "/v2/health/ready", 405, "method_not_allowed", "GET"),
        ("POST", "/predict", 404, "not_found", "/apps/APP/predict"),
    ],
)
def test_a_wrong_address(site: Site, method: str, path: str, status: int, code: str, words: str) -> None:
    """What is not there is told apart from what takes another method; an unknown name brings the nearest known."""
    check(site.data.request(method, path, content=b"{}" if method == "POST" else None), status, code, words)


def test_rows_of_a_list_fail_alone(site: Site) -> None:
    """Rows malformed, misshapen or huge are errors in their places; the rest is answered."""
    rows: list[Any] = [[1, 2, 3], [1], "x", list(range(100_000)), [[[]]], None, [4, 5, 6]]
    response = site.data.post("/apps/sums/predict", json={"inputs": rows})
    assert response.status_code == 200
    found = response.json()["predictions"]
    assert [it.get("output") for it in found] == [6, None, None, None, None, None, 15]
    assert {it["error"]["code"] for it in found[1:-1]} == {"invalid_input"}


def test_a_hundred_megabytes_announced(site: Site) -> None:
    """A body too large is refused by its announced length, before it is sent."""
    with site.wire() as wire:
        wire.send(b"POST /apps/sums/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % HUGE)
        reply = wire.reply()
    assert (reply.status, reply.body["error"]["code"]) == (413, "too_large")
    assert "max_body" in reply.body["error"]["message"]


def test_a_hundred_megabytes_sent(site: Site) -> None:
    """One that is sent all the same, whole or in chunks, is refused in the middle, and takes no memory along."""
    before = site.status()["memory_bytes"]
    head = b"POST /apps/sums/predict HTTP/1.1\r\nHost: x\r\n"
    megabyte = b" " * (1 << 20)
    for length, piece in (
        (b"Content-Length: %d" % HUGE, megabyte),
        (b"Transfer-Encoding: chunked", b"100000\r\n%b\r\n" % megabyte),
    ):
        with site.wire() as wire:
            with suppress(ConnectionError):
                wire.send(head + length + b"\r\n\r\n")
                for _ in range(HUGE >> 20):
                    wire.send(piece)
            with suppress(ConnectionError):  # the server may hang up on who does not stop
                assert wire.reply().body["error"]["code"] == "too_large"
    assert site.status()["memory_bytes"] < before + HUGE


def test_nonsense_on_the_wire(site: Site) -> None:
    """What is not HTTP is told so, and hung up on."""
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n", b"hello there\r\n\r\n"):
        with site.wire() as wire:
            wire.send(nonsense)
            assert wire.reply().body["error"]["code"] == "invalid_request"
            with pytest.raises(EOFError):
                wire.reply()


def test_what_is_allowed_stays_so(site: Site) -> None:
    """Integers pass for floats, nested for flat, and where the declaration says so `null` and NaN for a number."""
    assert site.predict("sums", [1, 2.5, -3])["output"] == 0.5
    headers = {"Content-Type": "application/octet-stream"}
    for sent in (
        site.data.post("/apps/odd/predict", json={"input": [None, 2, 3]}),
        site.data.post("/apps/odd/predict", content=struct.pack("<3f", math.nan, 2, 3), headers=headers),
    ):
        # the row is taken; that its sum is no number JSON has is the model's fault
        check(sent, 502, "model_error", "nan")
