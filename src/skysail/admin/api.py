"""The routes of the control plane: what each does, and nothing of how a request reaches it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skysail.admin.bodies import CurrentBody, ReplicasBody, parse, read_app, read_deployment, read_timeout
from skysail.admin.links import FrontendLinks, ParentLink
from skysail.admin.views import app_view, apps_view, model_view, models_view
from skysail.config.load import read_config
from skysail.config.resolve import CheckPolicy
from skysail.config.schema import Config
from skysail.errors import ConfigError, InvalidRequest, SkysailError, TooLarge
from skysail.monitoring.merge import merge
from skysail.monitoring.metrics import render_metrics
from skysail.monitoring.status import status
from skysail.monitoring.totals import Totals
from skysail.registry.control import LOAD_TIMEOUT, Control

__all__ = ["AdminApi"]

_MAX_BODY = 16 << 20


class AdminApi:
    """Answers operators from the registry, the parent and the frontends."""

    def __init__(
        self,
        control: Control,
        parent: ParentLink,
        frontends: FrontendLinks,
        config: Config,
        check_policy: CheckPolicy,
    ) -> None:
        self._control = control
        self._parent = parent
        self._frontends = frontends
        self._root = config.root
        self._wanted = config.server.frontends
        self._totals = Totals()
        self._check_policy = check_policy

    def routes(self) -> list[Route]:
        """Every route, for Starlette."""
        table: list[tuple[str, str, Any]] = [
            ("GET", "/", self.index),
            ("GET", "/health", self.health),
            ("GET", "/apps", self.apps),
            ("GET", "/apps/{app}", self.app),
            ("PUT", "/apps/{app}", self.put_app),
            ("DELETE", "/apps/{app}", self.delete_app),
            ("GET", "/models", self.models),
            ("GET", "/models/{model}", self.model),
            ("POST", "/models/{model}/versions", self.deploy),
            ("DELETE", "/models/{model}/versions/{version:int}", self.delete_version),
            ("PUT", "/models/{model}/current", self.put_current),
            ("PUT", "/models/{model}/replicas", self.put_replicas),
            ("POST", "/apply", self.apply),
            ("GET", "/predictions/{id}", self.prediction),
            ("GET", "/status", self.status),
            ("GET", "/metrics", self.metrics),
            ("GET", "/logs/{process:path}", self.logs),
        ]
        methods: dict[str, list[tuple[str, Any]]] = {}
        for method, path, endpoint in table:
            methods.setdefault(path, []).append((method, endpoint))
        return [
            Route(path, _by_method(dict(entries)), methods=[m for m, _ in entries]) for path, entries in methods.items()
        ]

    async def index(self, request: Request) -> Response:
        """The routes there are."""
        return _json({"routes": [f"{m} {route.path}" for route in self.routes() for m in sorted(route.methods or ())]})

    async def health(self, request: Request) -> Response:
        """That this process lives; whether applications can be answered is `/status`'s to say, or the data plane's."""
        return _json({"live": True})

    # Applications.

    async def apps(self, request: Request) -> Response:
        """All applications."""
        return _json({"apps": apps_view(self._control.registry)})

    async def app(self, request: Request) -> Response:
        """One application."""
        return _json(app_view(self._control.registry.app(request.path_params["app"]).config))

    async def put_app(self, request: Request) -> Response:
        """Add or change an application."""
        body = await _body(request)
        name = request.path_params["app"]
        config = read_app(name, body, self._control.registry, self._root, self._check_policy)
        await self._control.put_app(config)
        return _json(app_view(config))

    async def delete_app(self, request: Request) -> Response:
        """Remove an application."""
        await self._control.delete_app(request.path_params["app"])
        return _json({"deleted": request.path_params["app"]})

    # Models.

    async def models(self, request: Request) -> Response:
        """All models."""
        return _json({"models": models_view(self._control.registry)})

    async def model(self, request: Request) -> Response:
        """One model."""
        return self._model(request.path_params["model"])

    def _model(self, name: str) -> Response:
        return _json(model_view(name, self._control.registry.model(name)))

    async def deploy(self, request: Request) -> Response:
        """Deploy a version; answers when it is current, or why it is not."""
        name = request.path_params["model"]
        config, timeout = read_deployment(name, await _body(request), self._control.registry, self._root)
        number = await self._control.deploy(config, within=timeout)
        return _json({"model": name, "version": number})

    async def put_current(self, request: Request) -> Response:
        """Switch or roll back to a version; answers when it is current."""
        body = parse(await _body(request), CurrentBody)
        name = request.path_params["model"]
        await self._control.switch(name, body.version, within=read_timeout(body.timeout_s))
        return self._model(name)

    async def put_replicas(self, request: Request) -> Response:
        """Change the number of replicas; answers when it is decided, and those that go have finished."""
        body = parse(await _body(request), ReplicasBody)
        await self._control.scale(request.path_params["model"], body.replicas)
        return self._model(request.path_params["model"])

    async def delete_version(self, request: Request) -> Response:
        """Forget a version that is not current."""
        name, number = request.path_params["model"], request.path_params["version"]
        await self._control.delete_version(name, number)
        return self._model(name)

    # Files.

    async def apply(self, request: Request) -> Response:
        """Make the server match a resolved configuration, as the command line sends it; what was done, and what not."""
        within = read_timeout(request.query_params.get("timeout_s", LOAD_TIMEOUT))
        file = read_config(await _body(request))
        for app in file.apps.values():
            self._check_policy(app)
            unknown = [name for name in app.models if name not in file.models]
            if unknown:
                raise ConfigError(f"apps.{app.name}.models: {', '.join(unknown)} is not among the models of the file")
        return _json(asdict(await self._control.apply(file, wholly=True, within=within)))

    # What runs.

    async def prediction(self, request: Request) -> Response:
        """Why a prediction was as it was."""
        return _json(await self._frontends.ask_any("why", id=request.path_params["id"]))

    async def status(self, request: Request) -> Response:
        """Everything at a glance; with `?context=`, the weights that this context has."""
        document, *_ = await self._status()
        context = request.query_params.get("context")
        if context is not None:
            if not 1 <= len(context.encode()) <= 256:
                raise InvalidRequest("context: give 1 to 256 bytes")
            await asyncio.gather(*[self._weigh(n, app, context) for n, app in document["apps"].items()])
            document["context"] = context
        return _json(document)

    async def metrics(self, request: Request) -> Response:
        """The same for Prometheus."""
        page = render_metrics(*await self._status())
        return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def logs(self, request: Request) -> Response:
        """The last lines that a process of the server printed."""
        name = request.path_params["process"]
        return _json({"process": name, "lines": await self._parent.logs(name)})

    async def _status(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The document, and what frontends count: those that run, and all that ever ran."""
        snapshots, children = await asyncio.gather(self._frontends.ask("stats"), self._parent.children())
        counted = merge(snapshots)
        document = status(
            apps=apps_view(self._control.registry),
            models=models_view(self._control.registry),
            children=children,
            failures=self._control.readiness.failures,
            counted=counted,
            frontends=len(self._frontends),
            wanted=self._wanted,
        )
        return document, counted, self._totals.add(snapshots)

    async def _weigh(self, name: str, app: dict[str, Any], context: str) -> None:
        try:
            app["weights"] = await self._frontends.ask_any("weights", app=name, context=context)
        except SkysailError:
            app["weights"] = None


def _by_method(endpoints: dict[str, Any]) -> Any:
    """One endpoint for a path's methods, so that Starlette's 405 names all of them."""

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        response: Response = await endpoints[method](request)
        return response

    return endpoint


async def _body(request: Request) -> bytes:
    """The body, if it is not too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise TooLarge(f"the body is over {_MAX_BODY} bytes")
    return bytes(body)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
