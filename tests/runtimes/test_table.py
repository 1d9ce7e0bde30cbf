"""Runtimes by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skysail.errors import ConfigError
from skysail.runtimes.table import RUNTIMES, runtime_class

EXTRAS = {"sklearn": ("joblib", "scikit-learn"), "onnx": ("onnxruntime",) * 2, "lightgbm": ("lightgbm",) * 2}
"""For each runtime with an extra: what it imports, and the library as it is installed."""

WITHOUT = """
import sys
sys.modules[sys.argv[2]] = None
from skysail.runtimes.table import runtime_class
try:
    runtime_class(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name", RUNTIMES)
def test_each_name_leads_to_its_class(name: str) -> None:
    """The table names a class that knows itself by the same name."""
    assert runtime_class(name).name == name


def test_an_unknown_name_is_refused() -> None:
    """The nearest known name is offered."""
    with pytest.raises(ConfigError, match=r"runtime = 'sklern' is unknown.*did you mean 'sklearn'"):
        runtime_class("sklern")


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_library_names_the_extra(name: str) -> None:
    """Where the library is not installed, the error says exactly what to install."""
    module, library = EXTRAS[name]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, name, module], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("MissingExtra")
    assert f"needs {library}" in done.stdout
    assert f"pip install 'skysail[{name}]'" in done.stdout


def test_every_extra_is_tested() -> None:
    """Only plain Python needs nothing."""
    assert set(RUNTIMES) == {*EXTRAS, "python"}
