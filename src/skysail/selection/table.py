"""Names to classes: the policies and losses that come with Skysail, and one's own by import path.

Ours are reached by the same kind of path as a user's, and loaded when first asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from skysail.config.code import source_file
from skysail.errors import ConfigError, nearest
from skysail.selection.base import Loss, Policy

__all__ = ["LOSSES", "POLICIES", "make_loss", "make_policy"]

POLICIES = {
    "single": "skysail.selection.single:Single",
    "static": "skysail.selection.static:Static",
    "exp3": "skysail.selection.exp3:Exp3",
    "exp3ix": "skysail.selection.exp3ix:Exp3IX",
    "thompson": "skysail.selection.thompson:Thompson",
    "epsilon_greedy": "skysail.selection.epsilon_greedy:EpsilonGreedy",
    "ucb1": "skysail.selection.ucb1:UCB1",
    "vote": "skysail.selection.vote:Vote",
    "exp4": "skysail.selection.exp4:Exp4",
    "adahedge": "skysail.selection.adahedge:AdaHedge",
    "stacking": "skysail.selection.stacking:Stacking",
}
"""The policies by name."""

LOSSES = {
    "zero_one": "skysail.selection.losses:ZeroOne",
    "absolute": "skysail.selection.losses:Absolute",
    "squared": "skysail.selection.losses:Squared",
    "log": "skysail.selection.scores:Log",
    "top_k": "skysail.selection.scores:TopK",
}
"""The losses by name."""


_SOURCE = "__skysail_source__"
"""In a module of one's own: the text that it was run from."""


def make_policy(
    name: str,
    params: Mapping[str, Any],
    *,
    loss: Loss,
    models: tuple[str, ...],
    import_root: str = "",
) -> Policy:
    """A policy by name or import path (`module:Class`, `FILE.py:Class`), its parameters as the config file has them.

    `models` are the application's, in order; `import_root` is the folder that import paths are looked up in first.
    Whatever is wrong with the name, the class or a parameter is a `ConfigError`.
    """
    cls = _find("policy", name, POLICIES, import_root)
    if not issubclass(cls, Policy):
        raise ConfigError(f"policy = '{name}' is not a policy: derive {cls.__name__} from skysail.Policy")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise ConfigError(f"policy = '{name}' is not finished: define {missing} in {cls.__name__}")
    if not isinstance(getattr(cls, "name", None), str):
        raise ConfigError(f"policy = '{name}' has no name: set `name` in {cls.__name__}; its state is kept under it")
    _check_keys(f"policy '{name}'", params, [f.name for f in fields(cls) if f.init and f.name != "loss"])
    return cast("Policy", _build(f"policy '{name}'", cls, {**cls.fields_of(params, models), "loss": loss}))


def make_loss(
    name: str, params: Mapping[str, Any], *, labels: Sequence[Any] | None = None, import_root: str = ""
) -> Loss:
    """A loss by name or import path, with its parameters as the config file has them; else a `ConfigError`.

    `labels` are those that the application's models declare, for a loss that takes `labels` and was given none.
    """
    cls = _find("loss", name, LOSSES, import_root)
    known = [p for p in inspect.signature(cls).parameters if p not in ("args", "kwargs")]
    _check_keys(f"loss '{name}'", params, known)
    declared = {} if labels is None or "labels" not in known else {"labels": labels}
    loss = _build(f"loss '{name}'", cls, {**declared, **params})
    if not isinstance(loss, Loss):
        parts = ("name", "check_label", "loss", "agree", "combine")
        missing = ", ".join([part for part in parts if not hasattr(loss, part)])
        raise ConfigError(f"loss = '{name}' is not a loss: define {missing} in {cls.__name__}")
    return loss


def _build(what: str, cls: type, params: Mapping[str, Any]) -> Any:
    try:
        return cls(**params)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} refuses its parameters: {error}") from error


def _check_keys(what: str, params: Mapping[str, Any], known: list[str]) -> None:
    for key in params:
        if key not in known:
            raise ConfigError(f"{what} has no parameter '{key}' ({nearest(key, known)})")


def _find(kind: str, name: str, table: Mapping[str, str], import_root: str) -> Any:
    """The class that a name or an import path stands for."""
    path = table.get(name, name)
    source, colon, attribute = path.rpartition(":")
    if not colon:
        raise ConfigError(
            f"{kind} = '{name}' is unknown ({nearest(name, table)}); your own is 'module:Class' or 'FILE.py:Class'"
        )
    module = _import(kind, name, source, import_root)
    found = getattr(module, attribute, None)
    if found is None:
        raise ConfigError(f"{kind} = '{name}': {source} has no '{attribute}' ({nearest(attribute, vars(module))})")
    if not isinstance(found, type):
        raise ConfigError(f"{kind} = '{name}': '{attribute}' is not a class")
    return found


def _import(kind: str, name: str, source: str, import_root: str) -> ModuleType:
    try:
        file = source_file(f"{source}:", import_root)
        if source.endswith(".py") and file is not None:
            digest = blake2b(str(file.resolve()).encode(), digest_size=6).hexdigest()
            return _newest(f"skysail_own_{file.stem}_{digest}", file)
        if import_root and import_root not in sys.path:
            sys.path.insert(0, import_root)
        if file is None:
            return importlib.import_module(source)
        package, _, child = source.rpartition(".")
        parent = importlib.import_module(package) if package else None
        module = _newest(source, file)
        if parent is not None:
            setattr(parent, child, module)
        return module
    except Exception as error:  # a user's module may raise anything at all
        raise ConfigError(f"{kind} = '{name}': {source} cannot be imported: {type(error).__name__}: {error}") from error


def _newest(name: str, file: Path) -> ModuleType:
    """The module of a file as the file is now: the same one, and so the same classes, until the file changes.

    Another that has its name already, such as one of Python's own, is left alone. It is run from its source: Python's
    cache of bytecode knows files by their second and their size, and would take one that was changed twice in a second
    for what it was.
    """
    source, held = file.read_bytes(), sys.modules.get(name)
    if held is not None and (
        getattr(held, "__file__", None) != str(file) or vars(held).setdefault(_SOURCE, source) == source
    ):
        return held
    spec = importlib.util.spec_from_file_location(name, file) if held is None else held.__spec__
    if spec is None:
        raise ImportError(f"{file} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    vars(module)[_SOURCE] = source
    try:
        exec(compile(source, file, "exec"), vars(module))  # noqa: S102 - the operator names the file to be run
    except BaseException:
        if held is None:
            del sys.modules[name]
        else:
            sys.modules[name] = held
        raise
    return module
