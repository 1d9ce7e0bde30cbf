"""A server that cannot start says why in one line, with what to change, and ends with the right code."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

    Cli = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
[models]
plain = { path = "ZOO:echo" }

[apps]
words = { models = ["plain"], slo = "5s" }
"""

BROKEN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # name: settings, config, words of the message
    "a key with a typo": ("", CONFIG.replace("slo", "sol"), ("apps.words.sol", "did you mean 'slo'?")),
    "an unknown policy": ("", CONFIG + 'x = {models=["plain"], policy="adahegde"}', ("did you mean 'adahedge'?",)),
    "a missing file": ("", CONFIG.replace("ZOO:echo", "models/svm.joblib"), ("models/svm.joblib", "no file at")),
    "an open door": ('admin_host = "0.0.0.0"\nstate = "memory://"', CONFIG, ("admin_host", "token")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_config(name: str, cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 2, and one line on standard error that names the key, the value and the remedy."""
    settings, config, words = BROKEN[name]
    file = write(tmp_path, config, settings)
    done = cli("serve", file)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert one_line(done.stderr)
    assert all(word in done.stderr for word in words), done.stderr


def one_line(text: str) -> bool:
    """Whether an error was told in one line."""
    return re.fullmatch(r"error: [^\n]{10,600}\n", text) is not None


def test_checking_a_config(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """`check` finds the same without serving, and a file that is not there."""
    broken = cli("check", write(tmp_path, CONFIG.replace("slo", "sol")))
    assert (broken.returncode, one_line(broken.stderr)) == (2, True), broken.stderr
    missing = cli("check", tmp_path / "nothing.toml")
    assert (missing.returncode, one_line(missing.stderr)) == (2, True), missing.stderr
    assert "nothing.toml" in missing.stderr


def test_an_extra_that_is_not_installed(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """Where the library of a model is missing, the extra to install is named."""
    (tmp_path / "model.onnx").write_bytes(b"x")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'onnxruntime' else found(name, *more)\n"
    )
    path = os.pathsep.join([str(hidden), *filter(None, [os.environ.get("PYTHONPATH")])])
    file = write(tmp_path, CONFIG.replace("ZOO:echo", "model.onnx"))
    done = cli("serve", file, environ={"PYTHONPATH": path})
    assert (done.returncode, one_line(done.stderr)) == (2, True), done.stderr
    assert "pip install 'skysail[onnx]'" in done.stderr


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_in_use(option: str, cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """A port that another process has is named, with the key to change."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = cli("serve", write(tmp_path, CONFIG), option, port)
    assert (done.returncode, one_line(done.stderr)) == (2, True), done.stderr
    assert f"127.0.0.1:{port} is taken" in done.stderr
    assert f"[server] {option.strip('-').replace('-', '_')} " in done.stderr


def test_a_state_of_a_newer_version(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """A state file of a newer Skysail is left alone, and the remedy is an upgrade."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    done = cli("serve", write(tmp_path, CONFIG))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    lines = errors(done.stderr)
    assert lines
    assert all("state.db is of format 99" in line and "install a newer Skysail" in line for line in lines)


@pytest.mark.parametrize("kind", ["folder", "noise"])
def test_a_state_that_cannot_be_used(kind: str, cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """A state that cannot be written, or is no state at all, is named with the reason."""
    state = 'state = "sqlite:///under/state.db"'
    if kind == "folder":
        (tmp_path / "under").write_text("a file where the folder should be")
    else:
        (tmp_path / "under").mkdir()
        (tmp_path / "under" / "state.db").write_bytes(b"no database at all, " * 1000)
    done = cli("serve", write(tmp_path, CONFIG, state))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    lines = errors(done.stderr)
    assert lines
    assert all("under" in line for line in lines)
    assert "Traceback" not in done.stderr


def errors(text: str) -> list[str]:
    """What the processes of the server called errors."""
    return [line for line in text.splitlines() if re.match(r"\[\S+\] error: ", line)]


def test_a_corrupt_model(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """Where the only model cannot be read, the last word is which file it is, why, and what to do."""
    (tmp_path / "bad.joblib").write_bytes(b"\x80\x04nothing")
    done = cli("serve", write(tmp_path, CONFIG.replace("ZOO:echo", "bad.joblib")))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (error,) = errors(done.stderr)
    assert str(tmp_path / "bad.joblib") in error
    assert "save it again with joblib.dump" in error


def test_a_second_start(serving: Callable[..., AbstractContextManager[Site]], cli: Cli, tmp_path: Path) -> None:
    """Beside a running server a second one of the same file ends at once and names the port; the first goes on, until
    Ctrl-C ends it in order.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with serving(tmp_path, CONFIG, options=("--port", port)) as site:
        done = cli("serve", site.config, "--port", port)
        assert (done.returncode, one_line(done.stderr)) == (2, True), done.stderr
        assert f"127.0.0.1:{port} is taken" in done.stderr
        assert site.predict("words", "still here")["output"] == "still here"
        children = site.children()
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(40) == 0
        assert not site.left(children)
