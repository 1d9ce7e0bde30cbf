from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from skysail.config.schema import ModelConfig
from skysail.errors import DeployError
from skysail.registry.artifacts import Artifacts

if TYPE_CHECKING:
    from pathlib import Path


def onnx(path: Path) -> ModelConfig:
    """A model that is one file."""
    return ModelConfig(name="m", path=str(path), runtime="onnx")


def test_a_copy_is_kept_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """The original may change or go; the same bytes are one copy, other bytes another."""
    artifacts = Artifacts(tmp_path / "kept")
    source = tmp_path / "m.onnx"
    source.write_bytes(b"one")
    digest, first = artifacts.keep(onnx(source))
    assert digest == hashlib.sha256(b"one").hexdigest()
    assert first == str(tmp_path / "kept" / f"{digest}.onnx")
    assert artifacts.keep(onnx(source)) == (digest, first)
    source.write_bytes(b"two")
    _, second = artifacts.keep(onnx(source))
    source.unlink()
    assert [path.read_bytes() for path in sorted((tmp_path / "kept").iterdir())] == sorted(
        [b"one", b"two"], key=_digest
    )
    artifacts.sweep([second])
    assert [str(path) for path in (tmp_path / "kept").iterdir()] == [second]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_python_is_not_copied_but_its_file_is_watched(tmp_path: Path) -> None:
    """Code stays where its imports are; a changed file has another digest, an import path none."""
    artifacts = Artifacts(tmp_path / "kept")
    code = tmp_path / "rules.py"
    code.write_text("def predict(batch): return batch")
    by_file = ModelConfig(name="m", path=f"{code}:predict", runtime="python")
    digest, path = artifacts.keep(by_file)
    assert path == f"{code}:predict"
    code.write_text("def predict(batch): return []")
    assert artifacts.keep(by_file)[0] not in ("", digest)
    assert artifacts.keep(ModelConfig(name="m", path="pkg.rules:predict", runtime="python")) == (
        "",
        "pkg.rules:predict",
    )
    artifacts.sweep([])
    assert not (tmp_path / "kept").exists()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file is a `DeployError` that names the model and the file, and leaves nothing behind."""
    artifacts = Artifacts(tmp_path / "kept")
    with pytest.raises(DeployError, match=rf"model 'm': {tmp_path}/none.onnx.*No such file"):
        artifacts.keep(onnx(tmp_path / "none.onnx"))
    assert not (tmp_path / "kept").exists()
