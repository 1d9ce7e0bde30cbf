from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generator; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.load")


@pytest.fixture
def bare() -> Iterator[str]:
    """The address of a running yardstick; it ends in order when it is told to."""
    command = [sys.executable, "-m", "benchmarks.bare"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()
        assert server.wait(30) == 0


def test_no_two_requests_are_alike(load: Any) -> None:
    """A cache can answer none of them, and each is as long as it says."""
    bodies = load.sample_bodies(3, rows=4)
    requests = list(itertools.islice(load._requests("h", "/p", bodies, 10**11 - 50), 100))
    assert len(set(requests)) == 100
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        assert load._length(head) == len(body)
        assert len(json.loads(body)["input"]) == 3


def test_runs_have_no_request_in_common(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that begins a millisecond after another, which sent a thousand requests, sends none of them again."""
    bodies = load.sample_bodies(3, rows=4)
    requests = []
    for milliseconds in (1, 2):
        monkeypatch.setattr(load.time, "time_ns", lambda now=milliseconds * 10**6: now)
        requests += itertools.islice(load._requests("h", "/p", bodies, load.first_number()), 1000)
    assert len(set(requests)) == 2000


@pytest.mark.slow
def test_our_generator_and_the_yardstick(load: Any, bare: str) -> None:
    """Requests go through the bare server and its worker, every one is answered, and the numbers are sane."""
    seen = load.measure(bare, load.sample_bodies(8), connections=4, seconds=0.3, warmup=0, tool="own")
    assert seen.requests > 0
    assert seen.errors == 0
    assert 0 < seen.p50 <= seen.p99
    assert set(seen.report()) == {"tool", "rate", "p50_ms", "p99_ms", "requests", "errors"}


def test_errors_are_counted(load: Any, bare: str) -> None:
    """A wrong address shows in the numbers, not only in the log of the server."""
    wrong = bare.replace("/predict", "/nowhere")
    seen = load.measure(wrong, load.sample_bodies(8), connections=2, seconds=0.1, warmup=0, tool="own")
    assert seen.errors == seen.requests > 0
