"""Models of LightGBM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest

from skysail.errors import DeployError
from skysail.runtimes.base import Artifact
from skysail.runtimes.lightgbm import LightGBMRuntime

Write = Callable[..., Artifact]


def trained(x: Any, y: Any, **params: Any) -> Any:
    """A tiny booster."""
    return lightgbm.train({"verbose": -1, "num_leaves": 4, "num_threads": 1, **params}, lightgbm.Dataset(x, y), 5)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_several_classes_answer_the_most_likely(objective: str, artifact: Write, xy: Any) -> None:
    """A model of several classes answers an index, or the label there."""
    x, y = xy
    booster = trained(x, y, objective=objective, num_class=3)
    indices = booster.predict(x[:20]).argmax(axis=1)
    saved = booster.model_to_string()
    plain = LightGBMRuntime.load(artifact("m.txt", saved))
    assert plain.classes == 3
    assert plain.input == "float64[4]"
    assert list(plain.predict(x[:20])) == list(indices)
    named = LightGBMRuntime.load(artifact("m.txt", saved, labels=("low", "middle", "high")))
    assert list(named.predict(x[:20])) == [("low", "middle", "high")[i] for i in indices]


def test_two_classes_answer_the_more_likely(artifact: Write, xy: Any) -> None:
    """A binary model answers 0 or 1, or the label there."""
    x, y = xy
    booster = trained(x, y > 0, objective="binary")
    indices = (booster.predict(x[:20]) > 0.5).astype(int)
    plain = LightGBMRuntime.load(artifact("m.txt", booster.model_to_string()))
    assert list(plain.predict(x[:20])) == list(indices)
    named = LightGBMRuntime.load(artifact("m.txt", booster.model_to_string(), labels=(False, True)))
    assert list(named.predict(x[:20])) == [bool(i) for i in indices]


def test_numbers_are_answered_as_they_are(artifact: Write, xy: Any) -> None:
    """A regression answers its prediction, whatever labels are configured."""
    x, _ = xy
    booster = trained(x, x[:, 1], objective="regression")
    runtime = LightGBMRuntime.load(artifact("m.txt", booster.model_to_string(), labels=("a", "b")))
    assert runtime.classes == 0
    assert np.array_equal(runtime.predict(x[:20]), booster.predict(x[:20]))


def test_labels_must_go_with_the_classes(artifact: Write, xy: Any) -> None:
    """Another number of labels than classes is refused at the start, not at the first answer."""
    x, y = xy
    saved = trained(x, y, objective="multiclass", num_class=3).model_to_string()
    with pytest.raises(DeployError, match=r"has 3 classes; labels = \['a', 'b'\] has 2"):
        LightGBMRuntime.load(artifact("m.txt", saved, labels=("a", "b")))


@pytest.mark.parametrize("content", ["", "no trees here", "tree\nversion=v4\n"])
def test_what_is_no_model_is_refused(content: str, artifact: Write) -> None:
    """A corrupt file is a deployment error with the remedy."""
    with pytest.raises(DeployError, match=r"is not a model that LightGBM can read.*save_model"):
        LightGBMRuntime.load(artifact("m.txt", content))
