"""The worker process, end to end: a real process, a real socket, and a model that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skysail.wire.messages import MODEL_ERROR, OUTPUT, PROTOCOL
from skysail.worker.main import main

PATIENCE = 20.0

MODEL = """
import os, sys, time

def predict(batch):
    outputs = []
    for row in batch:
        if row == "boom":
            raise ValueError("boom")
        elif row == "exit":
            sys.exit(7)
        elif row == "hang":
            print("hanging")
            while True:
                time.sleep(0.01)
        elif row == "slow":
            print("begun")
            while not os.path.exists(os.environ["GO"]):
                time.sleep(0.01)
            outputs.append("slow")
        elif row == "die":
            os._exit(9)
        elif row == "threads":
            outputs.append([os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]])
        else:
            outputs.append(row)
    return outputs
"""

Dial = Callable[[], Any]


class Worker:
    """A worker process as its parent starts it."""

    def __init__(self, listener: socket.socket, folder: Path, *, env: dict[str, str], **settings: Any) -> None:
        (folder / "model.py").write_text(MODEL)
        report_read, report_write = os.pipe()
        lifeline_read, self.lifeline = os.pipe()
        fds = {"listen_fd": listener.fileno(), "report_fd": report_write, "lifeline_fd": lifeline_read}
        spec = {"model": "m", "version": 2, "replica": "m@2/0", "runtime": "python"}
        spec |= {"path": f"{folder / 'model.py'}:predict"} | settings | fds
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "skysail.worker.main", "--spec", json.dumps(spec)],
            pass_fds=list(fds.values()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GO": str(folder / "go"), **env},
        )
        os.close(report_write)
        os.close(lifeline_read)
        self.report = os.fdopen(report_read)
        self.folder = folder

    def states(self) -> list[dict[str, Any]]:
        """All it reports, to its end."""
        return [json.loads(line) for line in self.report]

    def line(self) -> str:
        """The next line that the model prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it wrote to stderr, once it has ended."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors

    def go_away(self) -> None:
        """End it, and close what the parent held."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.report.close()
        if self.lifeline >= 0:
            os.close(self.lifeline)


Start = Callable[..., Worker]


@pytest.fixture
def start(listener: socket.socket, folder: Path) -> Iterator[Start]:
    """Starts workers on the listener, and ends them after the test."""
    started: list[Worker] = []

    def begin(env: dict[str, str] | None = None, **settings: Any) -> Worker:
        started.append(Worker(listener, folder, env=env or {}, **settings))
        return started[-1]

    yield begin
    for worker in started:
        worker.go_away()


def test_it_outlives_whatever_the_model_does(start: Start, dial: Dial) -> None:
    """A poisoned row, `sys.exit` in the model and SIGINT change nothing for two connections; SIGTERM exits 0."""
    worker = start(labels=["a", 1])
    one, two = dial(), dial()
    hello = one.hello()
    assert (hello.protocol, hello.replica, hello.pid) == (PROTOCOL, "m@2/0", worker.process.pid)
    assert (hello.input, hello.finite, hello.labels) == ("json", True, ("a", 1))
    assert two.hello() == hello
    assert one.ask(1, [b'"x"', b"[1]"]).payloads == [b'"x"', b"[1]"]
    failed = two.ask(2, [b'"x"', b'"boom"', b'"exit"', b"3"])
    assert list(failed.statuses) == [OUTPUT, MODEL_ERROR, MODEL_ERROR, OUTPUT]
    assert failed.payloads[1:3] == [b"ValueError: boom", b"SystemExit: 7"]
    assert "model.py" in failed.traceback
    worker.process.send_signal(signal.SIGINT)
    assert one.ask(3, [b"4"]).payloads == [b"4"]
    worker.process.send_signal(signal.SIGTERM)
    assert worker.ended() == (0, "")
    assert [state["state"] for state in worker.states()] == ["loading", "ready"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (None, b'["3","PASSIVE"]'),
        ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "ACTIVE"}, b'["2","ACTIVE"]'),
    ],
)
def test_threads_are_pinned_unless_told_otherwise(
    env: dict[str, str] | None, expected: bytes, start: Start, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numerical libraries get the model's threads, which sleep while they wait; the operator's own word stands."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    start(env=env, threads=3)
    frontend = dial()
    frontend.hello()
    assert frontend.ask(1, [b'"threads"']).payloads == [expected]


def test_the_batch_in_hand_is_answered_at_sigterm(start: Start, dial: Dial) -> None:
    """SIGTERM in the midst of a batch: its result is sent, then the process exits 0."""
    worker = start()
    frontend = dial()
    frontend.hello()
    frontend.send(1, [b'"slow"'])
    assert worker.line() == "begun"
    worker.process.send_signal(signal.SIGTERM)
    (worker.folder / "go").touch()
    assert frontend.result().payloads == [b'"slow"']
    assert worker.ended()[0] == 0


def test_a_hang_says_where_it_was(start: Start, dial: Dial) -> None:
    """SIGABRT ends a worker that hangs, and leaves the place in the model's code on stderr."""
    worker = start()
    frontend = dial()
    frontend.hello()
    frontend.send(1, [b'"hang"'])
    assert worker.line() == "hanging"
    worker.process.send_signal(signal.SIGABRT)
    code, errors = worker.ended()
    assert code == -signal.SIGABRT
    assert "model.py" in errors
    assert "in predict" in errors


@pytest.mark.parametrize("row", [b'"hang"', None])
def test_it_ends_with_its_parent(row: bytes | None, start: Start, dial: Dial) -> None:
    """When the parent's end of the lifeline closes, the worker is gone soon, idle or in an endless prediction."""
    worker = start()
    frontend = dial()
    frontend.hello()
    if row is not None:
        frontend.send(1, [row])
        assert worker.line() == "hanging"
    os.close(worker.lifeline)
    worker.lifeline = -1
    assert worker.ended()[0] == 0


def test_the_next_worker_takes_over_the_socket(start: Start, dial: Dial) -> None:
    """Connections wait in the held socket while no worker is there, and the next one greets them."""
    frontend = dial()
    first = start()
    frontend.hello()
    frontend.send(1, [b'"die"'])
    assert first.ended()[0] == 9
    with pytest.raises((EOFError, ConnectionResetError)):
        frontend.receive()
    waiting = dial()
    second = start()
    assert waiting.hello().pid == second.process.pid
    assert waiting.ask(2, [b"1"]).payloads == [b"1"]


def test_a_model_that_cannot_be_loaded_is_reported(start: Start) -> None:
    """A failed load is reported with its traceback, to the parent and to stderr, and the exit code is 3."""
    worker = start(input="float32[2]")
    code, errors = worker.ended()
    assert code == 3
    loading, failed = worker.states()
    assert loading == {"state": "loading"}
    assert failed["state"] == "failed"
    assert "does not answer 1 row of zeros as float32[2]" in failed["error"]
    assert "model.py" in failed["traceback"]
    assert failed["error"] in errors


def test_a_spec_that_cannot_be_read_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is exit code 2, with the field."""
    with pytest.raises(SystemExit) as caught:
        main(["--spec", '{"model": 3}'])
    assert caught.value.code == 2
    assert "--spec cannot be read: Expected `str`, got `int` - at `$.model`" in capsys.readouterr().err
