from __future__ import annotations

from pathlib import Path

import numpy as np

from skysail.demo.digits import Digits
from skysail.demo.models import MODELS
from skysail.demo.offline import outputs
from skysail.demo.traffic import plan


def test_the_best_model_is_best_and_its_bad_release_is_bad(trained: tuple[Path, Digits]) -> None:
    """On disturbed held-out pictures every model is better than the bad release, and the best is far ahead of the
    rest.
    """
    folder, digits = trained
    traffic = plan(digits, seconds=10, rate=100, seed=0)
    said = outputs(folder, traffic.images)
    wrong = {ref: float((output != traffic.labels).mean()) for ref, output in said.items()}
    assert set(wrong) == {*(f"{model}@1" for model in MODELS), "svm@2"}
    assert wrong["svm@1"] < 0.05
    assert all(wrong["svm@1"] < wrong[f"{model}@1"] - 0.02 for model in MODELS[1:])
    assert wrong["svm@2"] > 0.5


def test_a_row_is_scored_alike_alone_and_among_others(trained: tuple[Path, Digits]) -> None:
    """What a model says of a picture does not depend on the batch."""
    folder, digits = trained
    images = plan(digits, seconds=1, rate=20, seed=1).images
    whole, single = outputs(folder, images), outputs(folder, images[7:8])
    assert all(np.array_equal(whole[ref][7:8], single[ref]) for ref in whole)
