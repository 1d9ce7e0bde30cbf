"""What is known of readiness: which replicas have loaded, and which versions frontends have got an answer from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from skysail.errors import DeployError
from skysail.types import ModelRef

__all__ = ["Readiness"]

_TAIL = 20
"""Lines of a traceback, or of output, that an error quotes."""


class Readiness:
    """Gathers what the parent tells of workers and what frontends tell of versions; `wait` waits on it.

    A version is ready when each of its replicas has loaded, and each of so many frontends has got an answer from it;
    one that is being restarted is waited for.
    """

    def __init__(self, frontends: int = 1) -> None:
        self._frontends = frontends
        self.reports: dict[str, dict[str, Any]] = {}
        """The last report of each replica."""
        self.failures: dict[str, str] = {}
        """Why a replica, or a version as frontends see it, failed last; gone once it is ready."""
        self._started: set[str] = set()
        self._answered: dict[int, set[ModelRef]] = {}
        self._changed = asyncio.Event()

    # What is told.

    def started(self, replica: str) -> None:
        """A process was started for a replica."""
        self._started.add(replica)
        self.reports.pop(replica, None)
        self._tell()

    def reported(self, replica: str, report: dict[str, Any]) -> None:
        """A worker said how its loading goes."""
        self.reports[replica] = report
        if report.get("state") == "failed":
            self.failures[replica] = f"{replica} could not be loaded: {_told(report)}"
        elif report.get("state") == "ready":
            self.failures.pop(replica, None)
        self._tell()

    def exited(self, replica: str, how: str, tail: Sequence[str]) -> None:
        """A replica's process ended. One from before `forget` says nothing about the replica as it is wanted now."""
        if replica in self._started:
            self._started.discard(replica)
            told = self.reports.pop(replica, {}).get("state") == "failed"
            if not told:
                self.failures[replica] = "\n".join([f"{replica} {how}", *tail[-_TAIL:]])
            self._tell()

    def connected(self, frontend: int) -> None:
        """A frontend is there, and has got no answer yet."""
        self._answered[frontend] = set()
        self._tell()

    def disconnected(self, frontend: int) -> None:
        """A frontend is gone."""
        self._answered.pop(frontend, None)
        self._tell()

    def answered(self, frontend: int, ref: ModelRef) -> None:
        """A frontend has got an answer from a version."""
        self._answered.setdefault(frontend, set()).add(ref)
        self.failures.pop(str(ref), None)
        self._tell()

    def failed(self, ref: ModelRef, why: str) -> None:
        """A frontend got no good answer from a version."""
        self.failures[str(ref)] = f"{ref} did not answer: {why}"
        self._tell()

    def forget(self, ref: ModelRef, replicas: Sequence[str]) -> None:
        """Start over with a version that is about to be tried."""
        for name in (str(ref), *replicas):
            self.failures.pop(name, None)
            self.reports.pop(name, None)
            self._started.discard(name)
        for refs in self._answered.values():
            refs.discard(ref)

    # What follows from it.

    def ready(self, ref: ModelRef, replicas: Sequence[str]) -> bool:
        """Whether a version is ready."""
        return all(map(self._loaded, replicas)) and self.serves(ref)

    def serves(self, ref: ModelRef) -> bool:
        """Whether every frontend is there, and has got an answer from a version."""
        return len(self._answered) >= self._frontends and all(ref in refs for refs in self._answered.values())

    def failure(self, ref: ModelRef, replicas: Sequence[str]) -> str | None:
        """Why a version is not going to be ready, where that is known."""
        return next((self.failures[name] for name in (*replicas, str(ref)) if name in self.failures), None)

    def lacking(self, ref: ModelRef, replicas: Sequence[str]) -> str:
        """What a version that is not ready still waits for."""
        loading = [name for name in replicas if not self._loaded(name)]
        if loading:
            return f"{', '.join(loading)} had not loaded"
        if not self._answered:
            return "no frontend was there to try it"
        missing = self._frontends - len(self._answered)
        if missing > 0:
            return f"{missing} of {self._frontends} frontends were not there to try it"
        silent = sum(ref not in refs for refs in self._answered.values())
        if silent == len(self._answered):
            return f"no frontend had got an answer from {ref}"
        return f"{silent} of {self._frontends} frontends had got no answer from {ref}"

    async def wait(self, ref: ModelRef, replicas: Sequence[str]) -> None:
        """Return once a version is ready; `DeployError` as soon as it fails."""
        while not self.ready(ref, replicas):
            why = self.failure(ref, replicas)
            if why is not None:
                raise DeployError(why)
            await self.wait_change()

    async def wait_change(self) -> None:
        """Wait until anything new is known."""
        await self._changed.wait()

    def _loaded(self, replica: str) -> bool:
        return self.reports.get(replica, {}).get("state") == "ready"

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _told(report: dict[str, Any]) -> str:
    trace = str(report.get("traceback") or "").splitlines()[-_TAIL:]
    return "\n".join([str(report.get("error", "no reason was given")), *trace])
