"""Control: makes what runs match the registry, one durable step at a time, without a failed request.

To deploy: the version's workers start beside the old ones; when every replica has loaded and every frontend has got an
answer, the registry says so durably; frontends are told; the old version finishes what it has, and its workers stop.
What fails on the way leaves everything as it was, but for the version's number, which is used up.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from skysail.clock import Clock
from skysail.config.schema import AppConfig, Config, ModelConfig, Topology
from skysail.errors import DeployError, InvalidRequest, SkysailError, UnknownModel, nearest
from skysail.registry.artifacts import Artifacts
from skysail.registry.documents import Documents
from skysail.registry.readiness import Readiness
from skysail.registry.registry import Plan, Registry, Source, Version
from skysail.registry.workers import replica_names, version_spec, worker_specs
from skysail.supervisor.spec import ChildSpec
from skysail.types import ModelRef

__all__ = ["LOAD_TIMEOUT", "Applied", "Control", "Frontends", "Parent"]

LOAD_TIMEOUT = 60.0
"""Seconds that a version deployed through the API has to become ready, unless the request says otherwise."""

_MAX_REPLICAS = 256


class Parent(Protocol):
    """Who runs the workers."""

    async def set_children(self, specs: Sequence[ChildSpec]) -> None:
        """Run these workers and no others; their sockets are bound when this returns."""
        ...


class Frontends(Protocol):
    """Who sends the workers queries."""

    def push(self, topology: Topology) -> Awaitable[None]:
        """Tell them what to serve from now on, in the order of the calls.

        What is returned is done when they have finished all they had in hand for what is no longer there, or had their
        time for it.
        """
        ...


@dataclass(kw_only=True)
class Applied:
    """What applying a file did, by name."""

    deployed: dict[str, int] = field(default_factory=dict)
    """Models with a new version, and its number."""
    scaled: dict[str, int] = field(default_factory=dict)
    apps: list[str] = field(default_factory=list)
    """Applications added or changed."""
    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Models and applications left as they were, and why."""


