"""The house rules a machine can check: sizes, owners of tasks, homes of time and chance, tests for everything."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "skysail"

FILE_WALL = 600
FUNCTION_WALL = 60
HOT_WALL = 120
HOT = {"src/skysail/engine.py", "src/skysail/http/connection.py"}
"""Where a call costs more than a long function does."""

TIMEKEEPERS = {"src/skysail/clock.py"}
"""The one home of time."""

UNTESTED = {
    "stores/base.py",  # an interface and its records: every store's tests are its own
}
"""Modules without a test file of their own."""

HOMELESS = {
    "house": "rules about the whole repository",
    "e2e": "the whole system, from outside",
    "examples": "what the examples promise",
    "benchmarks": "the measuring itself",
}
"""Folders of tests that belong to no one module."""


def repository_files() -> list[Path]:
    """The files that are, or would be, in the repository."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):  # a copy without its history
        listed = [str(path.relative_to(ROOT)) for top in ("src", "tests", "docs") for path in (ROOT / top).rglob("*.*")]
    return sorted(path for name in listed if name and (path := ROOT / name).is_file())


def relative(path: Path) -> str:
    """A path as the lists here and the messages of tests have it."""
    return path.relative_to(ROOT).as_posix()


FILES = repository_files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
OURS = [path for path in PYTHON if path.is_relative_to(SRC)]
TESTS = [path for path in PYTHON if path.is_relative_to(ROOT / "tests") and path.name.startswith("test_")]


@cache
def parse(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(), filename=str(path))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function in a tree, methods and nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of such an expression; of any other, the part that is one."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def mentions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every dotted name used or imported, with its line, as if no import had renamed it."""
    renamed: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            renamed |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = dotted(node).partition(".")
            yield node.lineno, f"{renamed.get(first, first)}.{rest}"


# Sizes


