"""What a worker is told, and what it reports."""

from __future__ import annotations

import os

import msgspec
import pytest

from skysail.wire.messages import MAX_FRAME
from skysail.worker.spec import Reporter, WorkerSpec

LEAST = b'{"model":"m","version":1,"replica":"m@1/0","runtime":"python","path":"a:b","listen_fd":3}'


def test_the_least_spec() -> None:
    """What is not told has a default."""
    spec = msgspec.json.decode(LEAST, type=WorkerSpec)
    assert spec == WorkerSpec(model="m", version=1, replica="m@1/0", runtime="python", path="a:b", listen_fd=3)
    assert (spec.finite, spec.threads, spec.max_frame) == (True, 1, MAX_FRAME)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ((b'"version":1', b'"version":"x"'), "version"),
        ((b'"path"', b'"pth"'), "pth"),
        ((b'"model":"m",', b""), "model"),
    ],
)
def test_a_wrong_spec_is_refused(change: tuple[bytes, bytes], complaint: str) -> None:
    """A wrong type, an unknown field and a missing one are refused by name."""
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.json.decode(LEAST.replace(*change), type=WorkerSpec)


def test_states_are_lines_of_json() -> None:
    """Each state is one line, whatever its texts hold."""
    read, write = os.pipe()
    report = Reporter(write)
    report.loading()
    report.ready("float32[64]", 1.5)
    report.failed("two\nlines", "Traceback…")
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert [msgspec.json.decode(line) for line in pipe] == [
            {"state": "loading"},
            {"state": "ready", "input": "float32[64]", "load_s": 1.5},
            {"state": "failed", "error": "two\nlines", "traceback": "Traceback…"},
        ]


def test_nobody_need_listen() -> None:
    """Without a pipe, or with one whose reader is gone, reporting does nothing."""
    Reporter(None).loading()
    read, write = os.pipe()
    os.close(read)
    report = Reporter(write)
    report.loading()
    os.close(write)
    report.loading()
