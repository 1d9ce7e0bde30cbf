from __future__ import annotations

from pathlib import Path

import numpy as np

from skysail.demo.digits import Digits
from skysail.runtimes.base import Artifact
from skysail.runtimes.python import PythonRuntime


def test_it_gives_the_nearest_average(trained: tuple[Path, Digits]) -> None:
    """The copy in the demo's folder, as a worker loads it, agrees with the same computed by NumPy."""
    folder, digits = trained
    model = PythonRuntime.load(Artifact(path=f"{folder / 'centroid.py'}:predict"))
    averages = np.stack([digits.train[digits.train_labels == digit].mean(axis=0) for digit in range(10)])
    rows = digits.held_out[:40].astype(np.float32)
    expected = ((rows[:, None] - averages[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert list(model.predict(rows)) == expected.tolist()
