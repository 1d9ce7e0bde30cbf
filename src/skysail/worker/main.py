"""A worker process: `python -m skysail.worker.main --spec JSON`.

Exit codes: 0 after SIGTERM or the end of the parent, 2 for a spec that cannot be read, 3 for a model that cannot be
loaded. The first thing it does is settle the process, because numerical libraries read the number of their threads
when they are first imported: so nothing that imports NumPy is imported at the top of this file.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import io
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from skysail.clock import Clock, SystemClock
from skysail.errors import SkysailError
from skysail.malloc import Spare, keep_memory
from skysail.wire.messages import PROTOCOL, Hello
from skysail.worker.serve import Server, Stop
from skysail.worker.spec import Reporter, WorkerSpec

if TYPE_CHECKING:
    from skysail.worker.load import Loaded

__all__ = ["main"]

_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)

_GRACE: Final = 1.5
"""Seconds the batch in hand is given when the parent is gone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Load the model, serve it until told to stop, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m skysail.worker.main", description="Serve one model version.")
    parser.add_argument("--spec", required=True, help="what to serve, as JSON (see skysail.worker.spec.WorkerSpec)")
    try:
        spec = msgspec.json.decode(parser.parse_args(argv).spec, type=WorkerSpec)
    except msgspec.DecodeError as error:
        parser.error(f"--spec cannot be read: {error}")
    _settle_process(spec)
    with Stop() as stop:
        if spec.lifeline_fd is not None:
            threading.Thread(target=_follow_parent, args=(spec.lifeline_fd, stop), daemon=True).start()
        return _run(spec, stop, SystemClock())


def _settle_process(spec: WorkerSpec) -> None:
    """What must hold before any library of the model is imported."""
    for name in _THREADS:
        os.environ.setdefault(name, str(spec.threads))  # the operator's own setting stands
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait take the frontend's core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    faulthandler.enable()  # a hang is ended by SIGABRT, and says where it was
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for fd in (spec.listen_fd, spec.lifeline_fd, spec.report_fd):
        if fd is not None:
            os.set_inheritable(fd, False)
    keep_memory()


def _follow_parent(lifeline: int, stop: Stop) -> None:
    """End with the parent, whose end of the pipe closes with it; from a thread, for a prediction may take for ever."""
    while os.read(lifeline, 1):
        pass
    stop.request()
    threading.Event().wait(_GRACE)
    os._exit(0)


def _run(spec: WorkerSpec, stop: Stop, clock: Clock) -> int:
    """Load, report, serve."""
    from skysail.worker.batch import BatchRunner  # noqa: PLC0415 - these import NumPy, see above
    from skysail.worker.decode import make_decoder  # noqa: PLC0415
    from skysail.worker.load import load_model  # noqa: PLC0415

    report = Reporter(spec.report_fd)
    report.loading()
    start = clock.monotonic()
    try:
        loaded: Loaded = load_model(spec)
    except SkysailError as error:
        trace = "".join(traceback.format_exception(error))
        print(f"{spec.replica} cannot be loaded: {error.message}\n{trace}", file=sys.stderr)
        report.failed(error.message, trace)
        return 3
    gc.collect()
    gc.freeze()  # what loading made stays: no collection need look at it again
    signal.signal(signal.SIGTERM, lambda *_: stop.request())
    report.ready(str(loaded.input), clock.monotonic() - start)
    hello = Hello(
        PROTOCOL, spec.model, spec.version, spec.replica, os.getpid(), str(loaded.input), spec.finite, spec.labels
    )
    run = BatchRunner(make_decoder(loaded.input), loaded.runtime.predict, clock).run
    with socket.socket(fileno=spec.listen_fd) as listener:
        Server(listener, hello, run, stop, limit=spec.max_frame, rest=Spare(clock).look).serve()
    try:
        loaded.runtime.close()
    except Exception:  # noqa: BLE001 - it has served to the end; how it goes is worth a word, not an exit code
        traceback.print_exc()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that the model left running must not keep the process
