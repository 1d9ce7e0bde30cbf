"""The routes that clients use: predict, observe, what an application takes, and health."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Raw

from skysail.applications import Application
from skysail.engine import Engine, Feedback, Prediction, Verdict
from skysail.errors import (
    MethodNotAllowed,
    NotFound,
    Overload,
    RequestError,
    SkysailError,
    Unauthorized,
    UnknownApp,
    UnsupportedMediaType,
    from_code,
    nearest,
)
from skysail.http.answers import encode_prediction, encode_predictions
from skysail.http.bodies import (
    decode_observe,
    decode_predict,
    header_context,
    header_limit,
    is_one,
    observation,
    sole_row,
)
from skysail.http.request import Prepared, Refusal, Request
from skysail.http.response import prepare
from skysail.http.shapes import Observe
from skysail.types import Failure

__all__ = ["DataPlane", "Health"]

_JSON_TYPES = frozenset({b"", b"application/json", b"*/*", b"application/x-www-form-urlencoded"})
_BINARY = b"application/octet-stream"
_MOST_ROUTES = 1024
_T = TypeVar("_T")


class Health(Protocol):
    """What the data plane asks about the frontend it belongs to."""

    def ready(self) -> dict[str, str]:
        """The applications that cannot be answered by a model now, each with why; empty when all is well."""
        ...

    def failing(self) -> str | None:
        """Why the state cannot be written now; `None` while it can."""
        ...

    def describe(self, app: Application) -> dict[str, object]:
        """What `GET /apps/{app}` says."""
        ...


class _Route(NamedTuple):
    """What a request's line and content type ask for; `app` is the name of an application, or empty."""

    act: Callable[[Request, _Route], None]
    app: str
    binary: bool = False
    public: bool = False
    """Whether it needs no token."""


class _Gather(Generic[_T]):
    """Waits for the answers to a list, each in its place; `done` gets them all, at once where the list is empty."""

    def __init__(self, count: int, done: Callable[[list[_T]], None]) -> None:
        self._answers: dict[int, _T] = {}
        self._count = count
        self._done = done
        if count == 0:
            done([])

    def slot(self, index: int) -> Callable[[_T], None]:
        """What is to be called with the answer of this place."""

        def answer(value: _T) -> None:
            self._answers[index] = value
            if len(self._answers) == self._count:
                self._done([self._answers[i] for i in range(self._count)])

        return answer


