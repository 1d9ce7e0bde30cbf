"""Small data and files of models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skysail.runtimes.base import Artifact


@pytest.fixture(scope="session")
def xy() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two hundred points of four features in three classes."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(200, 4))
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5)


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[..., Artifact]:
    """Writes a file and names it as what is to be loaded."""

    def write(name: str, content: str | bytes, *, function: str = "", **settings: Any) -> Artifact:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Artifact(path=f"{path}:{function}" if function else str(path), **settings)

    return write
