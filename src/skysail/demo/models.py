"""The demo's five models, trained on digits in a few seconds and written as the files their frameworks write.

`python -m skysail.demo.models FOLDER` makes a folder that `skysail serve FOLDER/skysail.toml` can serve. The five
differ in kind and in quality on purpose, from a kernel machine that is nearly always right to a boosted ensemble
stopped early. A sixth file is the *bad release* of the best one: the same method and the same data, but with the
pictures upside down by mistake. It loads, answers as fast as the good one, and is wrong more often than right.
"""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from skysail.demo.digits import Digits, load_digits, upside_down
from skysail.errors import MissingExtra

__all__ = ["APP", "BAD_RELEASE", "BEST", "CONFIG", "MODELS", "main", "one_thread", "train"]

APP = "digits"
"""The application in the demo's config."""

MODELS = ("svm", "logistic", "mlp", "boosted", "centroid")
"""The models of the config, in its order."""

BEST = "svm"
"""The model that the demo breaks: the best one."""

BAD_RELEASE = "models/svm-upside-down.joblib"
"""The artifact it is broken with, under the demo's folder."""

CONFIG = "skysail.toml"
"""The config's file name under the demo's folder."""


_FEW = 300
"""How many pictures the logistic regression learns from, a third of all: a model that saw little data."""


def train(folder: Path, seed: int = 0) -> Digits:
    """Train the models and write the artifacts and the config under a folder; gives the digits they were trained on.

    Raises `MissingExtra` where a framework is not installed.
    """
    digits = load_digits(seed)
    (folder / "models").mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    for name in (CONFIG, "centroid.py"):
        shutil.copyfile(here / name, folder / name)
    try:
        with one_thread():
            _write_sklearn(digits, folder / "models")
            _write_onnx(digits, folder / "models" / "mlp.onnx", seed)
            _write_lightgbm(digits, folder / "models" / "boosted.txt", seed)
    except ImportError as error:
        raise MissingExtra("the demo", "demo", error.name or str(error)) from error
    _write_centroids(digits, folder / "models" / "centroids.json")
    return digits


def one_thread() -> AbstractContextManager[object]:
    """One thread for linear algebra: with so little to compute, on a busy machine, more of them wait for each other."""
    import threadpoolctl  # noqa: PLC0415

    limits: AbstractContextManager[object] = threadpoolctl.threadpool_limits(1)
    return limits


def _write_sklearn(digits: Digits, folder: Path) -> None:
    """The kernel machine, its bad release, and a logistic regression that has seen a third of the pictures."""
    import joblib  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.svm import SVC  # noqa: PLC0415
    from skops import io as skops_io  # noqa: PLC0415

    good = SVC(gamma=0.001, C=10.0).fit(digits.train, digits.train_labels)
    bad = SVC(gamma=0.001, C=10.0).fit(upside_down(digits.train), digits.train_labels)
    few = slice(_FEW)
    logistic = LogisticRegression(C=0.01, max_iter=1000).fit(digits.train[few], digits.train_labels[few])
    joblib.dump(good, folder / "svm.joblib")
    joblib.dump(bad, folder / Path(BAD_RELEASE).name)
    skops_io.dump(logistic, folder / "logistic.skops")


def _write_onnx(digits: Digits, path: Path, seed: int) -> None:
    """A neural network with one small layer, trained by scikit-learn and converted."""
    import skl2onnx  # noqa: PLC0415
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is meant to stop before it has converged
        network = MLPClassifier((12,), max_iter=150, random_state=seed).fit(digits.train, digits.train_labels)
        rows = [("pixels", skl2onnx.common.data_types.FloatTensorType([None, digits.train.shape[1]]))]
        graph: Any = skl2onnx.convert_sklearn(network, initial_types=rows, options={"zipmap": False})
    path.write_bytes(graph.SerializeToString())


def _write_lightgbm(digits: Digits, path: Path, seed: int) -> None:
    """Boosted trees, stopped after fifteen rounds."""
    import lightgbm  # noqa: PLC0415

    parameters = {
        "objective": "multiclass",
        "num_class": 10,
        "num_leaves": 8,
        "verbose": -1,
        "num_threads": 1,
        "seed": seed,
    }
    data = lightgbm.Dataset(digits.train, digits.train_labels)
    booster: Any = lightgbm.train(parameters, data, num_boost_round=15)
    booster.save_model(path)


def _write_centroids(digits: Digits, path: Path) -> None:
    """The average picture of each digit, for the model in plain Python."""
    averages = [digits.train[digits.train_labels == digit].mean(axis=0) for digit in range(10)]
    path.write_text(json.dumps(np.round(averages, 3).tolist()), encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """The command: train into the folder that is named."""
    parser = argparse.ArgumentParser(prog="python -m skysail.demo.models", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the config and the models go; made if it is not there")
    parser.add_argument("--seed", type=int, default=0, help="for the split and the training (default 0)")
    options = parser.parse_args(arguments)
    train(options.folder, options.seed)
    print(f"serve them with: skysail serve {options.folder / CONFIG}")


if __name__ == "__main__":
    main()
