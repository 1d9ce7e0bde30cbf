"""Where a model is: its runtime inferred, its path made absolute, and what it needs checked to be there."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path

from skysail.config.schema import ModelConfig
from skysail.errors import MissingExtra

__all__ = ["RUNTIMES", "absolute", "infer_runtime", "installed", "locate", "locate_python", "require_extra"]

RUNTIMES: dict[str, tuple[str, ...]] = {
    "lightgbm": (".txt", ".lgb"),
    "onnx": (".onnx",),
    "python": (".py",),
    "sklearn": (".joblib", ".pkl", ".skops"),
}
"""The runtimes, each with the suffixes of the files it is taken to run; the extra that a runtime needs has its name."""

_LIBRARIES = {"lightgbm": ("lightgbm",), "onnx": ("onnxruntime",), "python": (), "sklearn": ("sklearn", "joblib")}
_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def infer_runtime(path: str) -> str:
    """The runtime of an artifact by its suffix; `ValueError` where that tells nothing.

    >>> infer_runtime("models/svm.joblib"), infer_runtime("rules.py:predict"), infer_runtime("my.rules:predict")
    ('sklearn', 'python', 'python')
    """
    suffix = Path(path).suffix.lower()
    for runtime, suffixes in RUNTIMES.items():
        if suffix in suffixes:
            return runtime
    if ":" in path:
        return "python"
    known = ", ".join(suffix for suffixes in RUNTIMES.values() for suffix in suffixes)
    raise ValueError(f"tells no runtime; set runtime = one of {', '.join(RUNTIMES)}, or use a known suffix ({known})")


def locate(path: str, runtime: str, root: Path) -> str:
    """The absolute path of a model that exists, or its import path; `ValueError` says what is not there.

    An import path is looked up by the worker, in the model's own environment, and so is not checked here.
    """
    if runtime != "python":
        return str(_existing(path, root))
    file, _, function = path.rpartition(":")
    if file.lower().endswith(".py"):
        if not all(part.isidentifier() for part in function.split(".")):
            raise ValueError(f'must end with a function\'s name, such as "{file}:predict"')
        return f"{_existing(file, root)}:{function}"
    if path.lower().endswith(".py"):
        raise ValueError(f'names no function; write "{path}:predict" for its function predict')
    if not _IMPORT_PATH.fullmatch(path):
        raise ValueError('must be "FILE.py:function" or an import path "package.module:function"')
    return path


def locate_python(path: str, root: Path) -> str:
    """The absolute path of an environment's interpreter; `ValueError` where there is none.

    Links are not followed: an interpreter finds its environment by the path it was started with.
    """
    file = _existing(path, root)
    if not os.access(file, os.X_OK):
        raise ValueError(f"{file} is not executable; name the interpreter of an environment, such as .venv/bin/python")
    return str(file)


def absolute(path: str, root: Path) -> Path:
    """A path with the root before it unless it is absolute, without `..`; links are not followed."""
    return Path(os.path.normpath(root / path))


def installed(module: str) -> bool:
    """Whether a top-level module can be imported here; it is not imported."""
    return importlib.util.find_spec(module) is not None


def require_extra(model: ModelConfig, installed: Callable[[str], bool] = installed) -> None:
    """Raise `MissingExtra` where the model runs in the server's own environment and its library is not there."""
    libraries = _LIBRARIES[model.runtime]
    if model.path.lower().endswith(".skops"):
        libraries += ("skops",)
    for library in libraries:
        if model.python is None and not installed(library):
            raise MissingExtra(f"model '{model.name}' (runtime {model.runtime})", model.runtime, library)


def _existing(path: str, root: Path) -> Path:
    """The absolute path of a file that is there."""
    file = absolute(path, root)
    try:
        if file.is_file():
            return file
        found = "a folder, not a file," if file.is_dir() else "no file"
    except OSError as error:
        found = f"nothing readable ({error.strerror})"
    raise ValueError(f"{found} at {file}; a relative path starts at the configuration's own folder")
