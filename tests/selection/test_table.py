import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from skysail.errors import ConfigError
from skysail.selection.base import Policy
from skysail.selection.losses import Squared, ZeroOne
from skysail.selection.scores import Log, TopK
from skysail.selection.table import LOSSES, POLICIES, make_loss, make_policy

MODELS = ("a", "b")

OWN = """
    from dataclasses import dataclass
    from typing import ClassVar
    from skysail.selection.base import Policy
    from skysail.types import Distribution, State

    @dataclass(frozen=True, kw_only=True)
    class First(Policy):
        name: ClassVar[str] = "first"
        size: float = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.size > 9:
                raise ValueError("size is too much")

        def weigh(self, state: State) -> Distribution:
            return Distribution(state.models, (1.0,) + (0.0,) * (len(state.sums) - 1))

    class Unfinished(Policy):
        name = "unfinished"

    class Anonymous(Policy):
        def weigh(self, state): ...

    class Other:
        pass

    class Exact:
        name = "exact"
        def check_label(self, label): pass
        def loss(self, output, label): return float(output != label)
        def agree(self, a, b): return a == b
        def combine(self, weighted): return weighted[0][1]

    class Half:
        name = "half"
        def loss(self, output, label): return 0.0
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a module of one's own."""
    (tmp_path / "mine.py").write_text(dedent(OWN))
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    (tmp_path / "wrong.py").write_text("def f(:")
    return tmp_path


def policy(name: str, params: dict[str, Any] | None = None, root: Path | None = None) -> Policy:
    """A policy for the two models."""
    return make_policy(name, params or {}, loss=ZeroOne(), models=MODELS, import_root=str(root or ""))


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_made_by_its_name(name: str) -> None:
    """The name in the table is the class's own, and the application's loss is set."""
    loss = ZeroOne()
    made = make_policy(name, {}, loss=loss, models=MODELS)
    assert made.name == name
    assert made.loss is loss


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_made_by_its_name(name: str) -> None:
    """The name in the table is the class's own."""
    assert make_loss(name, {}).name == name


def test_parameters_are_passed() -> None:
    """Parameters of the config file arrive as fields, those that name models checked."""
    assert policy("adahedge", {"forget": 0.99, "eta": 0.1}) == policy("adahedge", {"eta": 0.1, "forget": 0.99})
    assert vars(policy("static", {"weights": [1, 3]}))["weights"] == {"a": 1, "b": 3}
    assert vars(make_loss("squared", {"range": [0, 5], "tolerance": 1}))["range"] == [0, 5]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("adahege", {}, r"policy = 'adahege' is unknown \(did you mean 'adahedge'\?\); your own is 'module:Class'"),
        ("exp3", {"etta": 1}, r"policy 'exp3' has no parameter 'etta' \(did you mean 'eta'\?\)"),
        ("exp3", {"loss": "log"}, "policy 'exp3' has no parameter 'loss'"),
        ("vote", {"name": "x"}, "policy 'vote' has no parameter 'name'"),
        ("exp3", {"eta": "fast"}, "policy 'exp3': eta = 'fast' must be a number above 0"),
        ("thompson", {"forget": 2}, "policy 'thompson': forget = 2 must be a number above 0 and of at most 1"),
        ("single", {"model": "c"}, "model = 'c' is none of its models"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said(name: str, params: dict[str, Any], message: str) -> None:
    """Unknown names and parameters come with the nearest known, values with their limits."""
    with pytest.raises(ConfigError, match=message):
        policy(name, params)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("zero_on", {}, r"loss = 'zero_on' is unknown \(did you mean 'zero_one'\?\)"),
        ("squared", {"rnge": [0, 1]}, r"loss 'squared' has no parameter 'rnge' \(did you mean 'range'\?\)"),
        ("zero_one", {"tolerance": 1}, r"loss 'zero_one' has no parameter 'tolerance' \(known: labels\)"),
        ("log", {"floor": 2}, "loss 'log': floor = 2 must be a number"),
    ],
)
def test_what_is_wrong_with_a_loss_is_said(name: str, params: dict[str, Any], message: str) -> None:
    """Unknown names and parameters come with the nearest known, values with their limits."""
    with pytest.raises(ConfigError, match=message):
        make_loss(name, params)


