"""Real models of real data, and how a server replays them.

Models of scikit-learn are trained here, each with the library's own defaults behind a `StandardScaler`, on a random
half of a data set; what they say of the other half is what an experiment needs. Twenty splits would be a hundred
artifacts and as many processes, so a worker replays: given the place of a row, it looks up what its model said of it.
All else, from the client's request to what is learned of its feedback, is the server's own.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from benchmarks.paper.client import Client
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

__all__ = [
    "DATA",
    "FIVE",
    "Halves",
    "Split",
    "ask_and_tell",
    "five",
    "halves",
    "model_tables",
    "replay",
    "split_of_five",
    "train",
]

DATA = {"digits": load_digits, "cancer": load_breast_cancer}
"""The data sets of scikit-learn: 1,797 pictures of ten digits, and 569 biopsies, benign or malignant."""

FIVE = ("svm", "logistic", "knn", "forest", "mlp")
"""The names of the five models of different kinds."""

_REPLAY = '''
import json
import random
import time
from pathlib import Path

_SAID = json.loads(Path(__file__).with_name("said.json").read_text())


class Replay:
    """Says what the trained model of this name said."""

    def __call__(self, rows):
        self.delay(rows)
        said = _SAID[type(self).__name__]
        return [said[row["split"]][row["row"]] for row in rows]

    def delay(self, rows):
        """Take the time that the model would."""
'''


@dataclass(frozen=True, kw_only=True)
class Halves:
    """A data set in two random halves, to learn from and to be asked about."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Split:
    """What models said of rows that they were not trained on."""

    name: str
    """Which data, and which split of them."""

    labels: list[int]
    """What is right for each row."""

    said: dict[str, list[int]]
    """What each model said of each row."""

    def errors(self, model: str) -> int:
        """How often a model is wrong."""
        return sum(said != label for said, label in zip(self.said[model], self.labels, strict=True))


def halves(data: str, seed: int) -> Halves:
    """A split of a data set, the same one for the same seed."""
    rows, labels = DATA[data](return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    return Halves(train=rows[train], train_labels=labels[train], test=rows[test], test_labels=labels[test])


def five(seed: int) -> dict[str, Any]:
    """The five, not trained yet; the logistic regression alone is given more steps than by default, to converge."""
    return {
        "svm": SVC(),
        "logistic": LogisticRegression(max_iter=2000),
        "knn": KNeighborsClassifier(),
        "forest": RandomForestClassifier(random_state=seed),
        "mlp": MLPClassifier(random_state=seed),
    }


def train(models: Mapping[str, Any], split: Halves) -> dict[str, Any]:
    """The models, trained on the one half behind a `StandardScaler` each."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # a network with the default number of steps has not quite converged
        return {
            name: make_pipeline(StandardScaler(), model).fit(split.train, split.train_labels)
            for name, model in models.items()
        }


@cache
def split_of_five(data: str, seed: int) -> Split:
    """What the five models say in one split; remembered, for several experiments ask."""
    split = halves(data, seed)
    said = {name: model.predict(split.test).tolist() for name, model in train(five(seed), split).items()}
    return Split(name=f"{data}-{seed}", labels=split.test_labels.tolist(), said=said)


def replay(splits: Sequence[Split], delay: str = "") -> dict[str, str]:
    """The files of workers that say what the models said; rows are `{"split": NAME, "row": PLACE}`.

    `delay` is Python: a class `Model`, made from `Replay`, that takes its time.
    """
    names = list(splits[0].said)
    said = {name: {split.name: split.said[name] for split in splits} for name in names}
    base = "Model" if delay else "Replay"
    classes = [f"class {name}({base}):\n    pass\n" for name in names]
    return {"models.py": "\n\n".join([_REPLAY, delay, *classes]), "said.json": json.dumps(said)}


def model_tables(names: Sequence[str]) -> str:
    """The tables of the config file for models that `replay` made files of."""
    return "".join(f'[models.{name}]\npath = "models.py:{name}"\ninput = "json"\n\n' for name in names)


async def ask_and_tell(client: Client, app: str, split: Split, block: int = 10) -> list[dict[str, Any]]:
    """The answers to all rows of a split in turn; after each block of rows, the application is told what was right."""
    answers: list[dict[str, Any]] = []
    for first in range(0, len(split.labels), block):
        places = range(first, min(first + block, len(split.labels)))
        new = await client.predict(app, [{"split": split.name, "row": place} for place in places])
        answers += new
        told = zip(new, places, strict=True)
        await client.observe(app, [{"prediction_id": a["prediction_id"], "label": split.labels[p]} for a, p in told])
    return answers
