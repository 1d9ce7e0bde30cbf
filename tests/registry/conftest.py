"""A parent and frontends for tests of control: they behave as the real ones do, at once, unless told otherwise."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skysail.config.schema import Topology, VersionSpec
from skysail.errors import StoreError
from skysail.registry.artifacts import Artifacts
from skysail.registry.control import Control
from skysail.registry.readiness import Readiness
from skysail.testing.clock import ManualClock
from skysail.types import ModelRef

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from skysail.supervisor.spec import ChildSpec


class World:
    """Where a `Control` lives. Workers whose path holds `broken` cannot be loaded, those with `slow` wait for `gate`.

    It also watches, at every step, that no version ever loses its workers while frontends may send it queries.
    """

    def __init__(self, folder: Path, document: bytes | None = None, frontends: int = 1) -> None:
        self.document = document
        self.full = False
        self.saves = 0
        self.gate = asyncio.Event()
        self.workers: dict[str, ChildSpec] = {}
        self.topology = Topology()
        self.pushes: list[Topology] = []
        self.drained: list[str] = []
        self.waiting: list[asyncio.Task[None]] = []
        self.control = Control(
            parent=self,
            frontends=self,
            readiness=Readiness(),
            documents=self,
            artifacts=Artifacts(folder / "artifacts"),
            run=folder,
            clock=ManualClock(),
        )
        for frontend in range(frontends):
            self.control.readiness.connected(frontend)
        self.frontends = frontends

    async def load(self) -> bytes | None:
        """The saved registry."""
        return self.document

    async def save(self, data: bytes) -> None:
        """Save the registry, unless the disk is full."""
        if self.full:
            raise StoreError("disk full")
        self.document = data
        self.saves += 1

    async def set_children(self, specs: Sequence[ChildSpec]) -> None:
        """Start and stop workers, which report at once."""
        await asyncio.sleep(0)
        wanted = {spec.name: spec for spec in specs}
        for version in self.topology.versions:
            for replica in version.replicas:
                assert replica.name in wanted, f"{replica.name} is stopped while frontends may use it"
        started = [spec for name, spec in wanted.items() if self.workers.get(name) != spec]
        self.workers = wanted
        for spec in started:
            self.control.readiness.started(spec.name)
            if "broken" in spec.spec["path"]:
                self.fail(spec.name)
            elif "slow" in spec.spec["path"]:
                self.waiting.append(asyncio.create_task(self.later(spec.name)))
            else:
                self.control.readiness.reported(spec.name, {"state": "ready"})

    def fail(self, name: str) -> None:
        """A worker's load fails, as the real one tells of it."""
        trace = "Traceback (most recent call last):\nValueError: boom"
        self.control.readiness.reported(name, {"state": "failed", "error": "boom", "traceback": trace})
        self.control.readiness.exited(name, "exited with status 3", [])

    async def later(self, name: str) -> None:
        """A worker that loads when the gate opens."""
        await self.gate.wait()
        self.control.readiness.reported(name, {"state": "ready"})

    def push(self, topology: Topology) -> Awaitable[None]:
        """Frontends get an answer from every version at once, but for what the path of a model says."""
        names = {replica.name for version in topology.versions for replica in version.replicas}
        assert names <= set(self.workers), "frontends are told of workers that do not run"
        for name, number in topology.current.items():
            assert any(v.config.name == name and v.version == number for v in topology.versions)
        gone = [v for v in self.topology.versions if v not in topology.versions]
        self.topology = topology
        self.pushes.append(topology)
        for version in topology.versions:
            ref = ModelRef(version.config.name, version.version)
            for frontend in range(self.frontends):
                if "wrong" in version.config.path:
                    self.control.readiness.failed(ref, "not an answer")
                elif "mute" not in version.config.path:
                    self.control.readiness.answered(frontend, ref)
        return self.finish(gone)

    async def finish(self, gone: Sequence[VersionSpec]) -> None:
        """Finish what is in hand for versions, which still have their workers."""
        for version in gone:
            if "busy" in version.config.path:
                await self.gate.wait()
        await asyncio.sleep(0)
        for version in gone:
            assert {replica.name for replica in version.replicas} <= set(self.workers)
            self.drained.append(f"{version.config.name}@{version.version}")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., World]:
    """Makes worlds that share a folder."""
    return functools.partial(World, tmp_path)