class Control:
    """The registry and everything that is done to it.

    Changes of one model happen one after another; those of different models side by side. `registry` is what is
    durably so, `readiness` what workers and frontends told.
    """

    def __init__(
        self,
        *,
        parent: Parent,
        frontends: Frontends,
        readiness: Readiness,
        documents: Documents,
        artifacts: Artifacts,
        run: Path,
        clock: Clock,
    ) -> None:
        self.registry = Registry()
        self.readiness = readiness
        self._parent = parent
        self._frontends = frontends
        self._documents = documents
        self._artifacts = artifacts
        self._run = run
        self._clock = clock
        self._trying: dict[ModelRef, ModelConfig] = {}
        self._leaving: dict[str, ChildSpec] = {}
        self._children: dict[str, ChildSpec] | None = None
        self._models: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writing = asyncio.Lock()
        self._syncing = asyncio.Lock()
        self._keeping = asyncio.Lock()
        self._staged: list[str] = []

    # Starting.

    async def start(self) -> None:
        """Read the registry, and run what it says. Raises `StoreError` where it cannot be read."""
        data = await self._documents.load()
        if data is not None:
            self.registry = Registry.decode(data)
        await self._sync()

    async def wait_ready(self) -> None:
        """Return when a model can answer for each application, and every current version is ready or has failed."""
        while not self._is_ready():
            await self.readiness.wait_change()

    def _is_ready(self) -> bool:
        models = self.registry.models.items()
        current = {
            name: (ModelRef(name, m.current), replica_names(ModelRef(name, m.current), m.replicas))
            for name, m in models
        }
        settled = all(self.readiness.ready(*it) or self.readiness.failure(*it) for it in current.values())
        return settled and all(
            any(m in current and self.readiness.serves(current[m][0]) for m in app.config.models)
            for app in self.registry.apps.values()
        )

    # Models.

    async def deploy(self, config: ModelConfig, *, within: float | None = LOAD_TIMEOUT) -> int:
        """Make a configuration the next version of its model, and current; its number.

        Raises `DeployError`, and changes nothing, when it does not become ready `within` so many seconds.
        """
        _check_replicas(config.replicas)
        async with self._models[config.name]:
            digest, path = await self._keep(config)
            try:
                version = Version(source=Source.of(config, digest), path=path, created=self._clock.wall())
                numbers: list[int] = []
                await self._commit(lambda r: _allot(r, config.name, numbers))
                ref = ModelRef(config.name, numbers[-1])
                await self._promote(
                    ref,
                    replace(config, path=path),
                    within,
                    lambda r: r.deployed(ref.name, ref.version, version, config.replicas),
                )
            except DeployError as error:  # the worker knows the copy; the operator, where it was copied from
                raise DeployError(error.message.replace(path, config.path)) from error
            finally:
                self._staged.remove(path)
                await self._sweep()
            return ref.version

    async def switch(self, name: str, number: int, *, within: float | None = LOAD_TIMEOUT) -> None:
        """Make another version of a model current, as `deploy` does with a new one; how to roll back."""
        async with self._models[name]:
            self.registry.version(name, number)
            model = self.registry.models[name]
            if number != model.current:
                await self._promote(
                    ModelRef(name, number), model.config(number), within, lambda r: r.switched(name, number)
                )

    async def scale(self, name: str, replicas: int) -> None:
        """Change how many replicas a model has; what those that go have in hand is finished."""
        _check_replicas(replicas)
        async with self._models[name]:
            await self._commit(lambda r: r.scaled(name, replicas))
            await self._sync()

    async def delete_version(self, name: str, number: int) -> None:
        """Forget a version that is not current, and its artifact where no other version has the same."""
        async with self._models[name]:
            await self._commit(lambda r: r.without_version(name, number))
        await self._sweep()

    async def _promote(
        self, ref: ModelRef, config: ModelConfig, within: float | None, change: Callable[[Registry], Registry]
    ) -> None:
        """Try a version, make it current by `change`, and let go of the one that was."""
        replicas = replica_names(ref, config.replicas)
        self.readiness.forget(ref, replicas)
        self._trying[ref] = config
        try:
            await self._sync()
            async with asyncio.timeout(within):
                await self.readiness.wait(ref, replicas)
            await self._commit(change)
        except Exception as error:
            lacking = self.readiness.lacking(ref, replicas)
            del self._trying[ref]
            await self._sync()
            if isinstance(error, TimeoutError):
                raise DeployError(f"{ref} was not ready within {within:g} s: {lacking}") from error
            raise
        del self._trying[ref]
        await self._sync()

    # Applications.

    async def put_app(self, config: AppConfig) -> None:
        """Add or change an application; `UnknownModel` where it lists a model that is not there."""
        await self._commit(lambda r: _with_app(r, config))
        await self._sync()

    async def delete_app(self, name: str) -> None:
        """Remove an application; what it has learned stays in the store."""
        await self._commit(lambda r: r.without_app(name))
        await self._sync()

    # Files.

    async def apply(self, file: Config, *, wholly: bool, within: float | None = LOAD_TIMEOUT) -> Applied:
        """Make the server match a file; see `Registry.plan` for `wholly`. What was done, and what could not be.

        A model whose deployment fails stays as it was, and so does an application that now lists a model without any
        version; everything else is done.
        """
        done = Applied()
        sources = await self._sources(file, done)
        plan = self.registry.plan(file, sources, wholly=wholly)
        async with asyncio.TaskGroup() as tasks:
            for name in plan.deploy:
                tasks.create_task(self._apply_deploy(file.models[name], within, done))
        for name, replicas in plan.scale.items():
            await self.scale(name, replicas)
            done.scaled[name] = replicas
        await self._commit(lambda r: _with_apps(r, file, plan, done))
        await self._sync()
        for name in plan.drop_models:
            await self._drop_model(name, done)
        await self._commit(lambda r: r.applied(file, sources, frozenset(done.failed)))
        await self._sweep()
        return done

    async def _sources(self, file: Config, done: Applied) -> dict[str, Source]:
        sources: dict[str, Source] = {}
        for name, config in file.models.items():
            try:
                digest, path = await self._keep(config)
            except DeployError as error:
                done.failed[name] = error.message
            else:
                self._staged.remove(path)
                sources[name] = Source.of(config, digest)
        return sources

    async def _apply_deploy(self, config: ModelConfig, within: float | None, done: Applied) -> None:
        try:
            done.deployed[config.name] = await self.deploy(config, within=within)
        except SkysailError as error:
            done.failed[config.name] = error.message

    async def _drop_model(self, name: str, done: Applied) -> None:
        async with self._models[name]:
            try:
                await self._commit(lambda r: r.without_model(name))
            except SkysailError as error:
                done.failed[name] = error.message
            else:
                await self._sync()
                done.removed.append(name)

    # What all of these rest on.

    async def _keep(self, config: ModelConfig) -> tuple[str, str]:
        """Keep a copy of an artifact, which is not swept away as long as its path is in `_staged`."""
        async with self._keeping:
            digest, path = await asyncio.to_thread(self._artifacts.keep, config)
            self._staged.append(path)
        return digest, path

    async def _sweep(self) -> None:
        async with self._keeping:
            used = {v.path for m in self.registry.models.values() for v in m.versions.values()}
            await asyncio.to_thread(self._artifacts.sweep, used.union(self._staged))

    async def _commit(self, change: Callable[[Registry], Registry]) -> None:
        """Change the registry, durably before anybody sees it."""
        async with self._writing:
            changed = change(self.registry)
            if changed != self.registry:
                await self._documents.save(changed.encode())
                self.registry = changed

    async def _sync(self) -> None:
        """Make workers and frontends match what is wanted now.

        Workers that are missing are started; then frontends are told; then, when they are done with those that are left
        over, these are stopped. Only the first two steps hold up the others who sync.
        """
        async with self._syncing:
            versions = self._wanted()
            wanted = self._workers(versions)
            had = self._children or {}
            leaving = {n: spec for n, spec in had.items() if n not in wanted and n not in self._leaving}
            self._leaving.update(leaving)
            await self._set_children(wanted)
            finished = self._frontends.push(self._topology(versions))
        await finished
        async with self._syncing:
            for name in leaving:
                self._leaving.pop(name, None)
            await self._set_children(self._workers(self._wanted()))

    async def _set_children(self, wanted: dict[str, ChildSpec]) -> None:
        children = {**self._leaving, **wanted}
        if children != self._children:
            await self._parent.set_children(list(children.values()))
            self._children = children

    def _wanted(self) -> dict[ModelRef, ModelConfig]:
        """The versions that have workers: those current, and those tried."""
        models = self.registry.models.items()
        current = {ModelRef(name, model.current): model.config(model.current) for name, model in models}
        return {**current, **self._trying}

    def _workers(self, versions: dict[ModelRef, ModelConfig]) -> dict[str, ChildSpec]:
        specs = [spec for ref, config in versions.items() for spec in worker_specs(ref, config, self._run)]
        return {spec.name: spec for spec in specs}

    def _topology(self, versions: dict[ModelRef, ModelConfig]) -> Topology:
        return Topology(
            apps={name: app.config for name, app in self.registry.apps.items()},
            versions=tuple([version_spec(ref, config, self._run) for ref, config in versions.items()]),
            current={name: model.current for name, model in self.registry.models.items()},
        )


