"""The import contract: the floors of the package, top to bottom. Imports go strictly down; the list is the map."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOORS = (
    "api",
    "cli",
    "bench demo testing",
    "http admin",
    "assembly",
    "monitoring registry",
    "engine",
    "evaluation rescue",
    "pending",
    "applications",
    "worker replicas feedback supervisor",
    "selection cache batching runtimes",
    "config wire stores stats client serving",
    "inputs calls deadlines malloc",
    "types errors clock ids descriptors",
    "values",
)

SIDEWAYS = {
    # One table maps error codes to statuses, for both planes.
    ("admin", "skysail.http.status"),
}

SRC = Path(__file__).parents[2] / "src" / "skysail"
HEIGHT = {part: -i for i, floor in enumerate(FLOORS) for part in floor.split()}


def part_of(path: Path) -> str:
    """The name under `skysail` that a file belongs to; empty for the package root itself."""
    first = path.relative_to(SRC).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Every import of ours in a file, wherever in it, with its line; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] in {"skysail", ""})


def trespasses(part: str, source: str) -> list[str]:
    """What a file of that part imports and may not, with the reason."""
    found = []
    for line, name in imports(source):
        target = name.partition(".")[2].partition(".")[0]
        if target not in HEIGHT:
            found.append(f"{line}: {name}: import from the defining module, by its absolute name")
        elif target != part and HEIGHT[target] >= HEIGHT[part] and not allowed(part, name):
            found.append(f"{line}: {name}: {part} is not above {target}")
    return found


def allowed(part: str, name: str) -> bool:
    """Whether an import is one of the few that go sideways."""
    return any(part == who and f"{name}.".startswith(f"{module}.") for who, module in SIDEWAYS)


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC)))
def test_imports_go_down(path: Path) -> None:
    """No file imports upwards, sideways, or through the package root."""
    part = part_of(path)
    if part in {"", "__main__"}:  # the front doors, which only forward
        return
    assert part in HEIGHT, f"{part} has no floor: give it one in FLOORS"
    assert not (found := trespasses(part, path.read_text())), "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "from skysail.engine import Engine",
        "from skysail import engine",
        "import skysail.http.main",
        "def f():\n    from skysail.admin import main",
        "if TYPE_CHECKING:\n    from skysail.replicas.pool import Pool",
        "from skysail.batching.batcher import Batcher",
        "from skysail import App",
        "import skysail",
        "from skysail.errors import *\nfrom . import base",
        "from ..wire import link",
    ],
)
def test_the_contract_can_be_broken(line: str) -> None:
    """Each way of importing upwards, sideways or through the root is seen from a station such as the cache."""
    assert trespasses("cache", line)


@pytest.mark.parametrize(
    "line",
    [
        "from skysail.types import Query",
        "from skysail.stats.histogram import H",
        "import skysail.cache.base",
        "import os",
    ],
)
def test_the_contract_can_be_kept(line: str) -> None:
    """Imports downwards, within the package and of others are left alone."""
    assert not trespasses("cache", line)
