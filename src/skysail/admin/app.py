"""The control plane as an ASGI application: routes, errors as JSON, and the token."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from skysail.errors import SkysailError
from skysail.http.status import error_body, headers_of, status_of

__all__ = ["make_app"]

_log = logging.getLogger(__name__)

_OPEN = "/health"
"""Asked by those who hold no token: whoever watches whether the process lives."""


def make_app(routes: list[Route], token: str | None) -> Starlette:
    """The application; with a token, it asks for `Authorization: Bearer TOKEN` everywhere but at `/health`."""
    middleware = [] if token is None else [Middleware(_RequireToken, token=token)]
    handlers: dict[Any, Callable[[Request, Any], Any]] = {
        SkysailError: _on_error,
        HTTPException: _on_http_error,
        Exception: _on_bug,
    }
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _RequireToken:
    """Lets pass who knows the token; the comparison takes as long whatever is wrong with a guess."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("authorization", "").encode()
        if scope["path"] == _OPEN or hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
        else:
            message = "send the server's token: 'Authorization: Bearer TOKEN'"
            await _error("unauthorized", message)(scope, receive, send)


def _error(code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    more = {name.decode(): value.decode() for name, value in headers_of(code)}
    return Response(
        error_body(code, message), status_of(code), headers={**more, **(headers or {})}, media_type="application/json"
    )


async def _on_error(request: Request, error: SkysailError) -> Response:
    return _error(error.code, error.message)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses."""
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        message = f"{request.url.path} does not take {request.method}; it takes {allowed}"
        return _error("method_not_allowed", message, {"Allow": allowed})
    if error.status_code == 404:
        return _error("not_found", f"no route is called {request.url.path!r}; GET / lists the routes")
    return _error("invalid_request", error.detail)


async def _on_bug(request: Request, error: Exception) -> Response:
    """What is wrong with us; Starlette raises it again behind this answer, and the server logs it."""
    return _error("internal", f"{type(error).__name__}: {error}; the log of the control process has the traceback")
