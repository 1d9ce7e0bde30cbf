from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from skysail.admin.app import make_app


async def hello(request: Request) -> Response:
    """An endpoint."""
    return PlainTextResponse("hello")


async def bug(request: Request) -> Response:
    """An endpoint that is wrong."""
    raise ZeroDivisionError("oops")


def ask(path: str, token: str | None, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask an application with these endpoints."""
    routes = [Route("/health", hello), Route("/status", hello), Route("/bug", bug)]

    async def body() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(routes, token), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(body())


@pytest.mark.parametrize(
    "given", [None, "", "secret", "Bearer wrong", "Bearer secre", "Bearer secret ", "bearer secret"]
)
def test_a_wrong_token_is_refused(given: str | None) -> None:
    """Whatever is not exactly the token is 401, for routes that are not there too, and says what to send."""
    headers = {} if given is None else {"Authorization": given}
    for path in ("/status", "/nowhere"):
        response = ask(path, "secret", **headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_right_token_opens_everything() -> None:
    """With it all answers; health needs none, so a watchdog needs no secret; where none is set, none is asked."""
    assert ask("/status", "secret", Authorization="Bearer secret").text == "hello"
    assert ask("/health", "secret").text == "hello"
    assert ask("/status", None).text == "hello"


def test_all_errors_are_json() -> None:
    """Unknown paths, wrong methods and our own bugs have the same shape as every other error."""
    assert ask("/nowhere", None).json()["error"]["code"] == "not_found"
    wrong = ask("/status", None, "DELETE")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]
    broken = ask("/bug", None)
    assert (broken.status_code, broken.json()["error"]["code"]) == (500, "internal")
    assert "ZeroDivisionError: oops" in broken.json()["error"]["message"]