def _allot(registry: Registry, name: str, numbers: list[int]) -> Registry:
    registry, number = registry.allot(name)
    numbers.append(number)
    return registry


def _with_app(registry: Registry, config: AppConfig) -> Registry:
    lacking = _lacking(registry, config.models)
    if lacking is not None:
        raise UnknownModel(f"application '{config.name}' lists {lacking} ({nearest(lacking, registry.models)})")
    return registry.with_app(config)


def _lacking(registry: Registry, models: Iterable[str]) -> str | None:
    return next((name for name in models if name not in registry.models), None)


def _with_apps(registry: Registry, file: Config, plan: Plan, done: Applied) -> Registry:
    """The applications as a file has them. One that is new may wait for its models; one that is served may not."""
    for name in plan.drop_apps:
        registry = registry.without_app(name)
        done.removed.append(name)
    for name in plan.put_apps:
        lacking = _lacking(registry, file.apps[name].models)
        if lacking is not None and name in registry.apps:
            done.failed[name] = f"application '{name}' is left as it was: model '{lacking}' has no version yet"
            continue
        try:
            registry = registry.with_app(file.apps[name])
        except SkysailError as error:
            done.failed[name] = error.message
        else:
            done.apps.append(name)
    return registry


def _check_replicas(replicas: int) -> None:
    if not 1 <= replicas <= _MAX_REPLICAS:
        raise InvalidRequest(f"replicas = {replicas}: a model has 1 to {_MAX_REPLICAS}")
