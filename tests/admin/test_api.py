from __future__ import annotations

from typing import Any

import pytest

from skysail.config.load import dump_config
from skysail.config.schema import AppConfig, Config, ModelConfig

pytestmark = pytest.mark.anyio


def code(response: Any) -> tuple[int, str]:
    """An error's status and code."""
    return response.status_code, response.json()["error"]["code"]


async def test_every_route_is_listed(running: Any) -> None:
    """The index names the routes, so that a stranger with curl finds their way."""
    async with running() as plane:
        routes = (await plane.get("/"))["routes"]
        assert {"GET /status", "POST /models/{model}/versions", "DELETE /models/{model}/versions/{version:int}"} <= set(
            routes
        )
        assert await plane.get("/health") == {"live": True}


async def test_a_model_is_deployed_switched_scaled_and_trimmed(running: Any) -> None:
    """The life of a model through its routes; each answer shows what is so now."""
    async with running() as plane:
        await plane.parent.ready.wait()
        path = f"{plane.folder}/rules.py:other"
        deployed = await plane.http.post("/models/a/versions", json={"path": path, "threads": 2, "timeout": "3s"})
        assert deployed.json() == {"model": "a", "version": 2}
        config = plane.frontend.topology["versions"]
        (new,) = [v["config"] for v in config if v["config"]["name"] == "a"]
        assert (new["threads"], new["timeout"], new["input"]) == (2, 3.0, "json")
        back = (await plane.http.put("/models/a/current", json={"version": 1})).json()
        assert back["current"] == 1
        scaled = (await plane.http.put("/models/a/replicas", json={"replicas": 3})).json()
        assert scaled["replicas"] == 3
        assert {"a@1/0", "a@1/1", "a@1/2"} <= set(plane.parent.workers)
        left = (await plane.http.delete("/models/a/versions/2")).json()
        assert [v["version"] for v in left["versions"]] == [1]
        assert left["versions"][0]["current"]
        assert (await plane.get("/models/a")) == left
        assert code(await plane.http.delete("/models/a/versions/1")) == (409, "conflict")


async def test_a_failed_deployment_says_why(running: Any) -> None:
    """The worker's error and traceback are in the answer, and what was current still is."""
    async with running() as plane:
        await plane.parent.ready.wait()
        (plane.folder / "broken.py").write_text("")
        answer = await plane.http.post("/models/a/versions", json={"path": f"{plane.folder}/broken.py:f"})
        assert code(answer) == (422, "deploy_failed")
        assert "could not be loaded: boom\nthe trace" in answer.json()["error"]["message"]
        assert (await plane.get("/models/a"))["current"] == 1


async def test_a_new_model_and_application_through_the_api(running: Any) -> None:
    """What no file named can be made, changed and removed, with the keys that a file has."""
    async with running() as plane:
        await plane.parent.ready.wait()
        await plane.http.post("/models/c/versions", json={"path": "rules:predict", "input": "json"})
        body = {"models": ["c", "a"], "policy": {"name": "adahedge", "forget": 0.9}, "slo": "20ms", "default": -1}
        made = (await plane.http.put("/apps/y", json=body)).json()
        assert (made["models"], made["policy"], made["slo_ms"], made["default"]) == (["c", "a"], "adahedge", 20.0, -1)
        assert made["policy_params"] == {"forget": 0.9}
        assert await plane.get("/apps/y") == made
        assert plane.frontend.topology["apps"]["y"]["models"] == ["c", "a"]
        assert (await plane.http.delete("/apps/y")).json() == {"deleted": "y"}
        assert "y" not in plane.frontend.topology["apps"]


