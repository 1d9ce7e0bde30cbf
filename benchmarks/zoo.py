"""Models that cost something: trained on handwritten digits, and written as the files that their libraries write.

The rows are those of the demo: held-out pictures of 64 brightnesses, each moved and with noise.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import joblib
import lightgbm
import numpy as np
import skl2onnx
from benchmarks.load import MARK
from benchmarks.report import BenchmarkError
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from skysail.demo.digits import Digits, load_digits, perturb
from skysail.inputs import InputSpec
from skysail.runtimes.base import Artifact
from skysail.runtimes.table import runtime_class
from skysail.worker.tensors import TensorDecoder

__all__ = ["INPUT", "ZOO", "Alone", "Kind", "bodies", "described", "rows", "run_alone", "tables", "train"]

INPUT = "float32[64]"
"""What every model here takes."""


class Kind(NamedTuple):
    """A model that can be trained."""

    runtime: str
    """What runs it."""

    file: str
    """The file it is in."""

    what: str
    """What it is."""

    write: Callable[[Digits, Path], object]
    """Trains it, and writes the file."""


def _sklearn(model: Any, digits: Digits, path: Path) -> None:
    joblib.dump(model.fit(digits.train, digits.train_labels), path)


def _neighbours(copies: int, digits: Digits, path: Path) -> None:
    """Each picture so many times, moved and with noise, which is what makes a row expensive."""
    pictures = perturb(np.tile(digits.train, (copies, 1)), np.random.default_rng(0))
    joblib.dump(KNeighborsClassifier().fit(pictures, np.tile(digits.train_labels, copies)), path)


def _onnx(hidden: tuple[int, ...], steps: int, digits: Digits, path: Path) -> None:
    network = MLPClassifier(hidden, max_iter=steps, random_state=0).fit(digits.train, digits.train_labels)
    pixels = [("pixels", skl2onnx.common.data_types.FloatTensorType([None, digits.train.shape[1]]))]
    graph: Any = skl2onnx.convert_sklearn(network, initial_types=pixels, options={"zipmap": False})
    path.write_bytes(graph.SerializeToString())


def _lightgbm(rounds: int, digits: Digits, path: Path) -> None:
    parameters = {"objective": "multiclass", "num_class": 10, "verbose": -1, "num_threads": 1, "seed": 0}
    data = lightgbm.Dataset(digits.train, digits.train_labels)
    lightgbm.train(parameters, data, num_boost_round=rounds).save_model(path)


ZOO = {
    "linear": Kind("sklearn", "linear.joblib", "logistic regression",
                   partial(_sklearn, LogisticRegression(max_iter=2000))),
    "forest": Kind("sklearn", "forest.joblib", "random forest of 100 trees",
                   partial(_sklearn, RandomForestClassifier(random_state=0))),
    "knn": Kind("sklearn", "knn.joblib", "5 nearest of 898 neighbours", partial(_sklearn, KNeighborsClassifier())),
    "crowd": Kind("sklearn", "crowd.joblib", "5 nearest of 44,900 neighbours", partial(_neighbours, 50)),
    "kernel": Kind("sklearn", "kernel.joblib", "support vectors, RBF kernel", partial(_sklearn, SVC())),
    "mlp": Kind("onnx", "mlp.onnx", "MLP, 100 hidden units, in ONNX Runtime", partial(_onnx, (100,), 200)),
    "wide": Kind("onnx", "wide.onnx", "MLP, 2 × 2,048 hidden units, in ONNX Runtime",
                 partial(_onnx, (2048, 2048), 3)),
    "boosted": Kind("lightgbm", "boosted.txt", "boosted trees of 100 rounds (1,000 trees)", partial(_lightgbm, 100)),
    "large": Kind("lightgbm", "large.txt", "boosted trees of 500 rounds (5,000 trees)", partial(_lightgbm, 500)),
}  # fmt: skip
"""The models by name. What is not said is the library's default."""


def train(folder: Path, names: Sequence[str]) -> None:
    """Train some of the models and write their files into a folder."""
    digits = load_digits(0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # a network that is given few steps has not converged
        for name in names:
            ZOO[name].write(digits, folder / ZOO[name].file)


def tables(names: Sequence[str]) -> str:
    """The tables of the config file for models that `train` wrote beside it."""
    return "".join(f'[models.{name}]\npath = "{ZOO[name].file}"\ninput = "{INPUT}"\n\n' for name in names)


def described(names: Sequence[str]) -> str:
    """What some of the models are, as lines of a report.

    >>> described(["linear", "mlp"])
    'Models: logistic regression; MLP, 100 hidden units, in ONNX Runtime.'
    """
    return textwrap.fill(f"Models: {'; '.join(ZOO[name].what for name in names)}.", 120)


def rows(count: int, seed: int = 1) -> list[list[float]]:
    """Different pictures."""
    digits, rng = load_digits(0), np.random.default_rng(seed)
    pictures = digits.held_out[rng.integers(len(digits.held_out), size=count)]
    found: list[list[float]] = perturb(pictures, rng).tolist()
    return found


def bodies(count: int = 100) -> list[str]:
    """Requests with a picture each, in which `MARK` stands for a pixel in the corner."""
    return [f'{{"input":[{MARK},{",".join(f"{pixel:g}" for pixel in row[1:])}]}}' for row in rows(count)]


@dataclass(frozen=True, kw_only=True)
class Alone:
    """What a row costs one process that does nothing but decode rows and predict them, in seconds."""

    decode: float
    """On a processor, to decode it."""

    predict: float
    """On a processor, to predict it."""

    wall: float
    """By the clock, for both."""

    @property
    def cpu(self) -> float:
        """On a processor, for both."""
        return self.decode + self.predict


def run_alone(folder: Path, name: str, batch: int, seconds: float) -> Alone:
    """Decode rows of JSON and predict them, in batches of so many, in this process and one thread, for so long.

    The decoder and the runtime are those that a worker has.
    """
    model = runtime_class(ZOO[name].runtime).load(Artifact(path=str(folder / ZOO[name].file)))
    decoder = TensorDecoder(InputSpec.parse(INPUT))
    raw = [f"[{','.join(f'{pixel:g}' for pixel in row)}]".encode() for row in rows(4 * batch)]
    batches = [raw[first : first + batch] for first in range(0, len(raw), batch)]
    done, decode, predict = 0, 0.0, 0.0
    with threadpool_limits(1):
        for some in batches:  # what comes late at first, such as imports
            model.predict(decoder.decode(some, bytes(batch)).groups[0].batch)
        started = perf_counter()
        while perf_counter() - started < seconds:
            for some in batches:
                begun = process_time()
                array = decoder.decode(some, bytes(batch)).groups[0].batch
                decoded = process_time()
                outputs = model.predict(array)
                predict += process_time() - decoded
                decode += decoded - begun
                done += batch
                if len(outputs) != batch:
                    raise BenchmarkError(f"{name} answered {len(outputs)} of {batch} rows")
        wall = perf_counter() - started
    model.close()
    return Alone(decode=decode / done, predict=predict / done, wall=wall / done)