class DataPlane:
    """Decodes requests into queries and observations, and encodes what becomes of them.

    A handler of `skysail.http.server`: `admit` decides by path and headers alone, before a body is read; `handle` has
    the whole request.
    """

    def __init__(self, engine: Engine, health: Health, *, max_rows: int, token: str | None) -> None:
        self._engine = engine
        self._health = health
        self._max_rows = max_rows
        self._token = None if token is None else b"Bearer " + token.encode()
        self._routes: dict[tuple[bytes, bytes, bytes | None], _Route] = {}
        self._refusals: dict[str, tuple[Failure, Prepared]] = {}

    # -- a handler's two methods --------------------------------------------------------------------------------------

    def admit(self, request: Request) -> Refusal | None:
        """Refuse by path, method, token, application and content type."""
        key = (request.method, request.path, request.headers.get(b"content-type"))
        route = self._routes.get(key)
        if route is None:
            try:
                route = self._find(request)
            except MethodNotAllowed as error:
                return Refusal(error, ((b"Allow", b"GET" if request.method != b"GET" else b"POST"),))
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            self._routes[key] = route
        if self._token is not None and not route.public:
            self._authorize(request, self._token)
        if route.app and route.app not in self._engine.apps:
            raise UnknownApp(f"no application is called {route.app!r} ({nearest(route.app, self._engine.apps)})")
        request.route = route
        return None

    def handle(self, request: Request) -> None:
        """Serve a complete request."""
        route: _Route = request.route
        route.act(request, route)

    def _find(self, request: Request) -> _Route:
        """The route of a path, `/apps/{app}/predict` first."""
        match request.path.split(b"/"):
            case [b"", b"apps", name, b"predict"]:
                _method(request, b"POST")
                return _Route(self._predict, _text(name), binary=_media(request, binary=True))
            case [b"", b"apps", name, b"observe"]:
                _method(request, b"POST")
                return _Route(self._observe, _text(name), binary=_media(request, binary=False))
            case [b"", b"apps", name]:
                _method(request, b"GET")
                return _Route(self._describe, _text(name))
            case [b"", b"v2", b"health", b"live"]:
                _method(request, b"GET")
                return _Route(self._live, "", public=True)
            case [b"", b"v2", b"health", b"ready"]:
                _method(request, b"GET")
                return _Route(self._ready, "", public=True)
        raise NotFound(
            f"no route {request.path.decode('latin-1')!r}; there are POST /apps/APP/predict, POST /apps/APP/observe, "
            "GET /apps/APP, GET /v2/health/live and GET /v2/health/ready"
        )

    def _authorize(self, request: Request, token: bytes) -> None:
        if not hmac.compare_digest(request.header(b"authorization") or b"", token):
            raise Unauthorized("this server wants its token: send the header 'Authorization: Bearer TOKEN'")

    def _app(self, route: _Route) -> Application:
        """The application, which may have gone since the request's headers were read."""
        try:
            return self._engine.apps[route.app]
        except KeyError:
            raise UnknownApp(f"the application {route.app!r} was removed a moment ago") from None

    # -- predict ------------------------------------------------------------------------------------------------------

    def _predict(self, request: Request, route: _Route) -> None:
        app = self._app(route)
        now = self._engine.now()
        if app.overloaded(now, now + app.slo) and self._turn_away(request, app, route.binary):
            return
        if route.binary:
            self._predict_one(
                request,
                app,
                now,
                request.body,
                context=header_context(request.header(b"skysail-context")),
                limit=header_limit(request.header(b"skysail-deadline-ms")),
                binary=True,
            )
            return
        body = decode_predict(request.body, self._max_rows)
        if body.inputs is UNSET:
            self._predict_one(request, app, now, bytes(body.input), context=body.context, limit=body.deadline_ms)  # type: ignore[arg-type]
        else:
            self._predict_many(request, app, now, body.inputs, body.context, body.deadline_ms)

    def _turn_away(self, request: Request, app: Application, binary: bool) -> bool:
        """Refuse one row for which there is no time, unread; but not one that the cache may know, nor a list, whose
        rows are answered one by one.
        """
        body = request.body
        if app.remembers:
            row = body if binary else sole_row(body)
            if row is None or app.knows(row, binary):
                return False
        elif not (binary or is_one(body)):
            return False
        app.turn_away()
        request.give(self._refusal(app))
        return True

    def _refusal(self, app: Application) -> Prepared:
        """The reply to all queries that an application has no time for."""
        failure = app.overload
        known = self._refusals.get(app.name)
        if known is None or known[0] is not failure:
            known = self._refusals[app.name] = (failure, prepare(Overload(failure.message)))
        return known[1]

    def _predict_one(
        self,
        request: Request,
        app: Application,
        now: float,
        row: bytes,
        *,
        context: str | None,
        limit: float | None,
        binary: bool = False,
    ) -> None:
        def done(prediction: Prediction) -> None:
            failure = prediction.failure
            if failure is None:
                request.reply(200, encode_prediction(prediction))
            elif failure is app.overload:
                request.give(self._refusal(app))
            else:
                request.fail(from_code(failure.code, failure.message))

        pending = self._engine.predict(
            app, row, done, binary=binary, context=context, limit=None if limit is None else limit / 1e3, arrived=now
        )
        if pending is not None:
            request.on_gone = pending.cancel

    def _predict_many(
        self, request: Request, app: Application, now: float, rows: list[Raw], context: str | None, limit: float | None
    ) -> None:
        def done(predictions: list[Prediction]) -> None:
            request.reply(200, encode_predictions(predictions))

        gather = _Gather(len(rows), done)
        seconds = None if limit is None else limit / 1e3
        asked = [
            self._engine.predict(app, bytes(row), gather.slot(index), context=context, limit=seconds, arrived=now)
            for index, row in enumerate(rows)
        ]
        pending = [one for one in asked if one is not None]

        def gone() -> None:
            for one in pending:
                one.cancel()

        if pending:
            request.on_gone = gone

    # -- observe ------------------------------------------------------------------------------------------------------

    def _observe(self, request: Request, route: _Route) -> None:
        app = self._app(route)
        body = decode_observe(request.body, self._max_rows)
        if isinstance(body, Observe):
            self._observe_one(request, app, body)
        else:
            self._observe_many(request, app, body)

    def _observe_one(self, request: Request, app: Application, body: Observe) -> None:
        def done(verdict: Verdict) -> None:
            if isinstance(verdict, SkysailError):
                request.fail(verdict)
            else:
                request.reply(200, b'{"accepted":%d,"duplicates":%d,"rejected":[]}' % (verdict, not verdict))

        self._engine.observe(app, _feedback(body), done)

    def _observe_many(self, request: Request, app: Application, items: list[Raw]) -> None:
        def done(verdicts: list[Verdict]) -> None:
            request.reply(200, _tally(verdicts))

        gather = _Gather(len(items), done)
        for index, item in enumerate(items):
            told = gather.slot(index)
            try:
                feedback = _feedback(observation(item))
            except RequestError as error:
                told(error)
            else:
                self._engine.observe(app, feedback, told)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _describe(self, request: Request, route: _Route) -> None:
        request.reply(200, msgspec.json.encode(self._health.describe(self._app(route))))

    def _live(self, request: Request, route: _Route) -> None:
        request.reply(200, b'{"live":true}')

    def _ready(self, request: Request, route: _Route) -> None:
        troubles = self._health.ready()
        body: dict[str, object] = {"live": True, "ready": not troubles}
        if troubles:
            body["apps"] = troubles
        failing = self._health.failing()
        if failing is not None:
            body["state"] = failing
        request.reply(503 if troubles else 200, msgspec.json.encode(body))


def _method(request: Request, method: bytes) -> None:
    if request.method != method:
        raise MethodNotAllowed(
            f"{request.path.decode('latin-1')} takes {method.decode()}, not {request.method.decode('latin-1')}"
        )


def _media(request: Request, *, binary: bool) -> bool:
    """Whether the body is one row's bytes rather than JSON; no other content type will do."""
    kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind in _JSON_TYPES:
        return False
    if binary and kind == _BINARY:
        return True
    known = "application/json or application/octet-stream" if binary else "application/json"
    raise UnsupportedMediaType(f"Content-Type is {kind.decode('latin-1')!r}; send {known}")


def _text(name: bytes) -> str:
    return unquote(name.decode("latin-1"))


def _feedback(body: Observe) -> Feedback:
    return Feedback(
        id=body.prediction_id,
        row=None if body.input is UNSET else bytes(body.input),
        context=body.context,
        label=None if body.label is UNSET else bytes(body.label),
        reward=body.reward,
    )


def _tally(verdicts: list[Verdict]) -> bytes:
    rejected = [
        {"index": i, "code": v.code, "message": v.message}
        for i, v in enumerate(verdicts)
        if isinstance(v, SkysailError)
    ]
    return msgspec.json.encode(
        {
            "accepted": sum(v is True for v in verdicts),
            "duplicates": sum(v is False for v in verdicts),
            "rejected": rejected,
        }
    )
