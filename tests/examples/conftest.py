"""Pages that are walked as a reader would: files are saved, the server is started, commands are typed.

The fence of a block says what it is for. `sh serve` starts the server, `sh fails` must fail, `sh install` is left out
(the tests' own environment is used), any other `sh` must succeed. A `python` or `toml` block is saved where the text
before it says "as `NAME`". A `text` block says what the command before it printed, but for the numbers in it and the
order of its lines; a `json` block, what fields its answer has, and its output.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"\bas\s+`([\w.]+)`")
READY = re.compile(r"skysail ready: (http://\S+) admin (http://\S+)\n")
NUMBER = re.compile(r"\d[\d.a-f]*|–")

READY_SECONDS = 90
COMMAND_SECONDS = 90
STOP_SECONDS = 30

SHIM = """#!{python}
import sys
from skysail.cli.main import main

PLANES = {{"predict": ["--url", {url!r}], "observe": ["--url", {url!r}]}}
LOCAL = {{"serve": ["--port", "0", "--admin-port", "0"], "check": []}}
command = sys.argv[1]
main([*sys.argv[1:], *(PLANES | LOCAL).get(command, ["--admin-url", {admin_url!r}])])
"""
"""`skysail`, for a server that is at ports of its own."""


class Addresses(NamedTuple):
    """Where the server is."""

    url: str = ""
    admin_url: str = ""


class Walk:
    """A reader in a folder: a server in one terminal, commands in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.addresses = Addresses()
        self.server: subprocess.Popen[str] | None = None
        self.log = folder / "server.log"
        self.printed = ""
        self._bin = folder / ".reader"
        self._bin.mkdir()
        self._env = os.environ | {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        }
        self._script("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self._install()

    def walk(self, page: Path) -> None:
        """Do all that a page says, in order."""
        text = page.read_text()
        end = 0
        for block in FENCE.finditer(text):
            self._take(block[1], block[2], block[3], text[end : block.start()])
            end = block.end()

    def serve(self, command: str = "skysail serve skysail.toml") -> None:
        """Start the server, and wait until it is ready."""
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.server.stdout is not None
        readable, _, _ = select.select([self.server.stdout], [], [], READY_SECONDS)
        line = self.server.stdout.readline() if readable else ""
        ready = READY.fullmatch(line)
        assert ready, f"{line!r}\n{self.log.read_text()}"
        self.addresses = Addresses(ready[1], ready[2])
        self._install()

    def run(self, command: str, *, fails: bool = False) -> str:
        """Type a command; what it printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._filled(command)],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"{command}\n{done.stdout}{done.stderr}{self._server_log()}"
        return done.stderr if fails else done.stdout

    def stop(self) -> int:
        """End the server as Ctrl-C or SIGTERM does; its exit status."""
        assert self.server is not None
        self.server.send_signal(signal.SIGTERM)
        return self.server.wait(STOP_SECONDS)

    def close(self) -> None:
        """Leave nothing running."""
        if self.server is not None:
            if self.server.poll() is None:
                self.server.kill()  # its children see their lifeline end
                self.server.wait()
            assert self.server.stdout is not None
            self.server.stdout.close()

    def _take(self, language: str, flag: str | None, text: str, before: str) -> None:
        match language, flag:
            case "sh", "install":
                pass
            case "sh", "serve":
                self.serve(text.strip())
            case "sh", _:
                self.printed = self.run(text, fails=flag == "fails")
            case (("json" | "text"), _) if self.printed:
                same = same_answer if language == "json" else same_lines
                same(text, self.printed)
                self.printed = ""
            case "python" | "toml", _:
                self._save(before, text)

    def _save(self, before: str, text: str) -> None:
        """Save a file; what follows it is not an answer. Objectives are stretched, for the machine may be busy."""
        self.printed = ""
        names = NAMED.findall(before)
        if names:
            (self.folder / names[-1]).write_text(
                self._filled(re.sub(r'^slo = "\w+"', 'slo = "20s"', text, flags=re.MULTILINE))
            )

    def _filled(self, text: str) -> str:
        """The text, with the server's own addresses for the usual ones."""
        url, admin_url = self.addresses
        client = f"skysail.Client({url!r}, {admin_url!r}, timeout=60)"
        return text.replace("skysail.Client()", client).replace("localhost:8000", url.removeprefix("http://"))

    def _install(self) -> None:
        url, admin_url = self.addresses
        self._script("skysail", SHIM.format(python=sys.executable, url=url, admin_url=admin_url))

    def _script(self, name: str, text: str) -> None:
        script = self._bin / name
        script.write_text(text)
        script.chmod(0o755)

    def _server_log(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def same_answer(told: str, given: str) -> None:
    """Two answers have the same fields, and the same output."""
    one, other = json.loads(told), json.loads(given)
    assert one.keys() == other.keys()
    assert one.get("output") == other.get("output")


def same_lines(told: str, given: str) -> None:
    """Two texts have the same lines but for numbers, in any order."""
    one, other = (
        sorted(NUMBER.sub("#", line).rstrip() for line in text.strip().splitlines()) for text in (told, given)
    )
    assert one == other


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Callable[[Path | None], Walk]]:
    """Makes a reader in an empty folder, or in one with the files of an example."""
    walks: list[Walk] = []

    def make(example: Path | None = None) -> Walk:
        for file in [] if example is None else example.iterdir():
            if file.is_file():
                (tmp_path / file.name).write_bytes(file.read_bytes())
        walks.append(Walk(tmp_path))
        return walks[-1]

    yield make
    for walk in walks:
        walk.close()
