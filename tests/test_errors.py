from __future__ import annotations

import inspect

import pytest

from skysail import errors
from skysail.errors import MissingExtra, SkysailError, nearest

EVERY = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, SkysailError)]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_tree_of_the_docstring(kind: type[SkysailError]) -> None:
    """The module's head is the map: each class stands in it with its code, where it has one of its own."""
    line = next(line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split())
    if issubclass(kind, errors.RequestError | errors.ServingError) and len(line.split()) == 3:
        assert line.split()[-1] == kind.code


def test_an_error_keeps_its_message_as_it_is() -> None:
    """What is raised is what the caller reads."""
    error = errors.Overload("too much")
    assert error.message == str(error) == "too much"


def test_a_missing_extra_names_the_command() -> None:
    """The remedy can be pasted into a shell."""
    assert "pip install 'skysail[onnx]'" in MissingExtra("model 'a'", "onnx", "onnxruntime").message


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("forst", ["forest", "svm"], "did you mean 'forest'?"),
        ("q", ["a", "b"], "known: a, b"),
        ("q", [], "none is known"),
    ],
)
def test_an_unknown_name_gets_a_hint(name: str, known: list[str], hint: str) -> None:
    """The nearest known name, or all of them."""
    assert nearest(name, known) == hint
