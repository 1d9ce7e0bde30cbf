"""Models of LightGBM, saved as text by `Booster.save_model`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skysail.errors import DeployError, MissingExtra
from skysail.runtimes.base import Artifact, Outputs, Runtime, existing_file

try:
    import lightgbm
except ImportError as error:
    raise MissingExtra("runtime = 'lightgbm'", "lightgbm", "lightgbm") from error

__all__ = ["LightGBMRuntime"]


class LightGBMRuntime(Runtime):
    """A booster; an output is the class, for `binary` and `multiclass` objectives, else the number it predicts.

    The class is its index (0 or 1 for `binary`), or the configured label at that index. A scikit-learn wrapper
    (`LGBMClassifier`) saved by joblib belongs to `runtime = "sklearn"` instead, which knows its labels.
    """

    name = "lightgbm"

    def __init__(self, booster: Any, threads: int, labels: tuple[Any, ...] | None) -> None:
        self._booster: Any = booster
        self._threads = threads
        self._binary = str(booster.params.get("objective", "")).startswith("binary")
        self._labels = labels

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """Read the booster, and check the labels against its classes."""
        path = existing_file(artifact)
        try:
            booster = lightgbm.Booster(model_file=str(path))
        except Exception as error:  # LightGBMError, or what reading a half-written file raises
            raise DeployError(
                f"{path} is not a model that LightGBM can read ({error}); save it again with Booster.save_model"
            ) from error
        runtime = cls(booster, artifact.threads, artifact.labels)
        if artifact.labels is not None and runtime.classes not in (0, len(artifact.labels)):
            raise DeployError(
                f"{path} has {runtime.classes} classes; labels = {list(artifact.labels)} has {len(artifact.labels)}"
            )
        return runtime

    @property
    def classes(self) -> int:
        """How many classes the model tells apart; 0 for a model of numbers."""
        if self._binary:
            return 2
        trees: int = self._booster.num_model_per_iteration()
        return trees if trees > 1 else 0

    @property
    def input(self) -> str | None:
        """As many numbers as the model has features."""
        return f"float64[{self._booster.num_feature()}]"

    def predict(self, batch: Any) -> Outputs:
        """Classes for scores where the objective is one of classes."""
        scores: NDArray[Any] = self._booster.predict(np.asarray(batch), num_threads=self._threads)
        if self._binary:
            indices = (scores > 0.5).astype(np.int64)
        elif scores.ndim == 2:
            indices = scores.argmax(axis=1)
        else:
            return scores
        return indices if self._labels is None else [self._labels[i] for i in indices]

    def close(self) -> None:
        """Drop the booster."""
        self._booster = None
