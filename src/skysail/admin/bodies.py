"""What requests to the control plane may hold. Tables of settings are read by the code that reads the config file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from skysail.config.resolve import CheckPolicy, resolve_config
from skysail.config.schema import AppConfig, ModelConfig
from skysail.errors import InvalidJSON, InvalidRequest
from skysail.registry.control import LOAD_TIMEOUT
from skysail.registry.registry import Registry

__all__ = ["CurrentBody", "ReplicasBody", "parse", "read_app", "read_deployment", "read_timeout"]

_T = TypeVar("_T")


class CurrentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /models/{m}/current`."""

    version: int
    timeout_s: float = LOAD_TIMEOUT


class ReplicasBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /models/{m}/replicas`."""

    replicas: int


def parse(body: bytes, kind: type[_T]) -> _T:
    """A body as what it must be: `InvalidJSON` or `InvalidRequest`, with the field and what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the body does not fit this route: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidJSON(f"the body is not JSON: {error}") from error


def read_timeout(value: Any) -> float:
    """`timeout_s`: a positive number of seconds."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidRequest(f"timeout_s = {value!r}: give a positive number of seconds")
    return seconds


def read_deployment(name: str, body: bytes, registry: Registry, root: Path) -> tuple[ModelConfig, float]:
    """`POST /models/{m}/versions`: the keys of `[models.NAME]` in the config file, and `timeout_s`.

    What is not given is as in the current version, but for the runtime, which follows from the path. Relative paths
    start at the server's configuration file.
    """
    table = parse(body, dict[str, Any])
    timeout = read_timeout(table.pop("timeout_s", LOAD_TIMEOUT))
    config = resolve_config({"models": {name: table}}, root=root).models[name]
    model = registry.models.get(name)
    if model is not None:
        given = {*table, "path", "runtime", "import_root"}
        config = replace(model.config(model.current), **{key: getattr(config, key) for key in given})
    return config, timeout


def read_app(name: str, body: bytes, registry: Registry, root: Path, check_policy: CheckPolicy) -> AppConfig:
    """`PUT /apps/{a}`: the keys of `[apps.NAME]` in the config file."""
    models = {m: _declaration(model.config(model.current)) for m, model in registry.models.items()}
    document = {"models": models, "apps": {name: parse(body, dict[str, Any])}}
    return resolve_config(document, root=root, check_policy=check_policy).apps[name]


def _declaration(model: ModelConfig) -> Mapping[str, Any]:
    """A table for a model that is there, of which an application needs to know the input and the labels alone."""
    table: dict[str, Any] = {"path": "module:function", "runtime": "python"}
    if model.input is not None:
        table["input"] = model.input
    if model.labels is not None:
        table["labels"] = list(model.labels)
    return table
