"""The data plane's routes over a real server and an engine whose models answer at once."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import httpx
import uvloop

from skysail.applications import Application
from skysail.calls import Call
from skysail.clock import SystemClock
from skysail.config.schema import LedgerConfig
from skysail.deadlines import Deadlines
from skysail.engine import Engine
from skysail.feedback.ledger import Ledger
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.http.dataplane import DataPlane
from skysail.http.server import HttpServer
from skysail.ids import IdSource
from skysail.selection.contexts import blend
from skysail.selection.single import Single
from skysail.stats.application import ApplicationCounters
from skysail.stores.memory import MemoryStore
from skysail.types import Failure, Output


class _Past:
    """The same model, past its cache."""

    def __init__(self, echo: Echo) -> None:
        self.ask, self.forget, self.hurry = echo.ask, echo.forget, echo.hurry
        self.full, self.turn_away = echo.full, echo.turn_away

    def knows(self, row: bytes, binary: bool) -> bool:
        return False


class Echo:
    """A model that answers with its row, refuses `"bad"`, breaks on `"boom"`, and never answers `"slow"`."""

    ref = "echo@1"
    ready = True

    def __init__(self) -> None:
        self.cached, self.direct = self, _Past(self)
        self.calls: list[Call] = []
        self.forgotten: list[Call] = []
        self.is_full = False
        self.turned_away = 0
        self.changed = asyncio.Event()

    def ask(self, call: Call) -> None:
        self.calls.append(call)
        self.changed.set()
        if call.row == b'"slow"':
            return
        failures = {
            b'"bad"': Failure("invalid_input", "'bad' is no number; send one"),
            b'"boom"': Failure("model_error", "ZeroDivisionError"),
            b'"full"': Failure("overload", "too much ahead"),
        }
        outcome = failures.get(call.row) or Output(json.dumps(call.row.hex()).encode() if call.binary else call.row)
        asyncio.get_running_loop().call_soon(call.settle, outcome, SystemClock.monotonic())

    def forget(self, call: Call) -> None:
        call.over = True
        self.forgotten.append(call)
        self.changed.set()

    def hurry(self, call: Call, deadline: float) -> None: ...

    def full(self, now: float, deadline: float) -> bool:
        return self.is_full

    def knows(self, row: bytes, binary: bool) -> bool:
        return row == b'"known"'

    def turn_away(self) -> None:
        self.turned_away += 1

    async def reach(self, calls: list[Call], count: int) -> None:
        """Wait until there are so many of these calls."""
        async with asyncio.timeout(10):
            while len(calls) < count:
                self.changed.clear()
                await self.changed.wait()


class Well:
    """Health as the test wants it."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self.trouble: str | None = None

    def ready(self) -> dict[str, str]:
        return self.troubles

    def failing(self) -> str | None:
        return self.trouble

    def describe(self, app: Application) -> dict[str, object]:
        return {"name": app.name, "input": "json", "models": ["echo@1"]}


class Site:
    """A server with one application, `digits`, and a client of it."""

    def __init__(self, client: httpx.AsyncClient, engine: Engine, model: Echo, well: Well) -> None:
        self.client = client
        self.engine = engine
        self.model = model
        self.well = well

    async def predict(self, app: str = "digits", **body: Any) -> httpx.Response:
        return await self.client.post(f"/apps/{app}/predict", json=body)

    async def observe(self, app: str = "digits", **body: Any) -> httpx.Response:
        return await self.client.post(f"/apps/{app}/observe", json=body)


