from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from skysail.cli.local import COMMANDS as LOCAL
from skysail.cli.remote import COMMANDS as REMOTE

NAMES = [command.__name__ for command in (*LOCAL, *REMOTE)]


def test_help_lists_every_command_in_one_line(invoke: Callable[..., Any]) -> None:
    """Each command has a summary that is not cut off."""
    done = invoke("--help")
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.startswith("  ") and line.split()}
    for name in NAMES:
        assert lines[name].endswith(".")
        assert not lines[name].endswith("...")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(invoke: Callable[..., Any], name: str) -> None:
    """`COMMAND -h` shows its usage, and text for each argument and option."""
    done = invoke(name, "-h")
    assert done.code == 0
    assert f" {name} " in done.out
    assert done.err == ""


def test_an_unknown_command_is_wrong_usage(invoke: Callable[..., Any]) -> None:
    """Exit code 2, and the name that was not known."""
    done = invoke("severe")
    assert done.code == 2
    assert "severe" in done.err
    assert "Traceback" not in done.err


def test_a_value_out_of_range_is_wrong_usage(invoke: Callable[..., Any]) -> None:
    """Exit code 2, with the option and its range."""
    done = invoke("serve", "x.toml", "--port", "70000")
    assert done.code == 2
    assert "65535" in done.err
    assert "--port" in done.err


def test_help_loads_nothing_heavy() -> None:
    """Asking for help imports no server, no HTTP client and no numerical library."""
    code = "import sys, skysail.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"numpy", "httpx", "uvloop", "starlette", "sklearn", "rich.console", "skysail.client", "skysail.assembly"}
    assert "skysail.cli.main" in loaded
    assert not loaded & heavy


def test_the_module_can_be_run() -> None:
    """`python -m skysail.cli.main` is the command, exit code and all."""
    command = [sys.executable, "-m", "skysail.cli.main", "status", "--admin-url", "http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
