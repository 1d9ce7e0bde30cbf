"""The configuration file's objects in Python: `App`, `Model`, `model` and `serve`.

Options are the file's keys, with the file's spellings (`slo="20ms"`), and are judged by the same code when `serve` or
`build_config` is called. A decorated function is imported by its workers, and the file it is in imports this module: so
nothing heavy is imported here before it is needed.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast, overload

from skysail.errors import ConfigError

if TYPE_CHECKING:
    from skysail.config.resolve import CheckPolicy
    from skysail.config.schema import Config

__all__ = ["App", "AppOptions", "Model", "ModelOptions", "ServerOptions", "build_config", "model", "serve"]


class ModelOptions(TypedDict, total=False):
    """The keys of `[models.NAME]`; those not given, or `None`, have the file's defaults."""

    runtime: str | None
    input: str | None
    finite: bool | None
    replicas: int | None
    timeout: str | None
    threads: int | None
    labels: Sequence[str | int | float | bool] | None
    python: str | Path | None
    cache: bool | None
    batch: Mapping[str, Any] | None


class AppOptions(TypedDict, total=False):
    """The keys of `[apps.NAME]`; those not given, or `None`, have the file's defaults."""

    policy: str | Mapping[str, Any] | None
    slo: str | None
    default: Any
    min_confidence: float | None
    confidence: Mapping[str, Any] | None
    loss: str | Mapping[str, Any] | None
    cache: bool | None
    missing: str | None
    hedge: bool | None
    prefer_in_time: bool | None


class ServerOptions(TypedDict, total=False):
    """The keys of `[server]`; those not given, or `None`, have the file's defaults."""

    host: str | None
    port: int | None
    admin_host: str | None
    admin_port: int | None
    frontends: int | None
    state: str | None
    token_env: str | None
    max_body: int | str | None
    max_rows: int | None
    idle_timeout: str | None
    header_timeout: str | None
    drain: str | None
    cache: Mapping[str, Any] | None
    ledger: Mapping[str, Any] | None


