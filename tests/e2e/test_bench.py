"""A configuration is measured: by the command, with a real server and a real generator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Cli = Callable[..., subprocess.CompletedProcess[str]]

PATIENCE = 40.0
"""Seconds within which whatever a test waits for comes, however slow the machine."""

CONFIG = """
[models]
plain = { path = "ZOO:echo", input = "float32[4]" }

[apps]
words = { models = ["plain"], slo = "500ms" }
"""


def test_a_config_is_measured(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """The rates that were asked for, batches, and where the time went; no cache answered, and no state was touched."""
    file = write(tmp_path, CONFIG)
    done = cli("bench", file, "--rate", "50,200", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [trial["offered"] for trial in document["trials"]] == [50, 200]
    assert document["cache"]["hits"] == 0
    assert document["batches"]["plain@1/0"]["curve"]
    assert sum(document["time"]["steps"].values()) > 0
    assert "waiting for plain@1" in document["time"]["steps"]
    assert document["search"] is None
    assert not list(tmp_path.glob("*.db*"))


def test_the_highest_rate_is_found(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """Without rates there is a search; the report says what was found and how."""
    done = cli("bench", write(tmp_path, CONFIG), "--seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert "capacity, closed loop:" in done.stdout
    assert "highest rate with p99 ≤ 500 ms, no error:" in done.stdout
    assert "share its cores" in " ".join(done.stdout.split())


def test_inputs_that_cannot_be_guessed(cli: Cli, write: Callable[..., Path], tmp_path: Path) -> None:
    """A model of JSON wants rows: without them exit code 2; with them it is measured, and repeats are said."""
    file = write(tmp_path, CONFIG.replace("float32[4]", "json"))
    refused = cli("bench", file, "--rate", "50", "--seconds", "0.1")
    assert refused.returncode == 2
    assert "--rows FILE" in refused.stderr
    rows = tmp_path / "rows.jsonl"
    rows.write_text('"one"\n"two"\n')
    done = cli("bench", file, "--rate", "50", "--seconds", "0.3", "--rows", rows)
    assert done.returncode == 0, done.stderr
    assert "2 different inputs, which repeat" in done.stdout


def test_an_interrupt_leaves_nothing_behind(write: Callable[..., Path], tmp_path: Path) -> None:
    """Ctrl-C in the midst of measuring ends the server, its children and the generator."""
    given = [str(write(tmp_path, CONFIG)), "--rate", "20", "--seconds", "60"]
    command = [sys.executable, "-m", "skysail.cli.main", "bench", *given]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is not
    bench = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    signal.signal(signal.SIGINT, heard)
    try:
        until = time.monotonic() + PATIENCE
        while len(found := _descendants(bench.pid)) < 5:  # the server, its three children, the generator
            assert time.monotonic() < until
            time.sleep(0.01)
        bench.send_signal(signal.SIGINT)
        assert bench.wait(PATIENCE) == 130
    finally:
        bench.kill()
        bench.wait()
    assert not [pid for pid in found if _alive(pid)]


def _descendants(pid: int) -> list[int]:
    """Everything that a process has started, directly or not."""
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.splitlines())}
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return [child for child in found[1:] if _alive(child)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
