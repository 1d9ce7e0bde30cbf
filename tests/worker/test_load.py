"""A model made ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skysail.errors import ConfigError, DeployError, MissingExtra, SkysailError
from skysail.runtimes import table
from skysail.worker.load import Loaded, load_model
from skysail.worker.spec import WorkerSpec

SOURCE = """
import numpy as np
calls = []

def sums(batch):
    calls.append((batch.shape, batch.dtype.name))
    return batch.sum(axis=tuple(range(1, batch.ndim)))

def declared(batch):
    return batch
declared.input = "string"

def fussy(batch):
    raise ValueError("expected 3 columns")

def total(batch):
    return [batch.sum()]

def exits(batch):
    raise SystemExit("no")
"""


def load(tmp_path: Path, function: str, **settings: Any) -> Loaded:
    """A function of the file above, made ready."""
    (tmp_path / "loadable.py").write_text(SOURCE)
    path = f"{tmp_path / 'loadable.py'}:{function}"
    spec = {"model": "m", "version": 1, "replica": "m@1/0", "runtime": "python", "path": path, "listen_fd": 0}
    return load_model(WorkerSpec(**{**spec, **settings}))


def test_a_model_of_tensors_is_warmed_up(tmp_path: Path) -> None:
    """One row and two rows of zeros are predicted, `*` axes with length 1."""
    loaded = load(tmp_path, "sums", input="float32[2,*]", finite=False)
    assert str(loaded.input) == "float32[2,*]"
    assert not loaded.input.finite
    assert loaded.runtime.predict.__self__._predict.__globals__["calls"] == [  # type: ignore[attr-defined]
        ((1, 2, 1), "float32"),
        ((2, 2, 1), "float32"),
    ]


@pytest.mark.parametrize(
    ("function", "declared", "input"),
    [("declared", None, "string"), ("declared", "bytes", "bytes"), ("sums", None, "json")],
)
def test_the_input_is_settled(function: str, declared: str | None, input: str, tmp_path: Path) -> None:
    """The config's declaration holds, else the artifact's own, else `json`."""
    assert str(load(tmp_path, function, input=declared).input) == input


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("fussy", r"does not answer 1 row of zeros as float32\[2\]: ValueError: expected 3 columns; if it takes"),
        ("total", r"does not answer 2 rows of zeros as float32\[2\]: ModelError: predict answered 1 outputs for 2"),
        ("exits", "SystemExit: no"),
    ],
)
def test_a_model_that_does_not_answer_is_not_served(function: str, complaint: str, tmp_path: Path) -> None:
    """What the warm-up raises is a deployment error that names the declaration, with the exception as its cause."""
    with pytest.raises(DeployError, match=complaint) as caught:
        load(tmp_path, function, input="float32[2]")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("settings", "error", "complaint"),
    [
        ({"input": "floot32[2]"}, ConfigError, "floot32"),
        ({"runtime": "pyhton"}, ConfigError, "did you mean 'python'"),
        ({"path": "/nowhere/m.py:f"}, DeployError, "/nowhere/m.py"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    settings: dict[str, Any], error: type[SkysailError], complaint: str, tmp_path: Path
) -> None:
    """Errors of the settings come through as they are."""
    with pytest.raises(error, match=complaint):
        load(tmp_path, "sums", **settings)


def test_foreign_errors_are_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else that loading raises becomes a deployment error; a missing extra stays one."""

    def broken(name: str) -> Any:
        raise OSError("libgomp.so.1: cannot open")

    monkeypatch.setattr("skysail.worker.load.runtime_class", broken)
    with pytest.raises(DeployError, match=r"could not be loaded: OSError: libgomp"):
        load(tmp_path, "sums")

    def missing(name: str) -> Any:
        raise MissingExtra("x", "onnx", "onnxruntime")

    monkeypatch.setattr("skysail.worker.load.runtime_class", missing)
    with pytest.raises(MissingExtra):
        load(tmp_path, "sums")
    assert "python" in table.RUNTIMES