def overlong(tree: ast.AST, wall: int) -> list[str]:
    """The functions that are longer than the wall."""
    sizes = ((f, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions(tree))
    return [f"line {f.lineno}: {f.name} has {size} lines, over {wall}" for f, size in sizes if size > wall]


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_sizes(path: Path) -> None:
    """No file is over 600 lines and no function over 60 (the parser's and the engine's: 120)."""
    lines = path.read_text().count("\n")
    assert lines <= FILE_WALL, f"{lines} lines, over {FILE_WALL}"
    found = overlong(parse(path), HOT_WALL if relative(path) in HOT else FUNCTION_WALL)
    assert not found, "\n".join(found)


# Tasks, time, chance


def task_groups(tree: ast.AST) -> set[str]:
    """The names that a file binds to a task group: by `async with`, by assignment or by annotation."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.withitem(context_expr=ast.Call(func=kind), optional_vars=ast.AST() as target):
                pass
            case ast.arg(annotation=ast.AST() as kind, arg=name):
                target = ast.Name(name)
            case ast.AnnAssign(annotation=kind, target=target):
                pass
            case ast.Assign(value=ast.Call(func=kind), targets=[target]):
                pass
            case _:
                continue
        if ast.unparse(kind).startswith(("TaskGroup", "asyncio.TaskGroup")):
            found.add(dotted(target))
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and dotted(node.value) in found]
    found |= {dotted(target) for node in assigned for target in node.targets}
    return found - {""}


def unowned_tasks(tree: ast.AST) -> list[str]:
    """Tasks nobody keeps: `create_task(…)` as a statement, or to `_`, but on a task group, which is the owner."""
    groups, found = task_groups(tree), []
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=func)) | ast.Assign(targets=[ast.Name("_")], value=ast.Call(func=func)):
                owner, _, name = dotted(func).rpartition(".")
                if name in {"create_task", "ensure_future"} and owner not in groups:
                    found.append(f"line {node.lineno}: the result of {dotted(func)} is dropped")
            case _:
                pass
    return found


CLOCKS = re.compile(
    r"time\.(time|monotonic|perf_counter|process_time|thread_time)(_ns)?|(datetime\.)+(now|utcnow|today)"
)
CHANCE = re.compile(
    r"random\.(?!Random\b|SystemRandom\b)\w+"
    r"|(numpy|np)\.random\.(?!default_rng\b|Generator\b|SeedSequence\b|PCG64\b)\w+"
    r"|uuid\.uuid\d"
)


def uses(tree: ast.AST, forbidden: re.Pattern[str]) -> list[str]:
    """Where a tree uses or imports a name of that pattern."""
    return [f"line {line}: {name}" for line, name in mentions(tree) if forbidden.fullmatch(name)]


@pytest.mark.parametrize("path", OURS, ids=relative)
def test_tasks_have_owners(path: Path) -> None:
    """The result of `create_task` is kept, by a name or by a task group."""
    assert not (found := unowned_tasks(parse(path))), "\n".join(found)


@pytest.mark.parametrize("path", [path for path in OURS if relative(path) not in TIMEKEEPERS], ids=relative)
def test_time_comes_in_as_an_argument(path: Path) -> None:
    """No module reads a clock, but the one that is the clock."""
    assert not (found := uses(parse(path), CLOCKS)), "\n".join(found)


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_chance_comes_in_as_an_argument(path: Path) -> None:
    """Random numbers come from a generator that was seeded, never from a module's own; so tests are repeatable."""
    assert not (found := uses(parse(path), CHANCE)), "\n".join(found)


# Tests


def cases(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions of a file, at its top level and in classes."""
    homes = [tree, *(node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.ClassDef))]
    for home in homes:
        for node in ast.iter_child_nodes(home):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                yield node


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_tests_say_what_they_hold(path: Path) -> None:
    """There are tests in a test file, and each has a docstring that says in a sentence what must be so."""
    tests = list(cases(parse(path)))
    assert tests
    mute = [f"line {test.lineno}: {test.name}" for test in tests if not (ast.get_docstring(test) or "").strip()]
    assert not mute, "\n".join(mute)


def home_of_tests(module: Path) -> Path:
    """Where the tests of a module are: `src/skysail/a/b.py` → `tests/a/test_b.py`."""
    inner = module.relative_to(SRC)
    return ROOT / "tests" / inner.parent / f"test_{inner.name}"


@pytest.mark.parametrize("path", [path for path in OURS if not path.name.startswith("__")], ids=relative)
def test_modules_have_tests(path: Path) -> None:
    """Each module has a test file of its own, in the same place."""
    if path.relative_to(SRC).as_posix() in UNTESTED:
        return
    assert home_of_tests(path).is_file(), f"no {relative(home_of_tests(path))}"


def test_tests_have_modules() -> None:
    """Each test file tests a module that is there, or is in a folder that says why not."""
    homes = {home_of_tests(path) for path in OURS}
    strays = [path for path in TESTS if path not in homes and path.relative_to(ROOT).parts[1] not in HOMELESS]
    assert not strays, [relative(path) for path in strays]


def test_the_exceptions_are_needed() -> None:
    """A name in a list of exceptions is of something that is there, and needs the exception."""
    for name in UNTESTED:
        assert (SRC / name).is_file(), name
        assert not home_of_tests(SRC / name).is_file(), name
    for path in (*HOT, *TIMEKEEPERS):
        assert (ROOT / path).is_file(), path


# The repository


LOCAL = re.compile(
    r"(?<![\w.$-])/(?:root|home/\w+|Users/\w+|work|opt/(?!homebrew)\w+|tmp/venv)/"  # a machine's own folders
    r"|\bpypi\.org|pythonhosted\.org|--(?:extra-)?index-url|\banaconda\.org|\bghcr\.io",  # registries
)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_names_no_machine(path: Path) -> None:
    """No file names a folder of one machine, or a registry: both differ from reader to reader."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # pictures and the like
        return
    found = [f"line {n}: {hit[0]}" for n, line in enumerate(text.splitlines(), 1) if (hit := LOCAL.search(line))]
    assert not found, "\n".join(found)


# The rules themselves


@pytest.mark.parametrize(
    "source",
    [
        "asyncio.create_task(f())",
        "_ = loop.create_task(f())",
        "async def g():\n    asyncio.ensure_future(f())",
        "self._loop.create_task(f())",
    ],
)
def test_an_unowned_task_is_seen(source: str) -> None:
    """Each way of dropping a task is seen; keeping it, or leaving it to a group, is not."""
    assert unowned_tasks(ast.parse(source))
    kept = """
task = asyncio.create_task(f())
async def g(tasks: asyncio.TaskGroup):
    tasks.create_task(f())
    async with TaskGroup() as group:
        group.create_task(f())
        self.mine = group
        self.mine.create_task(f())
    self.group: TaskGroup | None = None
    self.group.create_task(f())
    self.children = asyncio.TaskGroup()
    self.children.create_task(f())
"""
    assert not unowned_tasks(ast.parse(kept))


@pytest.mark.parametrize(
    "source",
    [
        "import time\nx = time.monotonic()",
        "from time import perf_counter_ns",
        "import time as t\nf(clock=t.time)",
        "from datetime import datetime\ndatetime.now(UTC)",
        "import datetime\ndatetime.datetime.now(UTC)",
    ],
)
def test_a_clock_is_seen(source: str) -> None:
    """A clock is seen, called or handed on, however it was imported; sleeping is another matter."""
    assert uses(ast.parse(source), CLOCKS)
    assert not uses(ast.parse("import time\ntime.sleep(1)\nclock.monotonic()\nself.time.wall()"), CLOCKS)


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.random()",
        "from random import choice",
        "import numpy as np\nnp.random.rand(3)",
        "from uuid import uuid4",
    ],
)
def test_chance_is_seen(source: str) -> None:
    """A module's own generator is seen; one that was made and seeded is not."""
    assert uses(ast.parse(source), CHANCE)
    kept = "from random import Random\nimport numpy as np\nnp.random.default_rng(1).random()\nself.random.random()"
    assert not uses(ast.parse(kept), CHANCE)


def test_a_long_function_is_seen() -> None:
    """A function one line over the wall is seen, also within a class."""
    line = "        x = 1\n"
    assert overlong(ast.parse(f"class A:\n    def f():\n{line * FUNCTION_WALL}"), FUNCTION_WALL)
    assert not overlong(ast.parse(f"class A:\n    def f():\n{line * (FUNCTION_WALL - 1)}"), FUNCTION_WALL)


@pytest.mark.parametrize("path", ["/" + "root/x", "'/" + "work/main'", "pypi" + ".org", "--index" + "-url x"])
def test_a_machine_is_seen(path: str) -> None:
    """Folders and registries are seen; a path of the project's own is not."""
    assert LOCAL.search(path)
    assert not LOCAL.search("./work/x, models/home/x, $ROOT/root/x, https://example.com/work/x")