class Model:
    """A named model: an artifact's path, an import path, or a function or class that can be imported.

    Its workers import the function from its file, so a lambda, a function within another, an asynchronous one, or one
    typed into a notebook is refused with `ConfigError`. A model made of a function can still be called as that.
    """

    def __init__(self, name: str, source: str | Path | Callable[..., Any], /, **options: Unpack[ModelOptions]) -> None:
        self.name = name
        self.source = source
        self.options = options
        if callable(source):
            _check_importable(name, source)
            functools.update_wrapper(self, source, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function says, called here and now; no worker is asked."""
        if not callable(self.source):
            raise TypeError(f"model '{self.name}' is not a function but {self.source}; ask a server that serves it")
        return self.source(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.source!r})"


class App:
    """An application: what clients query, answered by one or several models."""

    def __init__(self, name: str, models: Sequence[Model], **options: Unpack[AppOptions]) -> None:
        self.name = name
        self.models = tuple(models)
        self.options = options
        for item in self.models:
            if not isinstance(item, Model):
                raise ConfigError(
                    f"apps.{name}.models: {item!r} is not a model; use skysail.Model(name, path), "
                    "or decorate the function with @skysail.model()"
                )

    def __repr__(self) -> str:
        return f"App({self.name!r}, {list(self.models)!r})"


_T = TypeVar("_T", App, Model)


@overload
def model(function: Callable[..., Any], /) -> Model: ...


@overload
def model(*, name: str | None = None, **options: Unpack[ModelOptions]) -> Callable[[Callable[..., Any]], Model]: ...


def model(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Unpack[ModelOptions]
) -> Model | Callable[[Callable[..., Any]], Model]:
    """A decorator that makes a `Model` of a function `predict(batch) -> outputs`: an output for each row, in order.

    The model's name is the function's, with `-` for `_`, unless one is given.

    >>> @model(input="float32[2]")
    ... def sum_of(batch):
    ...     return batch.sum(axis=1)
    >>> sum_of.name
    'sum-of'
    """

    def decorate(function: Callable[..., Any]) -> Model:
        if inspect.isclass(function):
            raise ConfigError(
                f"class {function.__name__}: workers make the object themselves and so need the class as it is; "
                f'leave it undecorated and write skysail.Model("{name or "name"}", {function.__name__})'
            )
        return Model(name or getattr(function, "__name__", "").replace("_", "-"), function, **options)

    return decorate if function is None else decorate(function)


def build_config(
    *apps: App,
    root: str | Path | None = None,
    check_policy: CheckPolicy | None = None,
    **server: Unpack[ServerOptions],
) -> Config:
    """The configuration of these applications and their models, as checked as if a file had said it.

    Relative paths start from `root`, the current folder by default. Raises `ConfigError` with a line for each problem,
    or `MissingExtra`.
    """
    # Imported here: a worker that imports a decorated function has no use for it.
    from skysail.config.resolve import resolve_config  # noqa: PLC0415

    folder = Path.cwd() if root is None else Path(root).absolute()
    models = _by_name(item for app in apps for item in app.models)
    located = {name: _locate(item) for name, item in models.items()}
    document = {
        "server": _given(server),
        "models": {name: {"path": located[name][0], **_given(item.options)} for name, item in models.items()},
        "apps": {
            app.name: {"models": [item.name for item in app.models], **_given(app.options)}
            for app in _by_name(apps).values()
        },
    }
    config = resolve_config(document, root=folder, check_policy=check_policy)
    rooted = {
        name: replace(item, import_root=located[name][1] or item.import_root) for name, item in config.models.items()
    }
    return replace(config, models=rooted)


def serve(*apps: App, root: str | Path | None = None, **server: Unpack[ServerOptions]) -> int:
    """Serve these applications until SIGTERM or Ctrl-C, as `skysail serve FILE` does; the exit status.

    Call it under `if __name__ == "__main__":`, since workers import the file their function is in.
    """
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if main is not None and main.name == "skysail.worker.main":
        raise ConfigError(
            "skysail.serve() was called by a worker that imports this file for its model; "
            'write it under: if __name__ == "__main__":'
        )
    from skysail.assembly import check_policy  # noqa: PLC0415 - as above

    config = build_config(*apps, root=root, check_policy=check_policy, **server)
    # By name, for the command is on this module's own floor.
    run = cast("Callable[[Config], int]", importlib.import_module("skysail.cli.serve").run)
    return run(config)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, paths as text."""
    return {
        key: str(value) if isinstance(value, Path) else value for key, value in options.items() if value is not None
    }


def _by_name(items: Iterable[_T]) -> dict[str, _T]:
    """The items by name; one that comes twice is one, two of the same name are refused."""
    found: dict[str, _T] = {}
    for item in items:
        if found.setdefault(item.name, item) is not item:
            raise ConfigError(f"'{item.name}' names both {found[item.name]!r} and {item!r}; rename one")
    return found


def _check_importable(name: str, function: Callable[..., Any]) -> None:
    """Raise `ConfigError` for what no other process could import by its name."""
    qualname = getattr(function, "__qualname__", "")
    if "<lambda>" in qualname:
        trouble = "a lambda has no name to import it by; write it as a function at the top of a module"
    elif "." in qualname:
        trouble = f"{qualname} cannot be imported by name; move it to the top level of its module"
    elif not qualname:
        trouble = f"{function!r} has no name to import it by; wrap it in a function at the top level of a module"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        trouble = f"{qualname} is asynchronous; a worker runs one batch at a time, so write it as a plain function"
    else:
        return
    raise ConfigError(f"models.{name}: {trouble}")


def _locate(item: Model) -> tuple[str, str | None]:
    """The path by which workers find a model, and the folder that an import path is looked up in, where it is known."""
    if not callable(item.source):
        return os.fspath(item.source), None
    function = inspect.unwrap(item.source)
    module = sys.modules.get(item.source.__module__)
    file = getattr(module, "__file__", None)
    code = getattr(function, "__code__", None)
    if module is None or file is None or (code is not None and not Path(code.co_filename).is_file()):
        raise ConfigError(
            f"models.{item.name}: function {function.__qualname__} is in no file that a worker could import "
            "(a notebook, a console, or -c); put it into a .py file and import it from there"
        )
    return _importable(module, Path(file).absolute(), item.source.__qualname__)


def _importable(module: ModuleType, file: Path, function: str) -> tuple[str, str | None]:
    """How another process imports a function of a module that this process has loaded from a file."""
    name = module.__name__ if module.__spec__ is None else module.__spec__.name
    source = file.parent if file.name == "__init__.py" else file.with_name(file.name.partition(".")[0])
    parts = name.split(".")
    if name == "__main__" or list(source.parts[-len(parts) :]) != parts:
        return f"{file}:{function}", None
    folder = source.parents[len(parts) - 1]
    # An installed package is found without help, and its folder would hide a model's own environment.
    return f"{name}:{function}", None if folder.name in ("site-packages", "dist-packages") else str(folder)