def visit(scenario: Callable[[Site], Awaitable[None]], token: str | None = None, slo: float = 0.2) -> None:
    """Run a scenario against a fresh server."""

    async def main() -> None:
        loop, clock, model, well = asyncio.get_running_loop(), SystemClock(), Echo(), Well()
        store = MemoryStore()
        store.open()
        async with Ledger(store, clock, LedgerConfig()) as ledger:
            engine = Engine(clock=clock, rng=Random(1), ids=IdSource(0, ledger.boot), ledger=ledger)
            policy, counters, reads = Single(), ApplicationCounters(), Reads(loop, clock)
            engine.apps["digits"] = Application(
                name="digits",
                models=("echo",),
                policy=policy,
                fallback=policy,
                slo=slo,
                default=None,
                min_confidence=0.0,
                cache=True,
                deadlines=Deadlines(loop, clock),
                states=States("digits", policy, store, blend, reads=reads, counters=counters),
                counters=counters,
                served={"echo": model},
            )
            server = HttpServer(DataPlane(engine, well, max_rows=4, token=token))
            sock = socket.create_server(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            await server.start(sock)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                await scenario(Site(client, engine, model, well))
            await server.aclose()
        store.close()

    uvloop.run(main())


def code_of(response: httpx.Response) -> tuple[int, str]:
    """An error's status and code."""
    return response.status_code, response.json()["error"]["code"]


def test_one_input_one_answer() -> None:
    """The documented object, and nothing else."""

    async def scenario(site: Site) -> None:
        response = await site.predict(input=[1, 2.5])
        assert response.status_code == 200
        said = response.json()
        assert said.pop("prediction_id")
        assert said == {
            "output": [1, 2.5],
            "confidence": None,
            "agreement": 1.0,
            "default": False,
            "reason": None,
            "models": ["echo@1"],
            "missing": [],
        }

    visit(scenario)


def test_a_list_of_inputs_is_answered_row_by_row() -> None:
    """A bad row harms itself alone; an empty list is an empty list; too many rows are too large."""

    async def scenario(site: Site) -> None:
        said = (await site.predict(inputs=[1, "bad", "boom", 4])).json()["predictions"]
        assert [row.get("output") for row in said] == [1, None, None, 4]
        assert said[1]["error"]["code"] == "invalid_input"
        assert said[2]["error"]["code"] == "model_error"
        assert (await site.predict(inputs=[])).json() == {"predictions": []}
        assert code_of(await site.predict(inputs=[0] * 5)) == (413, "too_large")

    visit(scenario)


def test_every_failure_has_its_status() -> None:
    """The table of codes, as clients meet it."""

    async def scenario(site: Site) -> None:
        assert code_of(await site.predict(input="bad")) == (400, "invalid_input")
        assert code_of(await site.predict(input="boom")) == (502, "model_error")
        busy = await site.predict(input="full")
        assert code_of(busy) == (503, "overload")
        assert int(busy.headers["retry-after"]) >= 1
        assert code_of(await site.predict(input="slow", deadline_ms=5)) == (504, "deadline")
        assert code_of(await site.predict(app="digts", input=1)) == (404, "unknown_app")
        assert "did you mean 'digits'" in (await site.predict(app="digts", input=1)).json()["error"]["message"]
        assert code_of(await site.client.get("/apps/digits/predict")) == (405, "method_not_allowed")
        assert code_of(await site.client.post("/nowhere")) == (404, "not_found")
        assert code_of(await site.client.post("/apps/digits/predict", content=b"{")) == (400, "invalid_json")
        xml = await site.client.post("/apps/digits/predict", content=b"<a/>", headers={"content-type": "text/xml"})
        assert code_of(xml) == (415, "unsupported_media_type")

    visit(scenario)


def test_raw_bytes_are_one_row() -> None:
    """An octet stream is the row itself; context and limit come as headers."""

    async def scenario(site: Site) -> None:
        headers = {
            "content-type": "application/octet-stream",
            "skysail-context": "caf%C3%A9",
            "skysail-deadline-ms": "90",
        }
        response = await site.client.post("/apps/digits/predict", content=b"\x00\x01", headers=headers)
        assert response.json()["output"] == "0001"
        headers["skysail-deadline-ms"] = "soon"
        assert code_of(await site.client.post("/apps/digits/predict", content=b"", headers=headers)) == (
            400,
            "invalid_request",
        )

    visit(scenario)


def test_what_curl_sends_by_default_is_json() -> None:
    """Without a content type, or with curl's own, a body is read as JSON."""

    async def scenario(site: Site) -> None:
        for kind in ("application/x-www-form-urlencoded", "*/*", "application/json; charset=utf-8"):
            response = await site.client.post(
                "/apps/digits/predict", content=b'{"input": 1}', headers={"content-type": kind}
            )
            assert response.status_code == 200

    visit(scenario)


def test_feedback_is_counted_once() -> None:
    """Accepted, then a duplicate; an unknown id is an error by itself, and a rejection in a list."""

    async def scenario(site: Site) -> None:
        id = (await site.predict(input=1)).json()["prediction_id"]
        assert (await site.observe(prediction_id=id, label=1)).json() == {
            "accepted": 1,
            "duplicates": 0,
            "rejected": [],
        }
        assert (await site.observe(prediction_id=id, label=1)).json()["duplicates"] == 1
        assert code_of(await site.observe(prediction_id="00-0", label=1)) == (404, "unknown_prediction")
        items = [{"prediction_id": id, "label": 1}, {"prediction_id": "x", "label": 1}, {"lable": 1}]
        said = (await site.observe(observations=items)).json()
        assert (said["accepted"], said["duplicates"]) == (0, 1)
        assert [(r["index"], r["code"]) for r in said["rejected"]] == [
            (1, "unknown_prediction"),
            (2, "invalid_request"),
        ]
        assert (await site.observe(observations=[])).json() == {"accepted": 0, "duplicates": 0, "rejected": []}
        after = (await site.predict(input=1)).json()
        assert after["confidence"] == 1.0

    visit(scenario)


def test_a_token_is_asked_for_where_one_is_set() -> None:
    """Neither none nor a wrong one will do; health needs none."""

    async def scenario(site: Site) -> None:
        assert code_of(await site.predict(input=1)) == (401, "unauthorized")
        site.client.headers["authorization"] = "Bearer wrong"
        assert code_of(await site.predict(input=1)) == (401, "unauthorized")
        assert (await site.client.get("/v2/health/live")).status_code == 200
        site.client.headers["authorization"] = "Bearer sesame"
        assert (await site.predict(input=1)).status_code == 200

    visit(scenario, token="sesame")


def test_health_tells_the_truth() -> None:
    """Ready only while every application can be answered, and else which cannot, and why."""

    async def scenario(site: Site) -> None:
        ready = await site.client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True})
        site.well.troubles = {"digits": "echo: no replica is ready"}
        ready = await site.client.get("/v2/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {"live": True, "ready": False, "apps": {"digits": "echo: no replica is ready"}}
        site.well.troubles, site.well.trouble = {}, "the disk is full"
        ready = await site.client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True, "state": "the disk is full"})
        assert (await site.client.get("/apps/digits")).json()["input"] == "json"

    visit(scenario)


