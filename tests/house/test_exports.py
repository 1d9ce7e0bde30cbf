"""What each module offers: `__all__` is complete and true, and each export says what it is. ruff keeps it in order."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
MODULES = [path for path in sorted(SRC.rglob("*.py")) if path.name != "__init__.py"]
PACKAGES = sorted(SRC.rglob("__init__.py"))

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """The names a module itself binds at its top level, imports apart (`skysail.values` is part of `skysail.types`)."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        match node:
            case ast.ImportFrom(module="skysail.values", names=names):
                found |= {alias.name: node for alias in names}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = node
            case ast.Assign(targets=targets):
                found |= {name.id: node for t in targets for name in ast.walk(t) if isinstance(name, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
    return found


def exported(tree: ast.Module) -> list[str] | None:
    """What `__all__` lists; `None` where there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def check_exports(tree: ast.Module) -> None:
    """Compare `__all__` with the public names bound, and look for docstrings."""
    bound = definitions(tree)
    public = {name for name in bound if not name.startswith("_")}
    names = exported(tree)
    assert names is not None, "no __all__"
    assert len(names) == len(set(names)), "a name is listed twice"
    assert set(names) == public, f"only in __all__: {set(names) - public}; missing in it: {public - set(names)}"
    mute = [n for n in names if isinstance(node := bound[n], Definition) and not ast.get_docstring(node)]
    assert not mute, f"no docstring: {mute}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_all_is_what_the_module_defines(path: Path) -> None:
    """`__all__` is the public names defined in the module, none twice, each class and function with a docstring."""
    check_exports(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.relative_to(SRC)))
def test_packages_define_nothing(path: Path) -> None:
    """A package's own file is a sentence about it; only the root's offers names."""
    tree = ast.parse(path.read_text())
    if path.parent.name != "skysail":
        assert not [node for node in tree.body if not (isinstance(node, ast.Expr) and node is tree.body[0])]


def test_the_root_offers_what_it_lists() -> None:
    """Every name in `skysail.__all__` is there, and is what its own module exports."""
    root = importlib.import_module("skysail")
    assert root.__all__
    for name in root.__all__:
        thing = getattr(root, name)
        home = importlib.import_module(thing.__module__)
        assert name in home.__all__
        assert getattr(home, name) is thing
    assert set(root.__all__) <= set(dir(root))


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "__all__ = []\ndef f(): 'doc'",
        "__all__ = ['f', 'f']\ndef f(): 'doc'",
        "__all__ = ['f']\ndef f(): pass",
        "__all__ = ['path']\nfrom os import path",
    ],
)
def test_a_wrong_list_is_seen(source: str) -> None:
    """A missing list, a missing or doubled name, a mute function and a mere re-export are refused."""
    with pytest.raises(AssertionError):
        check_exports(ast.parse(source))
