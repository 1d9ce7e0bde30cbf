"""Models of scikit-learn, and of libraries with its interface, saved by joblib, pickle or skops."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, Self

from skysail.errors import DeployError, MissingExtra
from skysail.runtimes.base import Artifact, Outputs, Runtime, existing_file

try:
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning
except ImportError as error:
    raise MissingExtra("runtime = 'sklearn'", "sklearn", "scikit-learn") from error

__all__ = ["SklearnRuntime"]

_LOG = logging.getLogger(__name__)


class SklearnRuntime(Runtime):
    """An estimator or pipeline; an output is what its `predict` says: the class label, or a number.

    A `.joblib` or `.pkl` file is a pickle, and runs code when it is loaded: load only files that you trust. A
    `.skops` file does not, and is refused if it holds types that skops does not know to be safe.
    """

    name = "sklearn"

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """Read the file, and hold the estimator to the replica's threads."""
        path = existing_file(artifact)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", InconsistentVersionWarning)
            model = _read_skops(path) if path.suffix == ".skops" else _read_pickle(path)
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            _LOG.warning("%s: %s", path, text)
        if not hasattr(model, "predict"):
            raise DeployError(
                f"{path} holds a {type(model).__name__}, which has no predict; save the fitted estimator itself"
            )
        _limit_jobs(model, artifact.threads)
        return cls(model)

    @property
    def input(self) -> str | None:
        """As many numbers as the estimator was fitted with, where it was fitted with numbers."""
        features = getattr(self._model, "n_features_in_", None)
        return None if features is None else f"float64[{features}]"

    def predict(self, batch: Any) -> Outputs:
        """The estimator's `predict`."""
        outputs: Outputs = self._model.predict(batch)
        return outputs


def _read_pickle(path: Path) -> Any:
    try:
        return joblib.load(path)
    except ImportError as error:
        raise DeployError(
            f"{path} needs {error.name or error}, which this Python cannot import; install it here"
        ) from error
    except Exception as error:  # a pickle can raise anything
        raise DeployError(
            f"{path} is not a model that joblib can read ({type(error).__name__}: {error}); "
            "save it again with joblib.dump"
        ) from error


def _read_skops(path: Path) -> Any:
    try:
        import skops.io as skops  # noqa: PLC0415 - a joblib file must load where skops is not installed
    except ImportError as error:
        raise MissingExtra(f"{path.name}", "sklearn", "skops") from error
    try:
        unknown = skops.get_untrusted_types(file=path)
        if not unknown:
            return skops.load(path)
    except Exception as error:  # of zipfile, json or skops
        raise DeployError(
            f"{path} is not a model that skops can read ({type(error).__name__}: {error}); "
            "save it again with skops.io.dump"
        ) from error
    raise DeployError(
        f"{path} holds types that skops does not know to be safe: {', '.join(unknown)}; "
        "save the model without them, or, if you trust the file, with joblib.dump"
    )


def _limit_jobs(model: Any, threads: int) -> None:
    """Hold every part of the model that would take more cores to the replica's own."""
    if not hasattr(model, "get_params"):
        return
    greedy = {
        name: threads
        for name, value in model.get_params().items()
        if name.rpartition("__")[2] == "n_jobs" and value not in (None, threads)
    }
    if greedy:
        model.set_params(**greedy)
