"""Skysail: many models behind one endpoint, inside a latency budget, learning from feedback which of them to trust.

The names below are loaded when they are first used: workers and frontends import parts of this package, not all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skysail.api import App, Model, model, serve
    from skysail.client import AsyncClient, Client, Prediction
    from skysail.config.load import load_config
    from skysail.errors import ConfigError, RequestError, ServingError, SkysailError
    from skysail.selection.base import Policy

__all__ = [
    "App",
    "AsyncClient",
    "Client",
    "ConfigError",
    "Model",
    "Policy",
    "Prediction",
    "RequestError",
    "ServingError",
    "SkysailError",
    "load_config",
    "model",
    "serve",
]

_HOMES = {
    "skysail.api": ("App", "Model", "model", "serve"),
    "skysail.client": ("AsyncClient", "Client", "Prediction"),
    "skysail.config.load": ("load_config",),
    "skysail.errors": ("ConfigError", "RequestError", "ServingError", "SkysailError"),
    "skysail.selection.base": ("Policy",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module 'skysail' has no attribute '{name}'; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