BAD: list[tuple[str, str, bytes | None, tuple[int, str], str]] = [
    ("GET", "/nowhere", None, (404, "not_found"), "GET / lists the routes"),
    ("POST", "/status", None, (405, "method_not_allowed"), "it takes GET"),
    ("GET", "/apps/xx", None, (404, "unknown_app"), "did you mean 'x'"),
    ("GET", "/models/zebra", None, (404, "unknown_model"), "known: a, b"),
    ("GET", "/predictions/unknown", None, (404, "unknown_prediction"), "no decision 'unknown'"),
    ("GET", "/logs/nobody", None, (404, "not_found"), "nobody"),
    ("GET", "/status?context=", None, (400, "invalid_request"), "1 to 256 bytes"),
    ("DELETE", "/apps/xx", None, (404, "unknown_app"), "did you mean 'x'"),
    ("PUT", "/models/a/current", b'{"version": 1', (400, "invalid_json"), "not JSON"),
    ("PUT", "/models/a/current", b'{"version": 9}', (404, "unknown_model"), "no version 9; it has 1"),
    ("PUT", "/models/a/current", b'{"version": "1"}', (400, "invalid_request"), "Expected `int`"),
    ("PUT", "/models/a/current", b'{"version": 1, "x": 1}', (400, "invalid_request"), "unknown field `x`"),
    ("PUT", "/models/a/current", b'{"version": 1, "timeout_s": -1}', (400, "invalid_request"), "positive"),
    ("PUT", "/models/a/replicas", b'{"replicas": 0}', (400, "invalid_request"), "1 to 256"),
    ("PUT", "/models/a/replicas", b'{"replicas": ' + b"[" * 100_000, (400, "invalid_request"), "Expected `int`"),
    ("POST", "/models/a/versions", b"{}", (400, "config"), "path"),
    ("POST", "/models/a/versions", b"[]", (400, "invalid_request"), "does not fit"),
    ("POST", "/models/a/versions", b'{"path": "none.joblib"}', (400, "config"), "no file at"),
    ("POST", "/models/a/versions", b'{"path": "m:f", "thread": 1}', (400, "config"), "did you mean 'threads'"),
    (
        "POST",
        "/models/a/versions",
        b'{"path": "m:f", "timeout_s": "x"}',
        (400, "invalid_request"),
        "timeout_s = 'x'",
    ),
    ("POST", "/models/Not!/versions", b'{"path": "m:f"}', (400, "config"), "not a name"),
    ("PUT", "/apps/y", b'{"models": ["aa"]}', (400, "config"), "did you mean 'a'"),
    ("PUT", "/apps/y", b'{"models": ["a"], "policy": "adahege"}', (400, "config"), "did you mean 'adahedge'"),
    ("PUT", "/apps/y", b'{"models": ["a"], "slo": "1ms"}', (400, "config"), "at least 2ms"),
    ("PUT", "/apps/a", b'{"models": ["a"]}', (400, "config"), "namespace"),
    ("POST", "/apply", b"{}x", (400, "config"), "no config"),
    ("POST", "/apply?timeout_s=nan", b"{}", (400, "invalid_request"), "timeout_s"),
]
"""Requests that are wrong, with the status and code each gets, and what its message must say."""


async def test_bad_requests_are_told_what_is_wrong(running: Any) -> None:
    """Each mistake has its code, and a message that names the thing and the remedy; nothing happens."""
    async with running() as plane:
        await plane.parent.ready.wait()
        for method, path, body, expected, words in BAD:
            response = await plane.http.request(method, path, content=body)
            assert code(response) == expected, (method, path, body)
            assert words in response.json()["error"]["message"]
        assert {n: m["current"] for n, m in (await plane.get("/models"))["models"].items()} == {"a": 1, "b": 1}


async def test_a_body_that_is_too_large_is_refused(running: Any) -> None:
    """Before it is held in memory whole."""
    async with running() as plane:
        response = await plane.http.post("/apply", content=b" " * (17 << 20))
        assert code(response) == (413, "too_large")


async def test_apply_reports_what_it_did(running: Any) -> None:
    """A resolved configuration is applied wholly, and by name told what became of it."""
    async with running() as plane:
        await plane.parent.ready.wait()
        model = ModelConfig(name="a", path="rules:better", runtime="python", input="json")
        broken = ModelConfig(name="c", path="broken:f", runtime="python", input="json")
        file = Config(models={"a": model, "c": broken}, apps={"x": AppConfig(name="x", models=("a",))})
        done = (await plane.http.post("/apply?timeout_s=5", content=dump_config(file))).json()
        assert (done["deployed"], done["apps"], done["removed"]) == ({"a": 2}, ["x"], ["b"])
        assert "boom" in done["failed"]["c"]
        strange = Config(apps={"x": AppConfig(name="x", models=("nobody",))})
        assert code(await plane.http.post("/apply", content=dump_config(strange))) == (400, "config")


async def test_what_runs_is_shown(running: Any) -> None:
    """Status with a context's weights, why of a prediction, a process's lines, and the page for Prometheus."""
    async with running() as plane:
        await plane.parent.ready.wait()
        status = await plane.get("/status?context=alice")
        assert status["apps"]["x"]["weights"] == {"alice": 1.0}
        assert status["models"]["a"]["replicas"]["a@1/0"]["load"] == "ready"
        assert await plane.get("/predictions/known") == {"prediction_id": "known"}
        assert await plane.get("/logs/a@1/0") == {"process": "a@1/0", "lines": ["a line of a@1/0"]}
        page = await plane.http.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain")
        assert 'skysail_model_version{model="a"} 1.0' in page.text


async def test_without_a_frontend_why_is_unavailable(running: Any) -> None:
    """While the data plane restarts, what only it knows is 503 with `Retry-After`, and status still answers."""
    async with running(frontends=0) as plane:
        response = await plane.http.get("/predictions/known")
        assert code(response) == (503, "unavailable")
        assert response.headers["Retry-After"] == "1"
        assert (await plane.get("/status?context=alice"))["apps"].keys() <= {"x"}
