"""Models of scikit-learn."""

from __future__ import annotations

import io
import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skysail.errors import DeployError
from skysail.runtimes.base import Artifact
from skysail.runtimes.sklearn import SklearnRuntime

Write = Callable[..., Artifact]


def dumped(model: object) -> bytes:
    """A model as joblib writes it."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["m.joblib", "m.pkl", "m.skops"])
def test_classifiers_answer_labels(name: str, artifact: Write, xy: Any) -> None:
    """A classifier of either format answers its own labels, and declares its features."""
    x, y = xy
    model = LogisticRegression().fit(x, np.array(["low", "middle", "high"])[y])
    saved = {"m.joblib": dumped, "m.pkl": pickle.dumps, "m.skops": skops.io.dumps}[name](model)
    runtime = SklearnRuntime.load(artifact(name, saved))
    assert runtime.input == "float64[4]"
    assert list(runtime.predict(x[:20])) == list(model.predict(x[:20]))


def test_regressors_answer_numbers(artifact: Write, xy: Any) -> None:
    """A regressor answers what it predicts."""
    x, _ = xy
    runtime = SklearnRuntime.load(artifact("m.joblib", dumped(LinearRegression().fit(x, x[:, 2]))))
    assert np.allclose(runtime.predict(x[:5]), x[:5, 2])


def test_a_model_of_texts_declares_nothing(artifact: Write) -> None:
    """A pipeline that was not fitted on numbers takes rows as they come."""
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good day", "bad day"], [1, 0])
    runtime = SklearnRuntime.load(artifact("m.joblib", dumped(model)))
    assert runtime.input is None
    assert list(runtime.predict(["good", "bad"])) == [1, 0]


def test_no_part_takes_more_threads_than_it_may(artifact: Write, xy: Any) -> None:
    """`n_jobs` of a model, at whatever depth, is held to the replica's threads."""
    x, y = xy
    model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=2, n_jobs=-1, random_state=0)).fit(x, y)
    runtime = SklearnRuntime.load(artifact("m.joblib", dumped(model), threads=2))
    assert runtime._model.named_steps["randomforestclassifier"].n_jobs == 2


class Stranger(LinearRegression):  # type: ignore[misc]
    """A type that skops does not know."""


class Old:
    """Warns when it is unpickled, as an estimator of another version does."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        warnings.warn(
            InconsistentVersionWarning(estimator_name="Old", current_sklearn_version="9", original_sklearn_version="1"),
            stacklevel=1,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"x": 1}

    def predict(self, batch: list[Any]) -> list[Any]:
        return batch


def test_unknown_types_are_refused(artifact: Write, xy: Any) -> None:
    """A skops file with types that are not known to be safe is not loaded; they are named, and the remedy."""
    saved = skops.io.dumps(make_pipeline(FunctionTransformer(func=dumped), Stranger()))
    with pytest.raises(DeployError, match=r"does not know to be safe: .*Stranger.*joblib.dump"):
        SklearnRuntime.load(artifact("m.skops", saved))


def test_another_version_is_reported(artifact: Write, caplog: pytest.LogCaptureFixture) -> None:
    """A model of another version of scikit-learn is loaded, with a word in the log, once for each kind of estimator."""
    with caplog.at_level(logging.WARNING):
        runtime = SklearnRuntime.load(artifact("m.pkl", pickle.dumps([Old(), Old()][0])))
    assert runtime.predict([1]) == [1]
    assert "m.pkl" in caplog.text
    assert "Trying to unpickle estimator Old from version 1" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("m.joblib", b"no pickle", "is not a model that joblib can read.*joblib.dump"),
        ("m.joblib", b"", "is not a model that joblib can read"),
        ("m.skops", b"no zip", "is not a model that skops can read.*skops.io.dump"),
        ("m.pkl", b"cnonexistent_module\nThing\n.", "needs nonexistent_module, which this Python cannot import"),
        ("m.pkl", pickle.dumps({"weights": 1}), "holds a dict, which has no predict"),
    ],
)
def test_what_is_no_model_is_refused(name: str, content: bytes, complaint: str, artifact: Write) -> None:
    """A corrupt, empty or foreign file is a deployment error that says what it is and the remedy."""
    with pytest.raises(DeployError, match=complaint):
        SklearnRuntime.load(artifact(name, content))


def test_a_cut_file_is_refused(artifact: Write, xy: Any) -> None:
    """A file that ends too early is corrupt, wherever it ends."""
    whole = dumped(LogisticRegression().fit(*xy))
    for size in (10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DeployError, match="is not a model"):
            SklearnRuntime.load(artifact("m.joblib", whole[:size]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path to nothing is refused by its name."""
    with pytest.raises(DeployError, match=r"gone\.joblib cannot be opened"):
        SklearnRuntime.load(Artifact(path=str(tmp_path / "gone.joblib")))
