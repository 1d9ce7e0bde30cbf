"""The models, the rows and the bodies that all systems are given: trained and written once, the same for each.

The models classify scikit-learn's handwritten digits, 8 × 8 pixels as they are or smoothly enlarged to 28 × 28. The
first pixel of every digit is blank, no model looks at it, and each body has `MARK` there, which the generators replace
by another number for each request: no two inputs are equal, and the answers stay right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import sklearn
from benchmarks.load import MARK
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

__all__ = ["MODELS", "Shape", "Workload", "make_workloads"]

Shape = Literal["plain", "nested", "v2"]
"""How a row is written in a body: `{"input": [...]}`, `{"input": [[...]]}`, or by the Open Inference Protocol."""

MODELS = ("noop784", "linear64", "linear784", "forest784")
"""The models, by kind and numbers in a row."""

_TRAINED = 1_300
_NOOP_LABEL = 7


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One model, and what it is asked."""

    name: str
    """One of `MODELS`."""

    file: Path
    """The model without its suffix `.joblib`; that of a no-op model does not exist."""

    rows: list[str]
    """Rows as JSON lists."""

    labels: list[int]
    """What is right for each."""

    def bodies(self, shape: Shape) -> list[str]:
        """The bodies, as a system wants them."""
        floats = self.rows[0].count(",") + 1
        head, tail = {
            "plain": ('{"input":', "}"),
            "nested": ('{"input":[', "]}"),
            "v2": (f'{{"inputs":[{{"name":"input","shape":[1,{floats}],"datatype":"FP32","data":', "}]}"),
        }[shape]
        return [f"{head}{row}{tail}" for row in self.rows]


def make_workloads(folder: Path, names: Sequence[str] = MODELS) -> dict[str, Workload]:
    """Train what is not yet in the folder, and write the rows; the same files, whenever and wherever this is run with
    these versions.
    """
    pixels, digits = load_digits(return_X_y=True)
    small = np.round(pixels / 16.0, 4)
    sets = {64: small, 784: np.round(_enlarged(small), 4)}
    recipe = hashlib.sha256(Path(__file__).read_bytes() + sklearn.__version__.encode()).hexdigest()[:12]
    home = folder.resolve() / recipe
    home.mkdir(parents=True, exist_ok=True)
    return {name: _workload(home, name, sets[64 if name.endswith("64") else 784], digits) for name in names}


def _workload(home: Path, name: str, images: NDArray[np.float64], digits: NDArray[np.int64]) -> Workload:
    file = home / name
    rows = images[_TRAINED:]
    if name.startswith("noop"):
        labels = [_NOOP_LABEL] * len(rows)
    else:
        if not file.with_suffix(".joblib").exists():
            _train(file, images[:_TRAINED], digits[:_TRAINED])
        labels = joblib.load(file.with_suffix(".joblib")).predict(rows.astype(np.float32)).tolist()
    return Workload(name=name, file=file, rows=[_text(row) for row in rows.tolist()], labels=labels)


def _train(file: Path, images: NDArray[np.float64], digits: NDArray[np.int64]) -> None:
    kinds: dict[str, Any] = {
        "linear": LogisticRegression(max_iter=1_000),
        "forest": RandomForestClassifier(n_estimators=100, n_jobs=1, random_state=0),
    }
    model = kinds[file.name[:6]].fit(images, digits)
    unfinished = file.with_suffix(".part")
    joblib.dump(model, unfinished)
    unfinished.replace(file.with_suffix(".joblib"))


def _text(row: list[float]) -> str:
    return f"[{MARK},{json.dumps(row[1:], separators=(',', ':'))[1:]}"


def _enlarged(small: NDArray[np.float64]) -> NDArray[np.float64]:
    """Images of 8 × 8 as 28 × 28, interpolated linearly."""
    at, corners = np.linspace(0.0, 7.0, 28), np.arange(8)
    weights = np.stack([np.interp(at, corners, unit) for unit in np.eye(8)], axis=1)
    enlarged: NDArray[np.float64] = weights @ small.reshape(-1, 8, 8) @ weights.T
    return enlarged.reshape(-1, 784)
