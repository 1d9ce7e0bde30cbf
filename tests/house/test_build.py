"""How a wheel is built: what is compiled, and that what runs is what was built."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
MADE = Path(os.environ.get("PYTHONPATH", "").partition(os.pathsep)[0])
"""The compiled package, where the tests are run on it."""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The build script."""
    pytest.importorskip("hatchling", reason="the build script needs what runs it")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled_names() -> list[str]:
    """What the build script lists, read without running it."""
    for node in ast.parse((ROOT / "hatch_build.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="COMPILED")]):
                names: list[str] = list(ast.literal_eval(node.value))
                return names
    raise AssertionError("hatch_build.py lists nothing to compile")


def test_what_is_compiled_is_there() -> None:
    """Each name is a module, in order and once."""
    names = compiled_names()
    assert names == sorted(set(names))
    assert all((ROOT / "src" / "skysail" / f"{name}.py").is_file() for name in names)


@pytest.mark.parametrize("name", compiled_names())
def test_what_is_compiled_can_be(name: str) -> None:
    """No class of msgspec's is in a compiled module: it would find its annotations gone, and take nothing as given."""
    tree = ast.parse((ROOT / "src" / "skysail" / f"{name}.py").read_text())
    bases = [ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    assert "msgspec.Struct" not in bases


@pytest.mark.skipif(not (MADE / "skysail").is_dir(), reason="make test-compiled runs the tests on the compiled package")
@pytest.mark.parametrize("name", compiled_names())
def test_what_runs_is_what_was_built(name: str) -> None:
    """The modules that the tests import are the extensions."""
    module = importlib.import_module(f"skysail.{name.replace('/', '.')}")
    assert str(module.__file__).endswith(SUFFIX)


class Build:
    """What a hook sees of the build it belongs to."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize(("version", "warnings"), [("editable", 0), ("standard", 1)])
def test_without_a_compiler_the_wheel_is_pure(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, warnings: int
) -> None:
    """It says so, and goes on; an editable install has nothing to say."""
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    app, data = Build(), {"force_include": {}}
    hook = build.CompileHook(str(ROOT), {}, None, None, str(tmp_path), "wheel", app)
    hook.initialize(version, data)
    assert data == {"force_include": {}}
    assert len(app.warnings) == warnings
