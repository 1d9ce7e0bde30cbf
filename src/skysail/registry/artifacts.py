"""Kept copies of model artifacts, by the digest of their bytes, so that a restart or a rollback gets the very ones.

A single file is copied (`sklearn`, `onnx`, `lightgbm`). Python code is not: it lives with what it imports, so a restart
or a rollback runs the code as it is then; of a `FILE.py:function` the file's digest is taken, so that a changed file
is noticed as a change of the model.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from skysail.config.schema import ModelConfig
from skysail.errors import DeployError

__all__ = ["Artifacts"]

_CHUNK = 1 << 20


class Artifacts:
    """The folder of kept artifacts. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, config: ModelConfig) -> tuple[str, str]:
        """Keep a model's artifact; its digest, and the path that workers load.

        Raises `DeployError` when it is not there, or cannot be copied. The digest is of the bytes that were copied,
        whatever happens to the original meanwhile.
        """
        try:
            return self._keep(config)
        except OSError as error:
            raise DeployError(
                f"model '{config.name}': {config.path} cannot be copied to {self.folder}: {error.strerror or error}"
            ) from error

    def sweep(self, used: Iterable[str]) -> None:
        """Delete the copies that no version uses; what cannot be deleted now is left for another time."""
        keep = set(used)
        if self.folder.is_dir():
            for file in self.folder.iterdir():
                if str(file) not in keep:
                    with suppress(OSError):
                        file.unlink()

    def _keep(self, config: ModelConfig) -> tuple[str, str]:
        if config.runtime == "python":
            source = Path(config.path.rpartition(":")[0])
            return (_digest(source) if source.suffix == ".py" and source.is_absolute() else ""), config.path
        source = Path(config.path)
        kept = self._kept(_digest(source), source)
        if kept.exists():
            return kept.stem, str(kept)
        self.folder.mkdir(parents=True, exist_ok=True)
        hashed = hashlib.sha256()
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".copying-")
        try:
            with os.fdopen(handle, "wb") as copy, source.open("rb") as original:
                while chunk := original.read(_CHUNK):
                    hashed.update(chunk)
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            kept = self._kept(hashed.hexdigest(), source)
            Path(name).replace(kept)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return kept.stem, str(kept)

    def _kept(self, digest: str, source: Path) -> Path:
        return self.folder / f"{digest}{source.suffix}"


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