def test_a_client_that_leaves_takes_its_work_along() -> None:
    """Closing the connection forgets what was asked, for one input and for a list."""

    async def scenario(site: Site) -> None:
        for body in ({"input": "slow"}, {"inputs": ["slow", "slow"]}):
            asked = len(site.model.calls) + len(body.get("inputs", [0]))
            _, writer = await asyncio.open_connection(site.client.base_url.host, site.client.base_url.port)
            data = json.dumps(body).encode()
            writer.write(
                b"POST /apps/digits/predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(data) + data
            )
            await site.model.reach(site.model.calls, asked)
            writer.close()
            await site.model.reach(site.model.forgotten, asked)

    visit(scenario, slo=60.0)


def test_an_overload_is_refused_before_anything_is_read() -> None:
    """One prepared reply, the same for all, for JSON and bytes; what the cache knows is answered, and lists are row by
    row; then all is as it was.
    """

    async def scenario(site: Site) -> None:
        site.model.is_full = True
        replies = [await site.predict(input=n) for n in range(3)]
        binary = {"content-type": "application/octet-stream"}
        replies.append(await site.client.post("/apps/digits/predict", content=b"\x00", headers=binary))
        replies.append(await site.predict(input="text", context="alice", deadline_ms=100))
        replies.append(await site.client.post("/apps/digits/predict", content=b'{"input": 1,}'))
        for reply in replies:
            assert code_of(reply) == (503, "overload")
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.content == replies[0].content
        assert "'digits'" in replies[0].json()["error"]["message"]
        assert site.model.turned_away == len(replies)
        assert (await site.predict(input="known")).json()["output"] == "known"
        said = (await site.predict(inputs=["known", 2])).json()["predictions"]
        assert said[0]["output"] == "known"
        assert said[1]["error"]["code"] == "overload"
        assert code_of(await site.client.post("/apps/digits/predict", content=b"{")) == (400, "invalid_json")
        ready = await site.client.get("/v2/health/ready")
        assert ready.status_code == 200
        site.model.is_full = False
        assert (await site.predict(input=1)).status_code == 200

    visit(scenario)


def test_without_a_cache_no_body_is_looked_into() -> None:
    """Whatever one row holds; a list is read all the same."""

    async def scenario(site: Site) -> None:
        site.model.is_full = True
        site.engine.apps["digits"].cache = False
        site.engine.apps["digits"].refresh()
        assert code_of(await site.predict(input="known")) == (503, "overload")
        said = (await site.predict(inputs=[1, 2])).json()["predictions"]
        assert [row["error"]["code"] for row in said] == ["overload", "overload"]

    visit(scenario)
