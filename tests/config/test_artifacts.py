"""Where a model is, how it is run, and what it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from skysail.config.artifacts import (
    RUNTIMES,
    absolute,
    infer_runtime,
    installed,
    locate,
    locate_python,
    require_extra,
)
from skysail.config.schema import ModelConfig
from skysail.errors import MissingExtra
from skysail.runtimes import table


@pytest.mark.parametrize(
    ("path", "runtime"),
    [
        ("m/svm.joblib", "sklearn"),
        ("svm.PKL", "sklearn"),
        ("svm.skops", "sklearn"),
        ("net.onnx", "onnx"),
        ("gbm.txt", "lightgbm"),
        ("gbm.lgb", "lightgbm"),
        ("rules.py:predict", "python"),
        ("rules.py", "python"),
        ("myapp.rules:predict", "python"),
        ("a:b.joblib", "sklearn"),
    ],
)
def test_the_runtime_is_inferred_from_the_artifact(path: str, runtime: str) -> None:
    """A suffix, or the colon of an import path, tells the runtime."""
    assert infer_runtime(path) == runtime
    assert runtime in RUNTIMES


@pytest.mark.parametrize("path", ["model", "model.bin", "pkg.module"])
def test_a_path_that_tells_no_runtime_names_the_remedy(path: str) -> None:
    """An unknown suffix is refused with the runtimes and the suffixes that are known."""
    with pytest.raises(ValueError, match=r"set runtime = one of lightgbm, onnx, python, sklearn.*\.joblib"):
        infer_runtime(path)


def test_paths_start_at_the_root(tmp_path: Path) -> None:
    """A relative path is below the configuration's folder; an absolute one stays."""
    (tmp_path / "m.onnx").touch()
    (tmp_path / "r.py").touch()
    assert locate("x/../m.onnx", "onnx", tmp_path) == str(tmp_path / "m.onnx")
    assert locate(str(tmp_path / "m.onnx"), "onnx", Path("/elsewhere")) == str(tmp_path / "m.onnx")
    assert locate("r.py:predict", "python", tmp_path) == f"{tmp_path}/r.py:predict"
    assert locate("pkg.mod:Class.method", "python", tmp_path) == "pkg.mod:Class.method"
    assert absolute("../a", Path("/b/c")) == Path("/b/a")


@pytest.mark.parametrize(
    ("path", "runtime", "message"),
    [
        ("gone.onnx", "onnx", "no file at {root}/gone.onnx; a relative path starts at"),
        ("folder", "sklearn", "a folder, not a file, at {root}/folder"),
        ("gone.py:predict", "python", "no file at {root}/gone.py"),
        ("r.py", "python", 'names no function; write "r.py:predict"'),
        ("r.py:", "python", 'must end with a function\'s name, such as "r.py:predict"'),
        ("r.py:2x", "python", "must end with a function's name"),
        ("pkg.mod", "python", 'must be "FILE.py:function" or an import path'),
        ("pkg..mod:f", "python", "an import path"),
        ("x" * 300 + ".onnx", "onnx", "nothing readable (File name too long)"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, path: str, runtime: str, message: str) -> None:
    """A missing file, a folder, or a path without a function is refused with the path that was looked at."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "r.py").touch()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        locate(path, runtime, tmp_path)
    assert message.format(root=tmp_path) in str(caught.value)


def test_an_environment_is_named_by_its_interpreter(tmp_path: Path) -> None:
    """The interpreter's path is made absolute without following its link, and must be executable."""
    (tmp_path / "python").symlink_to(sys.executable)
    assert locate_python("python", tmp_path) == str(tmp_path / "python")
    (tmp_path / "text").touch(mode=0o600)
    with pytest.raises(ValueError, match="text is not executable; name the interpreter"):
        locate_python("text", tmp_path)
    with pytest.raises(ValueError, match="no file at"):
        locate_python("gone", tmp_path)


@pytest.mark.parametrize(
    ("runtime", "path", "library"),
    [
        ("sklearn", "/m.joblib", "sklearn"),
        ("sklearn", "/m.skops", "skops"),
        ("onnx", "/m.onnx", "onnxruntime"),
        ("lightgbm", "/m.txt", "lightgbm"),
    ],
)
def test_a_missing_library_names_its_extra(runtime: str, path: str, library: str) -> None:
    """A library that is not installed is an extra to install, but not for a model with an environment of its own."""
    model = ModelConfig(name="m", path=path, runtime=runtime)
    with pytest.raises(MissingExtra, match=f"model 'm' .*needs {library}.*pip install 'skysail\\[{runtime}\\]'"):
        require_extra(model, lambda module: module != library)
    require_extra(model, lambda module: True)
    require_extra(ModelConfig(name="m", path=path, runtime=runtime, python="/env/bin/python"), lambda module: False)


def test_python_models_need_no_extra() -> None:
    """The python runtime runs where nothing is installed."""
    require_extra(ModelConfig(name="m", path="a:b", runtime="python"), lambda module: False)


def test_installed_looks_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is found by its files; nothing of it runs."""
    assert installed(os.__name__)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert not installed("sklearn")
    assert not installed("surely_no_such_module")


def test_the_runtimes_are_those_that_exist() -> None:
    """The names that a file may use are those the worker can load."""
    assert set(RUNTIMES) == set(table.RUNTIMES)
