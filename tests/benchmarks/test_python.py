"""Which Python the benchmarks are run with."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which is part of the repository and not of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.python")


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ({}, "own"),
        ({"same": 1.0}, "own"),
        ({"hardly": 0.95}, "own"),
        ({"slow": 2.0, "quick": 0.5, "good": 0.8}, "quick"),
    ],
)
def test_another_is_taken_where_it_is_clearly_quicker(
    module: ModuleType, others: dict[str, float], chosen: str
) -> None:
    """Ours, unless the quickest of the others takes a tenth less."""
    assert module.quickest("own", others, 1.0) == chosen


def test_what_could_not_run_or_compile_skysail_is_no_candidate(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that is too old, or no Python at all, is passed over."""
    assert not module._usable("/bin/false")
    monkeypatch.setattr(module, "_LEAST", (99, 0))
    assert not module._usable(sys.executable)


def test_it_prints_a_python_and_why() -> None:
    """The path alone goes to the standard output, since a Makefile reads it; the times go beside it."""
    command = [sys.executable, str(ROOT / "benchmarks" / "python.py")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert Path(done.stdout.strip()).is_file()
    assert f"{done.stdout.strip()} takes" in done.stderr
