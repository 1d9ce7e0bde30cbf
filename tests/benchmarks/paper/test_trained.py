from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def trained(paper: Any) -> Any:
    """The module."""
    return paper("trained")


def imported(folder: Path, files: dict[str, str]) -> Any:
    """The module that workers load, as they would."""
    for name, text in files.items():
        (folder / name).write_text(text)
    spec = importlib.util.spec_from_file_location("replaying", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def splits(trained: Any) -> list[Any]:
    """Two small splits, of two models."""
    return [
        trained.Split(name="one", labels=[1, 2, 3], said={"a": [1, 2, 3], "b": [0, 2, 0]}),
        trained.Split(name="two", labels=[4], said={"a": [5], "b": [4]}),
    ]


def test_halves_are_the_whole_and_have_nothing_in_common(trained: Any) -> None:
    """Every row is in one half; a seed always gives the same halves, another seed others."""
    half = trained.halves("cancer", 1)
    assert len(half.train) + len(half.test) == 569
    assert not set(map(tuple, half.train)) & set(map(tuple, half.test))
    assert (half.test == trained.halves("cancer", 1).test).all()
    assert (half.test_labels != trained.halves("cancer", 2).test_labels).any()


@pytest.mark.slow
def test_the_five_are_good_and_not_alike(trained: Any) -> None:
    """Each is right about most rows that it was not trained on, and no two say the same."""
    split = trained.split_of_five("cancer", 0)
    assert tuple(split.said) == trained.FIVE
    assert all(split.errors(model) < 0.1 * len(split.labels) for model in trained.FIVE)
    assert len({tuple(said) for said in split.said.values()}) == 5


def test_workers_say_what_the_models_said(trained: Any, tmp_path: Path) -> None:
    """A class for each model looks up rows of any split, in any order."""
    module = imported(tmp_path, trained.replay(splits(trained)))
    rows = [{"split": "two", "row": 0}, {"split": "one", "row": 2}]
    assert module.a()(rows) == [5, 3]
    assert module.b()(rows) == [4, 0]


def test_workers_take_their_time(trained: Any, tmp_path: Path) -> None:
    """A class `Model` has a say before each batch, and knows which model it is."""
    delay = """
class Model(Replay):
    def delay(self, rows):
        self.seen = type(self).__name__, len(rows)
"""
    model = imported(tmp_path, trained.replay(splits(trained), delay)).b()
    assert model([{"split": "one", "row": 1}]) == [2]
    assert model.seen == ("b", 1)


def test_errors_are_counted(trained: Any) -> None:
    """A model errs where it does not say the label."""
    assert [split.errors("b") for split in splits(trained)] == [2, 0]


def test_feedback_follows_each_block(trained: Any) -> None:
    """Rows are asked about in turn, and each block is judged before the next one is asked about."""
    said: list[Any] = []

    class Client:
        async def predict(self, app: str, rows: list[Any]) -> list[dict[str, Any]]:
            said.append(rows)
            return [{"prediction_id": f"{app} {row['split']} {row['row']}"} for row in rows]

        async def observe(self, app: str, observations: list[dict[str, Any]]) -> None:
            said.append(observations)

    answers = asyncio.run(trained.ask_and_tell(Client(), "app", splits(trained)[0], block=2))
    assert [answer["prediction_id"] for answer in answers] == ["app one 0", "app one 1", "app one 2"]
    assert said == [
        [{"split": "one", "row": 0}, {"split": "one", "row": 1}],
        [{"prediction_id": "app one 0", "label": 1}, {"prediction_id": "app one 1", "label": 2}],
        [{"split": "one", "row": 2}],
        [{"prediction_id": "app one 2", "label": 3}],
    ]


def test_tables_name_the_classes(trained: Any) -> None:
    """The config file's part about models that replay."""
    assert trained.model_tables(["a"]) == '[models.a]\npath = "models.py:a"\ninput = "json"\n\n'
    assert json.loads(trained.replay(splits(trained))["said.json"])["a"]["two"] == [5]
