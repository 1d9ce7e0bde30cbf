"""The one thread that blocks for the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

__all__ = ["Writer"]

_Job = Callable[[], Any]
_Then = Callable[[Any], None]


class Writer:
    """Runs blocking jobs one after another in a thread of its own, and reports each result on the event loop.

    `then` is called with what the job returned, or with the exception that it raised. Use it for work that must not be
    done twice at once; for anything else `asyncio.to_thread` is simpler.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[_Job, _Then] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread; results are reported on the loop that runs now."""
        loop = asyncio.get_running_loop()
        # A daemon: a process that dies of an exception must not be kept alive by a disk that hangs.
        self._thread = Thread(target=self._run, args=(loop,), name="skysail-ledger", daemon=True)
        self._thread.start()

    def submit(self, job: _Job, then: _Then) -> None:
        """Run a job after those submitted before; returns at once."""
        self._jobs.put((job, then))

    async def call(self, job: _Job) -> Any:
        """The result of a job."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.submit(job, done.set_result)
        result = await done
        if isinstance(result, Exception):
            raise result
        return result

    async def aclose(self) -> None:
        """Finish the jobs submitted, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await self.call(lambda: None)
            self._jobs.put(None)
            thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (item := self._jobs.get()) is not None:
            job, then = item
            result: Any
            try:
                result = job()
            except Exception as error:  # noqa: BLE001  # it is handed to whoever wants the result
                result = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody to tell
                loop.call_soon_threadsafe(then, result)
