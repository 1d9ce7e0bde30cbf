from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports of the experiments by name; they are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    return lambda name: import_module(f"benchmarks.paper.{name}")
