"""Clients of a running server, blocking and asynchronous: predict, observe, ask why, and operate it.

Both have the same methods. What a method sends, and how its answer is read, is said once, by the functions at the end
of this file; the two classes differ in how they wait, and the file is long because each method has two signatures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from random import Random
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from skysail.errors import InvalidRequest, SkysailError, Unavailable, from_code

__all__ = ["AsyncClient", "Client", "ObserveResult", "Prediction", "Rejection", "Unreachable"]

_T = TypeVar("_T")

_DATA, _ADMIN = "data", "admin"

_FINISH = 30.0
"""Seconds beyond the loading of a version that a change of it may take: the old one finishes what it has."""

_LONGEST_PAUSE = 10.0
"""Seconds to wait between two attempts at most, whatever the server asks."""

_UNLIMITED = httpx.Limits()
"""A connection for each thread, all kept for the next request. With a limit, httpcore may close a connection that
another thread has just been given.
"""


class Unreachable(Unavailable):
    """Nobody answered at the address, or not in time; what was asked may or may not have happened."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """An answer, as the server gave it."""

    prediction_id: str
    """What feedback refers to."""
    output: Any
    confidence: float | None
    """`None` while nothing is known of the model that answered."""
    agreement: float
    default: bool
    reason: str | None
    """Why the answer is the default; `None` when it is not."""
    models: tuple[str, ...]
    """The versions asked, `name@version`."""
    missing: tuple[str, ...]
    """Those of them that were not used."""
    set: tuple[Any, ...] | None = None
    """Labels that hold the right one as often as the application's `confidence` says; `None` where there is none."""
    interval: tuple[float, float] | None = None
    """The same for numbers: from the least to the greatest."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One observation of a list that was not accepted."""

    index: int
    error: SkysailError


@dataclass(frozen=True, kw_only=True)
class ObserveResult:
    """What became of observations; those accepted are on the server's disk."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class _Call(Generic[_T]):
    """One request, and how its answer is read. `repeatable`: sending it twice is the same as once."""

    method: str
    path: str
    read: Callable[[bytes], _T]
    plane: str = _ADMIN
    body: bytes | None = None
    repeatable: bool = False
    seconds: float | None = None
    """How long to wait for the answer, where not as long as for others."""


class _Base:
    """What both clients share: addresses, the token, when to try again."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        admin_url: str = "http://127.0.0.1:8002",
        *,
        token: str | None = None,
        timeout: float = 10.0,
        attempts: int = 3,
        rng: Random | None = None,
    ) -> None:
        self._urls = {_DATA: url.rstrip("/"), _ADMIN: admin_url.rstrip("/")}
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._attempts = attempts
        self._rng = Random() if rng is None else rng

    def _request(self, call: _Call[Any]) -> dict[str, Any]:
        return {
            "method": call.method,
            "url": self._urls[call.plane] + call.path,
            "content": call.body,
            "headers": self._headers,
            "timeout": self._timeout if call.seconds is None else call.seconds + self._timeout,
        }

    def _pause(self, call: _Call[Any], attempt: int, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds until the next attempt, with jitter so that clients do not come back together; `None`: no more.

        503 says that nothing was done, so anything may be tried again; after a lost connection only what is repeatable.
        """
        if attempt + 1 >= self._attempts:
            return None
        if isinstance(outcome, httpx.TransportError):
            asked = 0.0 if call.repeatable else None
        else:
            asked = _retry_after(outcome) if outcome.status_code == 503 else None
        return None if asked is None else asked + self._rng.uniform(0.0, 0.05 * 2**attempt)

    def _read(self, call: _Call[_T], outcome: httpx.Response | httpx.TransportError) -> _T:
        """The answer's value; raises the error that the server told of, or `Unreachable`."""
        url = self._urls[call.plane]
        if isinstance(outcome, httpx.TransportError):
            what = "did not answer in time" if isinstance(outcome, httpx.TimeoutException) else "cannot be reached"
            told = str(outcome) or type(outcome).__name__
            raise Unreachable(f"{url} {what} ({told}): is a server running there?") from outcome
        try:
            if outcome.is_success:
                return call.read(outcome.content)
            error = _error(_document(outcome.content))
        except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError) as problem:
            what = f"{outcome.status_code}, not in the way of Skysail"
            raise Unreachable(f"{url} answered {what} ({problem!r}): is it another server's address?") from problem
        raise error


