"""From a document of plain values, read from a file or built by `skysail.api`, to a checked `Config`.

`skysail.config.keys` judges each key alone; what is judged here takes several keys, or the disk. All that is wrong is
reported at once, each line naming the key, its value and the remedy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from skysail.config.artifacts import infer_runtime, locate, locate_python, require_extra
from skysail.config.code import code_digest
from skysail.config.keys import APP, MODEL, SERVER
from skysail.config.schema import (
    AppConfig,
    BatchConfig,
    CacheConfig,
    ConfidenceConfig,
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
)
from skysail.config.section import Problems, dotted, shown
from skysail.errors import ConfigError, nearest

__all__ = ["CheckPolicy", "resolve_config"]

CheckPolicy = Callable[[AppConfig], None]
"""Raises `ConfigError` where an application's policy, loss, or a parameter of theirs is unknown or wrong."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SECTIONS = ("server", "models", "apps")
_NO_MEAN = ("zero_one", "top_k")
"""Losses of outputs between which there is nothing: classes, rankings."""


def resolve_config(
    document: Mapping[str, Any],
    *,
    root: Path,
    source: str = "",
    check_policy: CheckPolicy | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration that a document of plain values says.

    `root` is the absolute folder that relative paths start from, `source` the file named in messages. Raises
    `ConfigError` with one line for each problem, or, where nothing else is wrong, `MissingExtra` for a library that is
    not installed.
    """
    problems = Problems(source)
    top = _sections(document, problems)
    server = _server(top["server"], problems, environ)
    for kind in ("models", "apps"):
        _check_names(kind, top[kind], top["models"], problems)
    found = [_model(name, raw, root, problems) for name, raw in top["models"].items()]
    models = {model.name: model for model in found if model is not None}
    listed = [_app(name, raw, root, problems) for name, raw in top["apps"].items()]
    apps = {app.name: app for app in listed if app is not None}
    for app in apps.values():
        _check_app(app, models, tuple(top["models"]), problems, check_policy)
    problems.raise_found()
    for model in models.values():
        require_extra(model)
    return Config(server=server, models=models, apps=apps, root=root)


def _sections(document: Mapping[str, Any], problems: Problems) -> dict[str, Mapping[str, Any]]:
    """The three sections, empty where nothing, or no table, was given."""
    tables: dict[str, Mapping[str, Any]] = {section: {} for section in _SECTIONS}
    for key, value in document.items():
        if key not in tables:
            problems.add(f"{dotted('', key)}: unknown section ({nearest(key, tables)})")
        elif not isinstance(value, Mapping):
            problems.add(f"{key} = {shown(value)}: must be a table; write [{key}{'' if key == 'server' else '.NAME'}]")
        else:
            tables[key] = value
    return tables


def _check_names(kind: str, names: Mapping[Any, Any], models: Mapping[str, Any], problems: Problems) -> None:
    for name in names:
        where = dotted(kind, name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.add(f"{where}: not a name; use a-z, 0-9 and . _ - only, with a letter or digit first")
        elif kind == "apps" and name in models:
            problems.add(f"{where}: a model has this name too, and the two share one namespace; rename one")


def _server(raw: Any, problems: Problems, environ: Mapping[str, str]) -> ServerConfig:
    """The process-wide settings; the defaults, where a problem was noted."""
    values = SERVER.read("server", raw, problems)
    if values is None:
        return ServerConfig()
    for key, kind in (("cache", CacheConfig), ("ledger", LedgerConfig)):
        if key in values:
            values[key] = kind(**values[key])
    server = ServerConfig(**values)
    if server.token_env is not None and not environ.get(server.token_env):
        problems.add(
            f"server.token_env = {shown(server.token_env)}: no such environment variable, or it is empty; "
            "set it to the token, or remove the key"
        )
    if server.frontends > 1 and server.state.startswith("memory:"):
        problems.add(
            f"server.frontends = {server.frontends}: they share what they learn by way of the state, which memory:// "
            'does not; write state = "sqlite:///FILE", or have one frontend'
        )
    if server.token_env is None and not _loopback(server.admin_host):
        problems.add(
            f"server.admin_host = {shown(server.admin_host)}: the control plane leaves loopback only with a token; "
            'set token_env to the environment variable that holds it, or use "127.0.0.1"'
        )
    if server.port == server.admin_port != 0 and _overlap(server.host, server.admin_host):
        problems.add(f"server.admin_port = {server.admin_port}: is the data plane's port too; choose another")
    return server


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses cannot both have one port."""
    return one == other or {one, other} & {"0.0.0.0", "::"} != set()  # noqa: S104 - compared, not bound


def _model(name: str, raw: Any, root: Path, problems: Problems) -> ModelConfig | None:
    where = dotted("models", name)
    values = MODEL.read(where, raw, problems)
    if values is None:
        return None
    before = len(problems.found)
    path = values["path"]
    try:
        values.setdefault("runtime", None)
        values["runtime"] = values["runtime"] or infer_runtime(path)
        values["path"] = locate(path, values["runtime"], root)
    except ValueError as error:
        problems.add(f"{where}.path = {shown(path)}: {error}")
    if "python" in values:
        try:
            values["python"] = locate_python(values["python"], root)
        except ValueError as error:
            problems.add(f"{where}.python = {shown(values['python'])}: {error}")
    if "batch" in values:
        values["batch"] = BatchConfig(**values["batch"])
    return ModelConfig(name=name, import_root=str(root), **values) if len(problems.found) == before else None


def _app(name: str, raw: Any, root: Path, problems: Problems) -> AppConfig | None:
    values = APP.read(dotted("apps", name), raw, problems)
    if values is None:
        return None
    for key in ("policy", "loss"):
        if key in values:
            values[key], values[f"{key}_params"] = values[key]
    if "confidence" in values:
        values["confidence"] = ConfidenceConfig(**values["confidence"])
    code = code_digest([values[key] for key in ("policy", "loss") if key in values], root)
    return AppConfig(name=name, import_root=str(root), code=code, **values)


def _check_app(
    app: AppConfig,
    models: Mapping[str, ModelConfig],
    known: tuple[str, ...],
    problems: Problems,
    check_policy: CheckPolicy | None,
) -> None:
    """What one key alone does not tell."""
    where = dotted("apps", app.name)
    for model in app.models:
        if model not in known:
            problems.add(f"{where}.models: model '{model}' is unknown ({nearest(model, known)})")
    declared = {name: models[name].input for name in app.models if name in models}
    inputs = {name: declaration for name, declaration in declared.items() if declaration not in (None, "json")}
    if len(set(inputs.values())) > 1:
        listed = ", ".join(f"{name} {declaration}" for name, declaration in inputs.items())
        problems.add(f'{where}.models: inputs differ ({listed}); declare the same input for all of them, or "json"')
    labels = {name: list(models[name].labels or ()) for name in app.models if name in models and models[name].labels}
    longest = max(labels.values(), key=len, default=[])
    if any(declared != longest[: len(declared)] for declared in labels.values()):
        listed = ", ".join(f"{name} {shown(declared)}" for name, declared in labels.items())
        problems.add(f"{where}.models: labels differ ({listed}); declare them in one order, new ones last")
    if app.min_confidence > 0 and app.default is None:
        problems.add(f"{where}.min_confidence = {app.min_confidence:g}: needs a default to answer with; set default")
    if app.missing == "mean" and app.loss in _NO_MEAN:
        problems.add(
            f'{where}.missing = "mean": the loss "{app.loss}" is for outputs that have no mean; use "drop", or a loss '
            "for numbers or probabilities"
        )
    if check_policy is not None:
        try:
            check_policy(app)
        except ConfigError as error:
            problems.add(f"{where}: {error.message}")
