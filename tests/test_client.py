from __future__ import annotations

import asyncio
import inspect
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from skysail.client import AsyncClient, Client, Prediction, Unreachable
from skysail.errors import (
    DeployError,
    InvalidInput,
    InvalidRequest,
    Overload,
    SkysailError,
    Unavailable,
    UnknownApp,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from skysail.client import ObserveResult

    Do = Callable[..., Any]

ANSWER = {
    "prediction_id": "00-000001-00000000",
    "output": 7,
    "confidence": 0.93,
    "agreement": 0.8,
    "default": False,
    "reason": None,
    "models": ["svm@1", "forest@2"],
    "missing": ["forest@2"],
}


class Server:
    """Plays back answers, and keeps what it was asked and how long clients paused."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def sent(self) -> Any:
        """The last body."""
        return json.loads(self.requests[-1].content)


@pytest.fixture(params=["blocking", "asynchronous"])
def do(request: pytest.FixtureRequest) -> Do:
    """Calls a method of either client against a server; what holds of one holds of the other."""

    def blocking(server: Server, method: str, *args: Any, options: dict[str, Any], **kwargs: Any) -> Any:
        transport = httpx.MockTransport(server)
        with Client(transport=transport, sleep=server.pauses.append, rng=Random(1), **options) as client:
            return getattr(client, method)(*args, **kwargs)

    async def asynchronous(server: Server, method: str, *args: Any, options: dict[str, Any], **kwargs: Any) -> Any:
        async def sleep(seconds: float) -> None:
            server.pauses.append(seconds)

        transport = httpx.MockTransport(server)
        async with AsyncClient(transport=transport, sleep=sleep, rng=Random(1), **options) as client:
            return await getattr(client, method)(*args, **kwargs)

    def call(server: Server, method: str, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        if request.param == "blocking":
            return blocking(server, method, *args, options=options or {}, **kwargs)
        return asyncio.run(asynchronous(server, method, *args, options=options or {}, **kwargs))

    return call


def ok(document: Any) -> httpx.Response:
    """A good answer."""
    return httpx.Response(200, json=document)


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    """An error."""
    return httpx.Response(status, json={"error": {"code": code, "message": f"about {code}"}}, headers=headers)


def test_both_clients_have_the_same_methods() -> None:
    """Whatever one can be asked, the other can, with the same arguments."""

    def methods(cls: type) -> dict[str, str]:
        found = inspect.getmembers(cls, inspect.isfunction)
        named = {name: inspect.signature(m) for name, m in found if not name.startswith("_") and "close" not in name}
        return {name: str(signature) for name, signature in named.items()}

    assert methods(Client) == methods(AsyncClient)


def test_a_prediction_has_every_field(do: Do) -> None:
    """The answer's fields are the HTTP body's, and the request carries input, context and deadline."""
    server = Server(ok(ANSWER))
    prediction = do(server, "predict", "my app", [1, 2.5], context="alice", deadline_ms=12)
    assert prediction == Prediction(**{**ANSWER, "models": ("svm@1", "forest@2"), "missing": ("forest@2",)})
    assert str(server.requests[0].url) == "http://127.0.0.1:8000/apps/my%20app/predict"
    assert server.sent == {"input": [1, 2.5], "context": "alice", "deadline_ms": 12}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"set": [7, 8]}, ((7, 8), None)),
        ({"interval": [1.5, 2]}, (None, (1.5, 2))),
        ({"set": None}, (None, None)),
    ],
)
def test_a_prediction_tells_what_holds_the_label(do: Do, told: dict[str, Any], expected: Any) -> None:
    """A set or an interval, of an application whose confidence is calibrated."""
    prediction = do(Server(ok({**ANSWER, **told})), "predict", "digits", 1)
    assert (prediction.set, prediction.interval) == expected


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (np.array([[1, 2], [3, 4]], dtype="uint8"), [[1, 2], [3, 4]]),
        (np.float32(0.5), 0.5),
        ({"rows": np.arange(2)}, {"rows": [0, 1]}),
        (np.array([1.0, float("nan")]), [1.0, None]),
        (b"\x00\xff", "AP8="),
        (None, None),
    ],
)
def test_inputs_travel_as_json(do: Do, given: Any, sent: Any) -> None:
    """Arrays and their scalars become lists and numbers, NaN null, and bytes base64."""
    server = Server(ok(ANSWER))
    do(server, "predict", "a", given)
    assert server.sent == {"input": sent}


def test_what_is_no_json_is_refused_here(do: Do) -> None:
    """An object that cannot be sent is named before anything is sent."""
    server = Server()
    with pytest.raises(InvalidRequest, match="a object; pass numbers"):
        do(server, "predict", "a", object())
    assert server.requests == []


def test_one_bad_row_is_an_error_in_its_place(do: Do) -> None:
    """Of several inputs each has its answer or its error, in order."""
    bad = {"error": {"code": "invalid_input", "message": "row has 3 values, not 4"}}
    server = Server(ok({"predictions": [ANSWER, bad]}))
    good, error = do(server, "predict_many", "a", ([x] for x in range(2)))
    assert server.sent == {"inputs": [[0], [1]]}
    assert good.output == 7
    assert isinstance(error, InvalidInput)
    assert error.message == "row has 3 values, not 4"


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({"prediction_id": "p", "label": 3}, {"prediction_id": "p", "label": 3}),
        ({"prediction_id": "p", "label": None}, {"prediction_id": "p", "label": None}),
        ({"prediction_id": "p", "reward": 0.0}, {"prediction_id": "p", "reward": 0.0}),
        ({"input": [1], "context": "c", "label": "x"}, {"input": [1], "context": "c", "label": "x"}),
    ],
)
def test_an_observation_is_by_id_or_by_input(do: Do, arguments: dict[str, Any], body: dict[str, Any]) -> None:
    """Exactly what is given is sent; a label may be null."""
    server = Server(ok({"accepted": 1, "duplicates": 0, "rejected": []}))
    result: ObserveResult = do(server, "observe", "a", **arguments)
    assert (result.accepted, result.duplicates, result.rejected) == (1, 0, ())
    assert server.sent == body


def test_rejected_observations_are_told_one_by_one(do: Do) -> None:
    """Each has its place in the list and its error."""
    rejected = [{"index": 1, "code": "unknown_prediction", "message": "no decision 'q'"}]
    server = Server(ok({"accepted": 1, "duplicates": 0, "rejected": rejected}))
    result = do(server, "observe_many", "a", [{"prediction_id": "p", "label": 1}, {"prediction_id": "q", "label": 1}])
    assert [(it.index, it.error.code) for it in result.rejected] == [(1, "unknown_prediction")]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "unknown_app", UnknownApp), (422, "deploy_failed", DeployError), (418, "brand_new", SkysailError)],
)
def test_errors_are_raised_by_their_code(do: Do, status: int, code: str, kind: type[SkysailError]) -> None:
    """A code is its class; one from a newer server is still a `SkysailError`; neither is tried again."""
    server = Server(refusal(status, code))
    with pytest.raises(kind, match=f"about {code}"):
        do(server, "predict", "a", 1)
    assert len(server.requests) == 1


def test_503_is_tried_again_with_jitter_after_what_the_server_asks(do: Do) -> None:
    """Each pause is at least `Retry-After`, and no two are alike; the last error is raised when attempts end."""
    server = Server(refusal(503, "overload", **{"Retry-After": "1"}), refusal(503, "overload"), ok(ANSWER))
    assert do(server, "predict", "a", 1).output == 7
    assert 1.0 <= server.pauses[0] <= 1.05
    assert 0.0 < server.pauses[1] <= 0.1
    server = Server(*[refusal(503, "overload", **{"Retry-After": "nonsense"}) for _ in range(2)])
    with pytest.raises(Overload):
        do(server, "predict", "a", 1, options={"attempts": 2})
    assert len(server.pauses) == 1


@pytest.mark.parametrize("code", ["model_error", "deadline", "internal"])
def test_nothing_else_is_tried_again(do: Do, code: str) -> None:
    """Only 503 says that nothing was done."""
    server = Server(refusal(502, code))
    with pytest.raises(SkysailError):
        do(server, "predict", "a", 1)
    assert (len(server.requests), server.pauses) == (1, [])


def test_a_lost_connection_repeats_only_what_may_be_repeated(do: Do) -> None:
    """A prediction is not sent twice; an observation by id is, since only the first counts; one by input is not."""
    gone = httpx.ConnectError("refused")
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:8000 cannot be reached \(refused\)"):
        do(Server(gone), "predict", "a", 1)
    accepted = ok({"accepted": 0, "duplicates": 1, "rejected": []})
    server = Server(gone, accepted)
    assert do(server, "observe", "a", "p", label=1).duplicates == 1
    with pytest.raises(Unreachable):
        do(Server(gone), "observe", "a", input=1, label=1)
    with pytest.raises(Unreachable, match="8002 did not answer in time"):
        do(Server(*[httpx.ReadTimeout("")] * 3), "status")
    assert issubclass(Unreachable, Unavailable)


@pytest.mark.parametrize(("status", "text"), [(200, "<html>"), (404, "nginx"), (200, "[1]"), (500, "{}")])
def test_another_server_is_recognised(do: Do, status: int, text: str) -> None:
    """What is not Skysail's answer is not taken for one."""
    with pytest.raises(Unreachable, match="is it another server's address"):
        do(Server(httpx.Response(status, text=text)), "predict", "a", 1)


MODEL = {"name": "svm", "current": 3, "versions": [{"version": 1}, {"version": 2}, {"version": 3}, {"version": 4}]}


@pytest.mark.parametrize(
    ("call", "request_line", "body", "answer", "value"),
    [
        (("why", "id"), "GET /predictions/id", None, {"a": 1}, {"a": 1}),
        (("status", "al ice"), "GET /status?context=al%20ice", None, {"a": 1}, {"a": 1}),
        (("apps",), "GET /apps", None, {"apps": {"x": 1}}, {"x": 1}),
        (("app", "x"), "GET /apps/x", None, {"a": 1}, {"a": 1}),
        (("delete_app", "x"), "DELETE /apps/x", None, {"deleted": "x"}, {"deleted": "x"}),
        (("models",), "GET /models", None, {"models": {"x": 1}}, {"x": 1}),
        (("scale", "svm", 3), "PUT /models/svm/replicas", {"replicas": 3}, MODEL, MODEL),
        (("delete_version", "svm", 2), "DELETE /models/svm/versions/2", None, MODEL, MODEL),
        (("logs", "svm@1/0"), "GET /logs/svm@1/0", None, {"lines": ["a"]}, ["a"]),
        (("apply", b'{"apps":{}}'), "POST /apply?timeout_s=60.0", {"apps": {}}, {"deployed": {}}, {"deployed": {}}),
        (
            ("deploy", "svm", "/m.joblib"),
            "POST /models/svm/versions",
            {"path": "/m.joblib", "timeout_s": 60.0},
            {"version": 4},
            4,
        ),
    ],
)
def test_operators_calls(do: Do, call: tuple[Any, ...], request_line: str, body: Any, answer: Any, value: Any) -> None:
    """Each asks the control plane by its route, and gives what is in the answer."""
    server = Server(ok(answer))
    assert do(server, *call) == value
    (request,) = server.requests
    assert f"{request.method} {request.url.raw_path.decode()}" == request_line
    assert request.url.port == 8002
    assert (json.loads(request.content) if request.content else None) == body


def test_settings_are_the_config_files(do: Do) -> None:
    """Deploying a version, or an application, takes the keys of the file."""
    server = Server(ok({"version": 2}))
    do(server, "deploy", "svm", "/m.joblib", timeout_s=5, replicas=2, timeout="2s")
    assert server.sent == {"path": "/m.joblib", "timeout_s": 5, "replicas": 2, "timeout": "2s"}
    server = Server(ok({}))
    do(server, "put_app", "x", models=["svm"], slo="20ms")
    assert server.sent == {"models": ["svm"], "slo": "20ms"}


def test_a_rollback_goes_to_the_version_before(do: Do) -> None:
    """Not to the newest, nor the oldest; and where there is none before, it says so."""
    server = Server(ok(MODEL), ok({**MODEL, "current": 2}))
    assert do(server, "rollback", "svm")["current"] == 2
    assert server.sent == {"version": 2, "timeout_s": 60.0}
    with pytest.raises(InvalidRequest, match="no version before 1"):
        do(Server(ok({**MODEL, "current": 1})), "rollback", "svm")


def test_metrics_are_text(do: Do) -> None:
    """The page is given as it is."""
    assert do(Server(httpx.Response(200, text="skysail_answers_total 1")), "metrics") == "skysail_answers_total 1"


def test_the_token_is_sent_to_both_planes(do: Do) -> None:
    """Whoever has the token sends it with everything."""
    server = Server(ok(ANSWER))
    do(server, "predict", "a", 1, options={"token": "secret"})
    assert server.requests[0].headers["Authorization"] == "Bearer secret"


def test_a_real_refused_connection_is_unreachable() -> None:
    """Without any fake: nobody listens, and the address is named."""
    with (
        Client("http://127.0.0.1:1", attempts=1) as client,
        pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 "),
    ):
        client.predict("a", 1)


def test_threads_that_share_a_client_keep_their_connections() -> None:
    """Forty at once, again and again: no connection is closed under a thread that has just been given it."""
    threads, rounds, accepted = 40, 5, []
    together = threading.Barrier(threads)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            accepted.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            together.wait(30.0)
            body = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        request_queue_size = threads

    with Listener(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(threads) as pool:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            with Client(f"http://127.0.0.1:{server.server_address[1]}", timeout=30.0) as client:
                answers = list(pool.map(lambda row: client.predict("a", row).output, range(threads * rounds)))
        finally:
            server.shutdown()
            serving.join()
    assert answers == [7] * threads * rounds
    assert len(accepted) == threads
