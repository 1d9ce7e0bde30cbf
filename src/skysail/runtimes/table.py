"""The runtimes by name, each imported only when it is asked for: its file needs libraries that others do not."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from skysail.errors import ConfigError, nearest
from skysail.runtimes.base import Runtime

__all__ = ["RUNTIMES", "runtime_class"]

RUNTIMES: Final = {
    "lightgbm": "skysail.runtimes.lightgbm:LightGBMRuntime",
    "onnx": "skysail.runtimes.onnx:OnnxRuntime",
    "python": "skysail.runtimes.python:PythonRuntime",
    "sklearn": "skysail.runtimes.sklearn:SklearnRuntime",
}
"""Where each runtime is."""


def runtime_class(name: str) -> type[Runtime]:
    """The runtime with this name; `MissingExtra` names what to install where its libraries are not."""
    try:
        module, _, attribute = RUNTIMES[name].partition(":")
    except KeyError:
        raise ConfigError(f"runtime = {name!r} is unknown ({nearest(name, RUNTIMES)})") from None
    found: type[Runtime] = getattr(import_module(module), attribute)
    return found
