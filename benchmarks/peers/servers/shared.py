"""What every peer's server has in common: the model, and the settings that the harness hands over in the environment.

Runs in the environments of the peers: standard library, NumPy and joblib only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["BATCH", "FLOATS", "MODEL", "PORT", "WAIT_MS", "WORKERS", "Model", "load_model"]

MODEL = Path(os.environ.get("BENCH_MODEL", "noop784"))
"""The model's file without its suffix; `noop` of so many floats has none."""

FLOATS = 64 if MODEL.name.endswith("64") else 784
"""Numbers in a row."""

PORT = int(os.environ.get("BENCH_PORT", "8000"))
"""Where to listen, on the loopback; the four ports above it are free too."""

BATCH = int(os.environ.get("BENCH_BATCH", "64"))
"""The largest batch."""

WAIT_MS = float(os.environ.get("BENCH_WAIT_MS", "2"))
"""How long a batch waits to be filled, in milliseconds."""

WORKERS = int(os.environ.get("BENCH_WORKERS", "1"))
"""Processes that hold the model."""


class Model(Protocol):
    """What each server asks."""

    def predict(self, rows: Any) -> Sequence[int]:
        """A label for each row."""
        ...


class _Noop:
    def predict(self, rows: Any) -> Sequence[int]:
        return [7] * len(rows)


class _Sklearn:
    def __init__(self, file: Path) -> None:
        import joblib  # noqa: PLC0415 - the no-op model needs none
        import numpy as np  # noqa: PLC0415

        self._model = joblib.load(file)
        self._asarray = np.asarray
        self._float32 = np.float32

    def predict(self, rows: Any) -> Sequence[int]:
        labels: Sequence[int] = self._model.predict(self._asarray(rows, dtype=self._float32)).tolist()
        return labels


def load_model() -> Model:
    """The model that is measured."""
    return _Noop() if MODEL.name.startswith("noop") else _Sklearn(MODEL.with_suffix(".joblib"))
