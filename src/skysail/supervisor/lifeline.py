"""The child's end of the lifeline: how a process learns that its parent is gone, even when the parent was killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["watch_lifeline"]


def watch_lifeline(fd: int, gone: Callable[[], None], *, grace: float = 1.5) -> None:
    """Call `gone`, from a thread of its own, when the parent no longer holds the other end of the pipe `fd`.

    The process has `grace` seconds from then to end by itself; then it is ended, whatever it is doing. An event loop is
    told through `loop.call_soon_threadsafe`.
    """
    threading.Thread(target=_watch, args=(fd, gone, grace), name="lifeline", daemon=True).start()


def _watch(fd: int, gone: Callable[[], None], grace: float) -> None:
    try:
        while os.read(fd, 1):
            pass
    except OSError:
        pass  # closed under us counts as gone
    timer = threading.Timer(grace, os._exit, (1,))
    timer.daemon = True
    timer.start()
    gone()