@pytest.mark.parametrize("path", ["mine.py:First", "mine:First"])
def test_a_policy_of_ones_own_is_found(own: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By file or by module, in the config file's folder; the same class each time, its parameters checked like ours."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    made = policy(path, {"size": 2}, own)
    assert (made.name, vars(made)["size"]) == ("first", 2)
    assert type(policy(path, {}, own)) is type(made)
    with pytest.raises(ConfigError, match=r"has no parameter 'sise' \(did you mean 'size'\?\)"):
        policy(path, {"sise": 1}, own)
    with pytest.raises(ConfigError, match="refuses its parameters: size is too much"):
        policy(path, {"size": 10}, own)
    sys.modules.pop("mine", None)


def test_a_loss_of_ones_own_is_found(own: Path) -> None:
    """Any class with the parts of a loss is one."""
    assert make_loss("mine.py:Exact", {}, import_root=str(own)).loss(1, 2) == 1.0
    with pytest.raises(ConfigError, match="is not a loss: define check_label, agree, combine in Half"):
        make_loss("mine.py:Half", {}, import_root=str(own))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mine.py:Fist", r"mine.py has no 'Fist' \(did you mean 'First'\?\)"),
        ("mine.py:dataclass", "'dataclass' is not a class"),
        ("mine.py:Other", "is not a policy: derive Other from skysail.Policy"),
        ("mine.py:Unfinished", "is not finished: define weigh in Unfinished"),
        ("mine.py:Anonymous", "has no name: set `name` in Anonymous"),
        ("missing.py:First", "missing.py cannot be imported: FileNotFoundError"),
        (
            "broken.py:First",
            "broken.py cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("wrong.py:First", "wrong.py cannot be imported: SyntaxError"),
        ("no_such_package.mod:First", "no_such_package.mod cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_an_import_path_is_said(own: Path, path: str, message: str) -> None:
    """The message names the path, what is wrong with it, and where there is one the remedy."""
    with pytest.raises(ConfigError, match=message):
        policy(path, {}, own)


EDITED = OWN.replace('"first"', '"other"')
"""Another policy, in a text that is as long."""


@pytest.mark.parametrize("path", ["mine.py:First", "mine:First"])
def test_code_that_has_changed_is_imported_anew(own: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same second too, and of the same length; a class of before goes on as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    before = policy(path, {}, own)
    (own / "mine.py").write_text(dedent(EDITED))
    after = policy(path, {}, own)
    assert (before.name, after.name) == ("first", "other")
    assert type(policy(path, {}, own)) is type(after)
    assert before != after
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("path", ["mine.py:First", "mine:First"])
def test_code_that_cannot_be_imported_anew_leaves_what_was(
    own: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what is wrong with it, and the module is the old one until it is mended."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    before = policy(path, {}, own)
    (own / "mine.py").write_text("def f(:")
    with pytest.raises(ConfigError, match=r"mine(\.py)? cannot be imported: SyntaxError"):
        policy(path, {}, own)
    (own / "mine.py").write_text(dedent(OWN))
    assert type(policy(path, {}, own)) is type(before)
    sys.modules.pop("mine", None)


def test_labels_are_for_the_losses_that_take_them(own: Path) -> None:
    """Those of the models, unless the loss was given its own; a loss of numbers has none, and one's own need not."""
    assert make_loss("log", {}, labels=("a", "b")) == Log(labels=("a", "b"))
    assert make_loss("top_k", {"k": 2, "labels": ["x", "y"]}, labels=("a", "b")) == TopK(k=2, labels=["x", "y"])
    assert make_loss("squared", {}, labels=("a", "b")) == Squared()
    assert make_loss("mine.py:Exact", {}, labels=("a", "b"), import_root=str(own)).name == "exact"


def test_modules_in_packages_are_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is imported first, and has the new module as it had the old one."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_pack").mkdir()
    (tmp_path / "own_pack" / "__init__.py").write_text("")
    for text, name in ((OWN, "first"), (EDITED, "other")):
        (tmp_path / "own_pack" / "inner.py").write_text(dedent(text))
        made = policy("own_pack.inner:First", {}, tmp_path)
        assert made.name == name
        assert sys.modules["own_pack"].inner.First is type(made)
    for module in ("own_pack", "own_pack.inner"):
        sys.modules.pop(module)


def test_a_module_of_another_origin_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own file of the name of a module that Python has loaded does not take its place."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = sys.modules["dataclasses"]
    for text in (OWN, EDITED):
        (tmp_path / "dataclasses.py").write_text(dedent(text))
        with pytest.raises(ConfigError, match="dataclasses has no 'First'"):
            policy("dataclasses:First", {}, tmp_path)
    assert sys.modules["dataclasses"] is before
