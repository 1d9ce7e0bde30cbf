"""Models that are plain Python: a function of a batch, or an object with `predict`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from skysail.errors import DeployError, nearest
from skysail.runtimes.base import Artifact, Outputs, Runtime, existing_file

__all__ = ["PythonRuntime"]


class PythonRuntime(Runtime):
    """A function `predict(batch) -> outputs` or an object with such a method: `FILE.py:name` or `module:name`.

    A class is instantiated once, without arguments, when the worker starts: there is the place to load weights. An
    attribute `input`, of the function or object, is its declaration where the config file makes none. A method
    `close` is called at the end. Not for `async` functions: a worker predicts one batch at a time and has nothing
    else to do meanwhile.
    """

    name = "python"

    def __init__(self, target: Any, predict: Callable[[Any], Outputs]) -> None:
        self._target = target
        self._predict = predict

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """Import the module, and make the model where a class is named."""
        where, colon, attribute = artifact.path.rpartition(":")
        if not colon or not where or not attribute:
            raise DeployError(
                f"path = {artifact.path!r} does not name a function; write FILE.py:function or package.module:function"
            )
        module = _module(where, artifact)
        target = _attribute(module, attribute, artifact.path)
        if inspect.isclass(target):
            target = _made(target, artifact.path)
        return cls(target, _function(target, artifact.path))

    @property
    def input(self) -> str | None:
        """The `input` attribute of the function or object."""
        declared = getattr(self._target, "input", None)
        return declared if isinstance(declared, str) else None

    def predict(self, batch: Any) -> Outputs:
        """What the function answers."""
        return self._predict(batch)

    def close(self) -> None:
        """Call the object's own `close`, once, where it has one."""
        close = getattr(self._target, "close", None)
        self._target = None
        if callable(close):
            close()


def _module(where: str, artifact: Artifact) -> ModuleType:
    """The module a path names, whatever importing it may raise turned into a `DeployError`."""
    if artifact.import_root:
        sys.path.insert(0, artifact.import_root)
    try:
        if where.endswith(".py"):
            return _module_of_file(existing_file(Artifact(path=where)))
        return import_module(where)
    except DeployError:
        raise
    except ModuleNotFoundError as error:
        raise DeployError(
            f"{artifact.path}: no module named {error.name!r} in {artifact.import_root or 'the path'} or among what "
            f"{sys.executable} has installed; install it there, or name the model's own environment by python = ..."
        ) from error
    except BaseException as error:  # a module that exits on import must not end the worker without a word
        raise DeployError(f"{artifact.path} cannot be imported: {type(error).__name__}: {error}") from error


def _module_of_file(path: Path) -> ModuleType:
    """A file imported as a module, under its own name where that is free, its folder on the path for its neighbours."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names or not name.isidentifier():
        name = f"skysail_model_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DeployError(f"model file {path} is not Python source; name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, attribute: str, path: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [known for known in vars(module) if not known.startswith("_")]
            raise DeployError(
                f"{path}: {module.__name__} has no {attribute!r} ({nearest(attribute, public)})"
            ) from None
    return found


def _made(target: Any, path: str) -> Any:
    try:
        return target()
    except BaseException as error:  # as for a module
        raise DeployError(f"{path}: making the model raised {type(error).__name__}: {error}") from error


def _function(target: Any, path: str) -> Callable[[Any], Outputs]:
    """The function that predicts: a `predict` method, or the target itself."""
    predict = getattr(target, "predict", target)
    if not callable(predict):
        raise DeployError(
            f"{path} is a {type(target).__name__}; name a function predict(batch), or a class with that method"
        )
    for form in (predict, inspect.unwrap(predict), type(predict).__call__):
        if inspect.iscoroutinefunction(form) or inspect.isasyncgenfunction(form) or inspect.isgeneratorfunction(form):
            raise DeployError(
                f"{path} is asynchronous or a generator; make it a plain function that returns a list, "
                "one output for each row"
            )
    found: Callable[[Any], Outputs] = predict
    return found
