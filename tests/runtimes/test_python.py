"""Models in plain Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skysail.errors import DeployError
from skysail.runtimes.base import Artifact
from skysail.runtimes.python import PythonRuntime

Write = Callable[..., Artifact]


@pytest.fixture(autouse=True)
def _imports_undone() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    path, modules = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_a_function_of_a_file(artifact: Write) -> None:
    """`FILE.py:function` is loaded and answers."""
    runtime = PythonRuntime.load(
        artifact("rules.py", "def predict(batch):\n    return batch[::-1]", function="predict")
    )
    assert runtime.predict([1, 2]) == [2, 1]
    assert runtime.input is None
    runtime.close()


def test_a_class_is_made_once(artifact: Write) -> None:
    """A class is instantiated; its `predict`, `input` and `close` are used, the last of them once."""
    source = """
class Model:
    input = "float32[3]"
    made = closed = 0
    def __init__(self): Model.made += 1
    def predict(self, batch): return [Model.made] * len(batch)
    def close(self): Model.closed += 1
"""
    runtime = PythonRuntime.load(artifact("classy.py", source, function="Model"))
    assert runtime.input == "float32[3]"
    assert runtime.predict([0]) == runtime.predict([0]) == [1]
    runtime.close()
    runtime.close()
    assert sys.modules["classy"].Model.closed == 1


def test_an_object_and_a_nested_name(artifact: Write) -> None:
    """An instance, and a name with dots, are found."""
    source = """
class Box:
    class Inner:
        @staticmethod
        def predict(batch): return ["inner"] * len(batch)
thing = Box.Inner()
class Callable:
    def __call__(self, batch): return ["called"] * len(batch)
"""
    assert PythonRuntime.load(artifact("nested.py", source, function="thing")).predict([1]) == ["inner"]
    assert PythonRuntime.load(artifact("nested.py", source, function="Box.Inner")).predict([1]) == ["inner"]
    assert PythonRuntime.load(artifact("nested.py", source, function="Callable")).predict([1]) == ["called"]


def test_a_decorated_function_may_declare_its_input(artifact: Write) -> None:
    """An attribute `input` of a function is its declaration."""
    source = "def predict(batch):\n    return batch\npredict.input = 'string'"
    assert PythonRuntime.load(artifact("declared.py", source, function="predict")).input == "string"


def test_a_file_imports_its_neighbours(artifact: Write, tmp_path: Path) -> None:
    """The folder of a model's file is on the path, and its module can be found by its dataclasses and pickles."""
    (tmp_path / "neighbour.py").write_text("ANSWER = 42")
    source = """
import pickle
from dataclasses import dataclass
from neighbour import ANSWER
@dataclass
class Point:
    x: int
def predict(batch):
    return [pickle.loads(pickle.dumps(Point(ANSWER))).x for _ in batch]
"""
    assert PythonRuntime.load(artifact("importing.py", source, function="predict")).predict([1]) == [42]


@pytest.mark.parametrize("name", ["json.py", "with-dash.py"])
def test_a_file_may_have_any_name(name: str, artifact: Write) -> None:
    """A file called like a module of the standard library, or like no module, does not stand in another's way."""
    runtime = PythonRuntime.load(artifact(name, "def predict(batch): return ['mine'] * len(batch)", function="predict"))
    assert runtime.predict([1]) == ["mine"]
    assert sys.modules["json"] is json


def test_an_import_path_is_looked_up_in_the_root_first(tmp_path: Path) -> None:
    """`package.module:function` is found in the config file's folder."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "prices.py").write_text("def predict(batch): return [9.99] * len(batch)")
    runtime = PythonRuntime.load(Artifact(path="shop.prices:predict", import_root=str(tmp_path)))
    assert runtime.predict([1]) == [9.99]


@pytest.mark.parametrize(
    ("source", "function", "complaint"),
    [
        ("def predikt(batch): ...", "predict", r"has no 'predict' \(did you mean 'predikt'"),
        ("import nonexistent_thing", "predict", "no module named 'nonexistent_thing'.*install it"),
        ("1 / 0", "predict", "cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit(7)", "predict", "cannot be imported: SystemExit: 7"),
        ("def f(:", "predict", "cannot be imported: SyntaxError"),
        ("predict = 3", "predict", "is a int; name a function"),
        ("async def predict(batch): ...", "predict", "is asynchronous or a generator; make it a plain function"),
        ("def predict(batch): yield 1", "predict", "is asynchronous or a generator"),
        ("class M:\n    async def predict(self, batch): ...", "M", "is asynchronous or a generator"),
        ("class M:\n    async def __call__(self, batch): ...", "M", "is asynchronous or a generator"),
        ("class M:\n    def __init__(self, path): ...", "M", "making the model raised TypeError"),
        ("class M: ...", "M", "is a M; name a function"),
    ],
)
def test_what_cannot_predict_is_refused(source: str, function: str, complaint: str, artifact: Write) -> None:
    """Each way to name no model is a deployment error that says what is wrong and the remedy."""
    with pytest.raises(DeployError, match=complaint):
        PythonRuntime.load(artifact("wrong.py", source, function=function))


@pytest.mark.parametrize("path", ["rules.py", "rules.py:", ":predict", "nowhere.at.all:predict", "/nowhere/rules.py:f"])
def test_paths_that_lead_nowhere_are_refused(path: str) -> None:
    """A path without a function, or to nothing, is refused by name."""
    with pytest.raises(DeployError, match=r"rules\.py|predict"):
        PythonRuntime.load(Artifact(path=path))