class Client(_Base):
    """A blocking client, a context manager; for threads and scripts. Within an event loop use `AsyncClient`.

    `url` is the data plane's address, `admin_url` the control plane's, `timeout` the seconds to wait for an answer.
    What is answered by 503 is sent again, `attempts` times in all at most, with jitter and not before the server's
    `Retry-After`. Errors are raised as the `SkysailError` of their code; nobody at the address is `Unreachable`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        admin_url: str = "http://127.0.0.1:8002",
        *,
        token: str | None = None,
        timeout: float = 10.0,
        attempts: int = 3,
        rng: Random | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(url, admin_url, token=token, timeout=timeout, attempts=attempts, rng=rng)
        self._http = httpx.Client(transport=transport, limits=_UNLIMITED)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _do(self, call: _Call[_T]) -> _T:
        attempt = 0
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.request(**self._request(call))
            except httpx.TransportError as error:
                outcome = error
            pause = self._pause(call, attempt, outcome)
            if pause is None:
                return self._read(call, outcome)
            self._sleep(pause)
            attempt += 1

    # The data plane.

    def predict(
        self, app: str, input: Any, *, context: str | None = None, deadline_ms: float | None = None
    ) -> Prediction:
        """An answer for one input: JSON values, arrays (what has `tolist`), or bytes, which travel in base64.

        `context` names who or what the query is for, where the application learns by it; `deadline_ms` shortens the
        application's objective.
        """
        return self._do(_predict(app, input, context, deadline_ms))

    def predict_many(
        self, app: str, inputs: Iterable[Any], *, context: str | None = None, deadline_ms: float | None = None
    ) -> list[Prediction | SkysailError]:
        """Answers for several inputs, in their order; one that has none has its error in its place."""
        return self._do(_predict_many(app, inputs, context, deadline_ms))

    def observe(
        self,
        app: str,
        prediction_id: str | None = None,
        *,
        label: Any = msgspec.UNSET,
        reward: float | None = None,
        input: Any = msgspec.UNSET,
        context: str | None = None,
    ) -> ObserveResult:
        """Say how a prediction turned out, by `label` or by a `reward` in [0, 1]; it is durable when this returns.

        The prediction is named by its id or, where that was lost, by `input` (with its `context`). By id it is safe to
        repeat: the first observation of an id counts.
        """
        return self._do(_observe_one(app, _observation(prediction_id, label, reward, input, context)))

    def observe_many(self, app: str, observations: Iterable[Mapping[str, Any]]) -> ObserveResult:
        """Observations as in the HTTP interface: each with `label` or `reward`, and `prediction_id` or `input`."""
        return self._do(_observe_many(app, observations))

    # The control plane.

    def why(self, prediction_id: str) -> dict[str, Any]:
        """Who was asked about a prediction, with what probability, what they said, and the feedback on it."""
        return self._do(_get(f"/predictions/{_quoted(prediction_id)}"))

    def status(self, context: str | None = None) -> dict[str, Any]:
        """Everything at a glance, with the weights of a context where one is given."""
        return self._do(_get("/status" if context is None else f"/status?context={_quoted(context)}"))

    def apps(self) -> dict[str, Any]:
        """The applications by name."""
        return self._do(_within("/apps", "apps"))

    def app(self, name: str) -> dict[str, Any]:
        """One application."""
        return self._do(_get(f"/apps/{_quoted(name)}"))

    def put_app(self, name: str, **settings: Any) -> dict[str, Any]:
        """Add or change an application; `settings` are the keys of `[apps.NAME]` in the config file."""
        return self._do(_send("PUT", f"/apps/{_quoted(name)}", settings))

    def delete_app(self, name: str) -> dict[str, Any]:
        """Remove an application."""
        return self._do(_send("DELETE", f"/apps/{_quoted(name)}"))

    def models(self) -> dict[str, Any]:
        """The models by name."""
        return self._do(_within("/models", "models"))

    def model(self, name: str) -> dict[str, Any]:
        """One model, with its versions."""
        return self._do(_get(f"/models/{_quoted(name)}"))

    def deploy(self, model: str, path: str, *, timeout_s: float = 60.0, **settings: Any) -> int:
        """Deploy a version and make it current; its number, once it answers. `DeployError` when it does not.

        `settings` are the keys of `[models.NAME]` in the config file; what is not given is as in the current version.
        """
        return self._do(_deploy(model, path, timeout_s, settings))

    def set_current(self, model: str, version: int, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Make a version current, once it answers."""
        return self._do(_set_current(model, version, timeout_s))

    def rollback(self, model: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Make the version before the current one current."""
        version = _previous(self.model(model))
        return self.set_current(model, version, timeout_s=timeout_s)

    def scale(self, model: str, replicas: int) -> dict[str, Any]:
        """Change the number of a model's replicas."""
        return self._do(_send("PUT", f"/models/{_quoted(model)}/replicas", {"replicas": replicas}, _FINISH))

    def delete_version(self, model: str, version: int) -> dict[str, Any]:
        """Forget a version that is not current."""
        return self._do(_send("DELETE", f"/models/{_quoted(model)}/versions/{version}"))

    def apply(self, config: bytes, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Make the server match a configuration, as `skysail.config.load.dump_config` wrote it; what was done."""
        return self._do(_apply(config, timeout_s))

    def logs(self, process: str) -> list[str]:
        """The last lines that a process printed, such as `svm@1/0`."""
        return self._do(_within(f"/logs/{_quoted(process)}", "lines"))

    def metrics(self) -> str:
        """The page for Prometheus."""
        return self._do(_Call("GET", "/metrics", bytes.decode, repeatable=True))


class AsyncClient(_Base):
    """An asynchronous client, an `async with` context manager, with the methods and arguments of `Client`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        admin_url: str = "http://127.0.0.1:8002",
        *,
        token: str | None = None,
        timeout: float = 10.0,
        attempts: int = 3,
        rng: Random | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(url, admin_url, token=token, timeout=timeout, attempts=attempts, rng=rng)
        self._http = httpx.AsyncClient(transport=transport)
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _do(self, call: _Call[_T]) -> _T:
        attempt = 0
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.request(**self._request(call))
            except httpx.TransportError as error:
                outcome = error
            pause = self._pause(call, attempt, outcome)
            if pause is None:
                return self._read(call, outcome)
            await self._sleep(pause)
            attempt += 1

    # The data plane.

    async def predict(
        self, app: str, input: Any, *, context: str | None = None, deadline_ms: float | None = None
    ) -> Prediction:
        """See `Client.predict`."""
        return await self._do(_predict(app, input, context, deadline_ms))

    async def predict_many(
        self, app: str, inputs: Iterable[Any], *, context: str | None = None, deadline_ms: float | None = None
    ) -> list[Prediction | SkysailError]:
        """See `Client.predict_many`."""
        return await self._do(_predict_many(app, inputs, context, deadline_ms))

    async def observe(
        self,
        app: str,
        prediction_id: str | None = None,
        *,
        label: Any = msgspec.UNSET,
        reward: float | None = None,
        input: Any = msgspec.UNSET,
        context: str | None = None,
    ) -> ObserveResult:
        """See `Client.observe`."""
        return await self._do(_observe_one(app, _observation(prediction_id, label, reward, input, context)))

    async def observe_many(self, app: str, observations: Iterable[Mapping[str, Any]]) -> ObserveResult:
        """See `Client.observe_many`."""
        return await self._do(_observe_many(app, observations))

    # The control plane.

    async def why(self, prediction_id: str) -> dict[str, Any]:
        """See `Client.why`."""
        return await self._do(_get(f"/predictions/{_quoted(prediction_id)}"))

    async def status(self, context: str | None = None) -> dict[str, Any]:
        """See `Client.status`."""
        return await self._do(_get("/status" if context is None else f"/status?context={_quoted(context)}"))

    async def apps(self) -> dict[str, Any]:
        """See `Client.apps`."""
        return await self._do(_within("/apps", "apps"))

    async def app(self, name: str) -> dict[str, Any]:
        """See `Client.app`."""
        return await self._do(_get(f"/apps/{_quoted(name)}"))

    async def put_app(self, name: str, **settings: Any) -> dict[str, Any]:
        """See `Client.put_app`."""
        return await self._do(_send("PUT", f"/apps/{_quoted(name)}", settings))

    async def delete_app(self, name: str) -> dict[str, Any]:
        """See `Client.delete_app`."""
        return await self._do(_send("DELETE", f"/apps/{_quoted(name)}"))

    async def models(self) -> dict[str, Any]:
        """See `Client.models`."""
        return await self._do(_within("/models", "models"))

    async def model(self, name: str) -> dict[str, Any]:
        """See `Client.model`."""
        return await self._do(_get(f"/models/{_quoted(name)}"))

    async def deploy(self, model: str, path: str, *, timeout_s: float = 60.0, **settings: Any) -> int:
        """See `Client.deploy`."""
        return await self._do(_deploy(model, path, timeout_s, settings))

    async def set_current(self, model: str, version: int, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """See `Client.set_current`."""
        return await self._do(_set_current(model, version, timeout_s))

    async def rollback(self, model: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """See `Client.rollback`."""
        version = _previous(await self.model(model))
        return await self.set_current(model, version, timeout_s=timeout_s)

    async def scale(self, model: str, replicas: int) -> dict[str, Any]:
        """See `Client.scale`."""
        return await self._do(_send("PUT", f"/models/{_quoted(model)}/replicas", {"replicas": replicas}, _FINISH))

    async def delete_version(self, model: str, version: int) -> dict[str, Any]:
        """See `Client.delete_version`."""
        return await self._do(_send("DELETE", f"/models/{_quoted(model)}/versions/{version}"))

    async def apply(self, config: bytes, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """See `Client.apply`."""
        return await self._do(_apply(config, timeout_s))

    async def logs(self, process: str) -> list[str]:
        """See `Client.logs`."""
        return await self._do(_within(f"/logs/{_quoted(process)}", "lines"))

    async def metrics(self) -> str:
        """See `Client.metrics`."""
        return await self._do(_Call("GET", "/metrics", bytes.decode, repeatable=True))


def _predict(app: str, input: Any, context: str | None, deadline_ms: float | None) -> _Call[Prediction]:
    def read(data: bytes) -> Prediction:
        return _prediction(_document(data))

    return _query(app, {"input": input}, context, deadline_ms, read)


def _predict_many(
    app: str, inputs: Iterable[Any], context: str | None, deadline_ms: float | None
) -> _Call[list[Prediction | SkysailError]]:
    def read(data: bytes) -> list[Prediction | SkysailError]:
        return [_error(it) if "error" in it else _prediction(it) for it in _document(data)["predictions"]]

    return _query(app, {"inputs": list(inputs)}, context, deadline_ms, read)


def _query(
    app: str, body: dict[str, Any], context: str | None, deadline_ms: float | None, read: Callable[[bytes], _T]
) -> _Call[_T]:
    body |= _given(context=context, deadline_ms=deadline_ms)
    return _Call("POST", f"/apps/{_quoted(app)}/predict", read, plane=_DATA, body=_encode(body))


def _observation(
    prediction_id: str | None, label: Any, reward: float | None, input: Any, context: str | None
) -> dict[str, Any]:
    values = {"label": label, "input": input}
    given = {key: value for key, value in values.items() if value is not msgspec.UNSET}
    return {**_given(prediction_id=prediction_id, reward=reward, context=context), **given}


def _observe(app: str, body: Mapping[str, Any], *, repeatable: bool) -> _Call[ObserveResult]:
    path = f"/apps/{_quoted(app)}/observe"
    return _Call("POST", path, _observed, plane=_DATA, body=_encode(body), repeatable=repeatable)


def _observe_one(app: str, observation: Mapping[str, Any]) -> _Call[ObserveResult]:
    return _observe(app, observation, repeatable="prediction_id" in observation)


def _observe_many(app: str, observations: Iterable[Mapping[str, Any]]) -> _Call[ObserveResult]:
    listed = list(observations)
    return _observe(app, {"observations": listed}, repeatable=all("prediction_id" in it for it in listed))


def _get(path: str) -> _Call[dict[str, Any]]:
    return _Call("GET", path, _document, repeatable=True)


def _within(path: str, key: str) -> _Call[Any]:
    """The one thing in a document."""
    return _Call("GET", path, lambda data: _document(data)[key], repeatable=True)


def _send(
    method: str, path: str, body: Mapping[str, Any] | None = None, seconds: float | None = None
) -> _Call[dict[str, Any]]:
    return _Call(method, path, _document, body=None if body is None else _encode(body), seconds=seconds)


def _deploy(model: str, path: str, timeout_s: float, settings: Mapping[str, Any]) -> _Call[int]:
    def read(data: bytes) -> int:
        version: int = _document(data)["version"]
        return version

    body = _encode({"path": path, "timeout_s": timeout_s, **settings})
    return _Call("POST", f"/models/{_quoted(model)}/versions", read, body=body, seconds=timeout_s + _FINISH)


def _set_current(model: str, version: int, timeout_s: float) -> _Call[dict[str, Any]]:
    body = {"version": version, "timeout_s": timeout_s}
    return _send("PUT", f"/models/{_quoted(model)}/current", body, timeout_s + _FINISH)


def _apply(config: bytes, timeout_s: float) -> _Call[dict[str, Any]]:
    return _Call("POST", f"/apply?timeout_s={timeout_s}", _document, body=config, seconds=timeout_s + _FINISH)


def _previous(model: Mapping[str, Any]) -> int:
    """The version before the current one."""
    before: list[int] = [it["version"] for it in model["versions"] if it["version"] < model["current"]]
    if not before:
        raise InvalidRequest(f"model '{model['name']}' has no version before {model['current']}, its current one")
    return max(before)


def _document(data: bytes) -> dict[str, Any]:
    return msgspec.json.decode(data, type=dict[str, Any])


def _prediction(document: Mapping[str, Any]) -> Prediction:
    given = {it.name: document[it.name] for it in fields(Prediction) if it.default is MISSING}
    listed = [key for key in ("models", "missing", "set", "interval") if document.get(key) is not None]
    return Prediction(**{**given, **{key: tuple(document[key]) for key in listed}})


def _observed(data: bytes) -> ObserveResult:
    document = _document(data)
    rejected = [Rejection(index=it["index"], error=from_code(it["code"], it["message"])) for it in document["rejected"]]
    return ObserveResult(accepted=document["accepted"], duplicates=document["duplicates"], rejected=tuple(rejected))


def _error(document: Mapping[str, Any]) -> SkysailError:
    return from_code(document["error"]["code"], document["error"]["message"])


def _retry_after(response: httpx.Response) -> float:
    """The seconds that the server asks to wait; a date, which it never sends, counts as none."""
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), _LONGEST_PAUSE)
    except ValueError:
        return 0.0


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _quoted(part: str) -> str:
    """A name as a part of an address; a replica's keeps its slash."""
    try:
        return quote(part, safe="@/")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{part!r} is not text that can be sent as UTF-8") from error


def _encode(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"this cannot be sent as JSON: {error}") from error


def _plain(value: Any) -> Any:
    """Arrays and their scalars as lists and numbers, without knowing whose they are."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__}; pass numbers, text, lists, dicts or arrays")
