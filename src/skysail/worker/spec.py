"""What a worker is told when it starts, and what it says of its own start."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from skysail.wire.messages import MAX_FRAME

__all__ = ["Reporter", "WorkerSpec"]


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one worker needs, passed as JSON on its command line: `--spec '{…}'`.

    `path`, `runtime`, `input`, `finite`, `threads`, `labels` and `import_root` are the model's settings (see
    `skysail.config.schema.ModelConfig`). The descriptors are inherited: `listen_fd` a listening socket, `lifeline_fd`
    the read end of a pipe that closes when the parent is gone, `report_fd` a pipe to which the worker writes its
    states.
    """

    model: str
    version: int
    replica: str
    runtime: str
    path: str
    input: str | None = None
    finite: bool = True
    threads: int = 1
    labels: tuple[Any, ...] | None = None
    import_root: str = ""
    listen_fd: int
    lifeline_fd: int | None = None
    report_fd: int | None = None
    max_frame: int = MAX_FRAME


class Reporter:
    """Tells the parent how loading goes, a line of JSON for each state: `loading`, then `ready` or `failed`."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def loading(self) -> None:
        """The model is being loaded."""
        self._write({"state": "loading"})

    def ready(self, input: str, load_s: float) -> None:
        """The model is loaded and warm; `input` is the declaration that holds, `load_s` the seconds it took."""
        self._write({"state": "ready", "input": input, "load_s": load_s})

    def failed(self, error: str, traceback: str) -> None:
        """The model cannot be served; the worker ends."""
        self._write({"state": "failed", "error": error, "traceback": traceback})

    def _write(self, line: dict[str, Any]) -> None:
        if self._fd is None:
            return
        data = msgspec.json.encode(line) + b"\n"
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:  # the parent is gone: its lifeline will say so
            self._fd = None
