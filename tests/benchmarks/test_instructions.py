from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The counter; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.instructions")


def test_all_queries_are_distinct_and_whole(instructions: Any) -> None:
    """The cache can answer none, and each is as long as it says."""
    requests = list(itertools.islice(instructions._requests("http://h:1/p", 3), 250))
    assert len(set(requests)) == 250
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /p HTTP/1.1\r\nHost: h:1\r\n")
        assert head.endswith(b"Content-Length: %d" % len(body))
        assert len(json.loads(body)["input"]) == 3


def test_without_valgrind_it_is_named(
    instructions: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason stands in the output, and the exit code tells."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert instructions.main(["--queries", "1"]) == 1
    assert "there is no valgrind; install valgrind" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts")
def test_a_small_count(tmp_path: Path) -> None:
    """A real server is counted, alone and in waves; a wave costs less for each query; the file can be compared."""
    file, profile = tmp_path / "numbers.json", tmp_path / "profile"
    command = [sys.executable, "-m", "benchmarks.instructions", "--queries", "64", "--rounds", "1"]
    command += ["--json", str(file), "--profile", str(profile)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    alone, waves = (measure["values"] for measure in json.loads(file.read_text())["measures"])
    assert 1_000 < waves[0] < alone[0]
    assert "fn=" in profile.read_text()
    command = [sys.executable, "-m", "benchmarks.compare", str(file), str(file)]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == 0
