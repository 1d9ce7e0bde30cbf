"""Every runtime keeps the laws, on a real model of its format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skysail.runtimes.base import Artifact, Outputs, Runtime
from skysail.runtimes.table import RUNTIMES, runtime_class
from skysail.testing.runtimes import RuntimeCase, check_runtime

RULES = """
class Rules:
    input = "json"
    def predict(self, batch):
        for row in batch:
            if row["sum"] is None:
                raise SystemExit("no sum")
            row["seen"] = True
        return [{"total": sum(row["sum"]), "seen": row.pop("seen")} for row in batch]
"""

X, Y = (array[:400] for array in load_digits(return_X_y=True))
DIGITS = [json.dumps((row / 16).tolist()).encode() for row in X[:12]]
BAD = json.dumps([0.5] * 63).encode()


def python(folder: Path) -> RuntimeCase:
    """A class that changes its input before it raises, and raises what ends a process."""
    (folder / "laws_of_rules.py").write_text(RULES)
    rows = [json.dumps({"sum": [i, 0.5]}).encode() for i in range(9)]
    artifact = Artifact(path=f"{folder / 'laws_of_rules.py'}:Rules")
    return RuntimeCase(lambda: runtime_class("python").load(artifact), rows, b'{"sum": 1e999}', poison=b'{"sum": null}')


def sklearn(folder: Path) -> RuntimeCase:
    """A classifier of digits that raises at a NaN."""
    joblib.dump(LogisticRegression(max_iter=500).fit(X / 16, Y), folder / "m.joblib")
    poison = json.dumps([None] * 64).encode()
    return case("sklearn", folder / "m.joblib", poison=poison, finite=False)


def onnx(folder: Path) -> RuntimeCase:
    """The same, converted."""
    skl2onnx = pytest.importorskip("skl2onnx")
    model = LogisticRegression(max_iter=500).fit(X / 16, Y)
    (folder / "m.onnx").write_bytes(skl2onnx.to_onnx(model, X[:1].astype(np.float32)).SerializeToString())
    return case("onnx", folder / "m.onnx")


def lightgbm_(folder: Path) -> RuntimeCase:
    """Trees that add up floats."""
    params = {"objective": "regression", "verbose": -1, "num_threads": 1}
    lightgbm.train(params, lightgbm.Dataset(X / 16, Y), 8).save_model(folder / "m.txt")
    return case("lightgbm", folder / "m.txt")


def case(name: str, path: Path, **settings: Any) -> RuntimeCase:
    """Rows of digits for a model in a file."""
    artifact = Artifact(path=str(path))
    return RuntimeCase(lambda: runtime_class(name).load(artifact), DIGITS, BAD, **settings)


CASES: dict[str, Callable[[Path], RuntimeCase]] = {
    "python": python,
    "sklearn": sklearn,
    "onnx": onnx,
    "lightgbm": lightgbm_,
}


@pytest.mark.parametrize("name", RUNTIMES)
def test_it_keeps_the_laws(name: str, tmp_path: Path) -> None:
    """A real model of this runtime passes the whole suite."""
    check_runtime(CASES[name](tmp_path))


def test_no_runtime_is_left_out() -> None:
    """Every runtime of ours that exists is in the table, and so in the suite."""
    for name in RUNTIMES:
        runtime_class(name)
    ours = {cls for cls in Runtime.__subclasses__() if cls.__module__.startswith("skysail.runtimes")}
    assert ours == {runtime_class(name) for name in RUNTIMES}


class Broken(Runtime):
    """A runtime with a fault that a test chooses."""

    name = "broken"
    declares: str | None = "json"

    def __init__(self, fault: Callable[[list[Any]], Outputs]) -> None:
        self._fault = fault
        self._closed = False

    @classmethod
    def load(cls, artifact: Artifact) -> Broken:
        raise NotImplementedError

    @property
    def input(self) -> str | None:
        return "json"

    def predict(self, batch: Any) -> Outputs:
        return self._fault(batch)

    def close(self) -> None:
        if self._fault is once_closed:
            assert not self._closed, "closed twice"
        self._closed = True


def constant(batch: list[Any]) -> Outputs:
    """Does not look at its rows."""
    return [1 for _ in batch]


def sorts(batch: list[Any]) -> Outputs:
    """Answers in another order."""
    return sorted(batch)


def depends(batch: list[Any]) -> Outputs:
    """Looks at the other rows of the batch."""
    return [x + len(set(batch)) for x in batch]


def once_closed(batch: list[Any]) -> Outputs:
    """Has no fault but in its second close."""
    return list(batch)


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        (constant, "keeps_length_and_order"),
        (sorts, "keeps_length_and_order"),
        (depends, "a_batch_equals_the_loop_of_singles"),
        (once_closed, "closing_twice_is_harmless|closed twice"),
    ],
)
def test_broken_ones_are_told_which_law(fault: Callable[[list[Any]], Outputs], law: str) -> None:
    """A runtime that breaks a law is told which."""
    with pytest.raises(AssertionError, match=law):
        check_runtime(RuntimeCase(lambda: Broken(fault), [b"1", b"2", b"5"], b"1e999"))


def test_remembered_failures_are_found() -> None:
    """A runtime that a failing batch leaves broken breaks a law."""

    class Sulking(Broken):
        def predict(self, batch: Any) -> Outputs:
            if not isinstance(batch, list):
                self._fault = constant
            return self._fault(batch)

    with pytest.raises(AssertionError, match="works_after_a_failing_batch"):
        check_runtime(RuntimeCase(lambda: Sulking(list), [b"1", b"2"], b"1e999"))
