"""Configuration to object graph: the only place that names concrete classes together.

`Frontend` is everything of one data-plane process but its sockets. `apply` makes it serve a topology; whatever the
control plane asks of a running frontend (statistics, weights, why) is answered here too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import asdict, replace
from random import Random
from typing import Any, Protocol

from skysail.applications import Application
from skysail.batching.batcher import Batcher
from skysail.batching.hold import Hold
from skysail.batching.sizing import SIZINGS
from skysail.cache.cached import Cached
from skysail.cache.table import CACHES
from skysail.clock import Clock
from skysail.config.schema import AppConfig, Config, ModelConfig, ReplicaSpec, Topology, VersionSpec
from skysail.deadlines import Deadlines
from skysail.engine import Engine
from skysail.errors import ConfigError, UnknownApp, UnknownPrediction, nearest
from skysail.feedback.calibration import Calibration
from skysail.feedback.ledger import Ledger
from skysail.feedback.reads import Reads
from skysail.feedback.states import States
from skysail.ids import IdSource, id_prefix
from skysail.monitoring.snapshot import app_snapshot, memory_bytes, version_snapshot, why
from skysail.replicas.replica import Replica
from skysail.replicas.version import Version
from skysail.selection.base import Loss, Policy
from skysail.selection.conformal import Conformal, make_conformal
from skysail.selection.contexts import blend
from skysail.selection.table import make_loss, make_policy
from skysail.stats.application import ApplicationCounters
from skysail.stats.means import Means
from skysail.stores.base import Store
from skysail.types import Failure, ModelRef, Output

__all__ = ["Frontend", "HttpCounters", "Listener", "check_policy"]

_TURN_SECONDS = 30.0
_HELLO_SECONDS = 0.25
"""How long a frontend that restarts lets clients queue rather than telling them that no model is there yet."""


class HttpCounters(Protocol):
    """The server in front, as far as its numbers are asked for."""

    def statistics(self) -> Any:
        """A frozen dataclass of counts."""
        ...


class Listener:
    """Who is told of a version's fate; the control plane, by way of a link. Does nothing by itself."""

    def version_ready(self, model: str, version: int) -> None:
        """Every replica of the version has loaded it, and it has answered."""

    def version_failed(self, model: str, version: int, error: str) -> None:
        """The version loaded, but cannot be used."""


def check_policy(app: AppConfig) -> None:
    """Raise `ConfigError` where an application's policy, loss or confidence cannot be made of its configuration."""
    _make_conformal(app, _make_policy(app).loss)


def _make_policy(app: AppConfig, labels: tuple[Any, ...] | None = None) -> Policy:
    loss = make_loss(app.loss, app.loss_params, labels=labels, import_root=app.import_root)
    return make_policy(app.policy, app.policy_params, loss=loss, import_root=app.import_root, models=app.models)


def _make_conformal(app: AppConfig, loss: Loss) -> Conformal | None:
    how = app.confidence
    return None if how is None else make_conformal(loss, target=how.target, rate=how.rate, forget=how.forget)


class Frontend:
    """The engine of one process with all that hangs on it: applications, versions, cache, ledger.

    `run` owns what runs beside the event loop's callbacks; everything else belongs to the loop's thread.
    """

    def __init__(
        self, config: Config, index: int, store: Store, *, clock: Clock, rng: Random, listener: Listener | None = None
    ) -> None:
        self.config = config
        self.listener = listener or Listener()
        self.draining = False
        self._clock = clock
        self._rng = rng
        self._index = index
        self._store = store
        self.ledger = Ledger(store, clock, config.server.ledger, frontend=index)
        cache = config.server.cache
        self._cache = CACHES[cache.policy](cache.bytes, cache.ttl, clock)
        self._versions: dict[ModelRef, Version] = {}
        self._serving: dict[ModelRef, asyncio.Task[None]] = {}
        self._specs: dict[ModelRef, VersionSpec] = {}
        self._current: dict[str, int] = {}
        self._apps: dict[str, AppConfig] = {}
        self._counters: dict[str, ApplicationCounters] = {}
        self._verdicts: dict[ModelRef, str | None] = {}
        self.http: HttpCounters | None = None
        self._configured = asyncio.Event()
        self._changes = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._turning: asyncio.Task[None]
        self._reads: Reads
        self.engine: Engine

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Open the store and begin; `tasks` owns the connections to the workers."""
        self._tasks = tasks
        self._store.open()
        await self.ledger.start()
        self._reads = Reads(asyncio.get_running_loop(), self._clock)
        self.engine = Engine(
            clock=self._clock,
            rng=self._rng,
            ids=IdSource(self._index, self.ledger.boot),
            ledger=self.ledger,
            keep_inputs=self.config.server.ledger.inputs,
        )
        self._turning = tasks.create_task(self._turn())

    async def wait_configured(self) -> None:
        """Return once there is a topology, and its workers have had a moment to say hello, if they are there."""
        await self._configured.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HELLO_SECONDS):
                while self.ready():
                    self._changes.clear()
                    await self._changes.wait()

    async def aclose(self) -> None:
        """Let the workers go, and write what is not written yet."""
        self._turning.cancel()
        for task in self._serving.values():
            task.cancel()
        for app in self.engine.apps.values():
            app.deadlines.close()
            if app.hedges is not None:
                app.hedges.close()
        await self.ledger.aclose()
        self._store.close()

    async def _turn(self) -> None:
        """Move the windows that recent quantiles are taken over."""
        while True:
            await asyncio.sleep(_TURN_SECONDS)
            for counters in self._counters.values():
                counters.latency.turn()
            for version in self._versions.values():
                version.batcher.turn()

    # -- topology -----------------------------------------------------------------------------------------------------

    async def apply(self, topology: Topology) -> None:
        """Serve this and nothing else; returns once the versions that are gone have finished what they had in hand."""
        self._apps = dict(topology.apps)
        self._current = dict(topology.current)
        wanted = {ModelRef(spec.config.name, spec.version): spec for spec in topology.versions}
        gone = [ref for ref, spec in self._specs.items() if ref not in wanted or not _alike(spec, wanted[ref])]
        leaving: list[Awaitable[None]] = [self._retire(self._versions.pop(ref), self._serving.pop(ref)) for ref in gone]
        self._specs = wanted
        for ref, spec in wanted.items():
            if ref not in self._versions:
                self._add(ref, spec)
            leaving += self._resize(self._versions[ref], spec)
        self._rebuild()
        self._configured.set()
        await asyncio.gather(*leaving)

    def _add(self, ref: ModelRef, spec: VersionSpec) -> None:
        loop = asyncio.get_running_loop()
        seconds = spec.config.batch.hold
        hold = None if seconds == 0 else Hold(loop.call_later, seconds)
        batcher = Batcher(self._clock, loop.call_soon, self._slo(ref.name), hold)
        version = Version(ref, batcher, Cached(batcher, self._cache), self._changed, cache=spec.config.cache)
        self._versions[ref] = version
        self._serving[ref] = self._tasks.create_task(version.run())

    def _resize(self, version: Version, spec: VersionSpec) -> list[Awaitable[None]]:
        """Connect to the replicas that are new; the partings from those that are no longer wanted."""
        have = {replica.name for replica in version.replicas}
        for replica in spec.replicas:
            if replica.name not in have:
                version.add(self._replica(version, spec.config, replica))
        wanted = {replica.name for replica in spec.replicas}
        return [version.remove(replica) for replica in version.replicas if replica.name not in wanted]

    def _replica(self, version: Version, config: ModelConfig, spec: ReplicaSpec) -> Replica:
        return Replica(
            spec.name,
            spec.socket,
            version.batcher,
            sizing=SIZINGS[config.batch.sizing](config.batch.max),
            timeout=config.timeout * self.config.server.frontends,  # each may have a batch of its own before this one
            clock=self._clock,
            on_hello=version.greeted,
            on_lost=version.lost,
        )

    async def _retire(self, version: Version, task: asyncio.Task[None]) -> None:
        """Let a version finish what it has, for as long as a drain may take, then part from its workers."""
        self._verdicts.pop(version.model, None)
        try:
            async with asyncio.timeout(self.config.server.drain):
                await version.batcher.wait_idle()
        except TimeoutError:
            pass
        task.cancel()
        await asyncio.wait([task])

    def _rebuild(self) -> None:
        """Make the applications anew, around the versions that are current; what they counted and learned stays."""
        old = self.engine.apps
        self.engine.apps = {name: self._application(config, old.get(name)) for name, config in self._apps.items()}
        for ref, version in self._versions.items():
            version.batcher.slo = self._slo(ref.name)
            version.batcher.watch(on=any(app.hedge and ref.name in app.models for app in self._apps.values()))

    def _application(self, config: AppConfig, old: Application | None) -> Application:
        current = {m: self._versions.get(ModelRef(m, self._current[m])) for m in config.models if m in self._current}
        served = {model: version for model, version in current.items() if version is not None}
        counters = self._counters.setdefault(config.name, ApplicationCounters())
        policy = self._policy(config, old, counters)
        return Application(
            name=config.name,
            models=config.models,
            policy=policy,
            fallback=make_policy("single", {}, loss=policy.loss, import_root="", models=config.models),
            slo=config.slo,
            default=None if config.default is None else Output(config.default),
            min_confidence=config.min_confidence,
            cache=config.cache,
            deadlines=old.deadlines if old is not None else Deadlines(asyncio.get_running_loop(), self._clock),
            states=self._states(config.name, policy, old),
            counters=counters,
            served=served,
            means=_means(old, served) if config.missing == "mean" else None,
            hedges=self._hedges(old) if config.hedge else None,
            prefer_in_time=config.prefer_in_time,
            calibration=self._calibration(config, policy, old),
        )

    def _policy(self, config: AppConfig, old: Application | None, counters: ApplicationCounters) -> Policy:
        """The policy of a configuration, which the control plane has checked.

        Where it cannot be made all the same, for the file of one's own has been changed since, the application goes on
        with the policy it has, or the first model listed, and says so.
        """
        specs = [self._specs.get(ModelRef(model, self._current.get(model, -1))) for model in config.models]
        labels = max([spec.config.labels or () for spec in specs if spec is not None], key=len, default=()) or None
        try:
            return _make_policy(config, labels)
        except ConfigError as error:
            counters.policy_failed("import", error)
            plain = replace(config, policy="single", policy_params={}, loss="zero_one", loss_params={})
            return _make_policy(plain, labels) if old is None else old.policy

    def _hedges(self, old: Application | None) -> Deadlines:
        """The timer of an application's hedges, which stays the same."""
        return (old and old.hedges) or Deadlines(asyncio.get_running_loop(), self._clock)

    def _states(self, name: str, policy: Any, old: Application | None) -> States:
        """What is in memory stays there, unless the policy is another."""
        if old is not None and old.policy == policy:
            return old.states
        return States(name, policy, self._store, blend, reads=self._reads, counters=self._counters[name])

    def _calibration(self, config: AppConfig, policy: Any, old: Application | None) -> Calibration | None:
        """What is in memory stays there, unless it is of something else."""
        conformal = _make_conformal(config, policy.loss)
        if conformal is None:
            return None
        known = None if old is None else old.calibration
        if known is not None and (known.policy, known.conformal) == (policy.name, conformal):
            return known
        return Calibration(
            config.name,
            policy.name,
            conformal,
            self._store,
            self._reads,
            run=id_prefix(self._index, self.ledger.boot),
            frontends=self.config.server.frontends,
        )

    def _slo(self, model: str) -> float:
        """The smallest objective of the applications that use a model."""
        return min((app.slo for app in self._apps.values() if model in app.models), default=1.0)

    # -- what versions report -----------------------------------------------------------------------------------------

    def _changed(self, version: Version) -> None:
        """A worker came or went.

        A version that is complete for the first time is judged: does its input fit, and does
        it answer a row that its predecessor answered?
        """
        for app in self.engine.apps.values():
            app.refresh()
        self._changes.set()
        ref = version.model
        if not version.complete or ref in self._verdicts or self._versions.get(ref) is not version:
            return
        misfit = self._misfit(version)
        if misfit is not None:
            self._judge(ref, misfit)
            return
        incumbent = self._versions.get(ModelRef(ref.name, self._current.get(ref.name, -1)))
        sample = None if incumbent is None or incumbent is version else incumbent.batcher.sample
        if sample is None:
            self._judge(ref, None)
            return

        def probed(failure: Failure | None) -> None:
            said = None if failure is None else failure.message
            self._judge(ref, said and f"it did not answer a row that its predecessor answered: {said}")

        row, binary = sample
        version.probe(row, binary, self._clock.monotonic(), probed)

    def _judge(self, ref: ModelRef, error: str | None) -> None:
        self._verdicts[ref] = error
        self._announce(ref, error)

    def announce(self) -> None:
        """Tell a control plane that is new here what the versions turned out to be."""
        for ref, error in self._verdicts.items():
            self._announce(ref, error)

    def _announce(self, ref: ModelRef, error: str | None) -> None:
        if error is None:
            self.listener.version_ready(ref.name, ref.version)
        else:
            self.listener.version_failed(ref.name, ref.version, error)

    def _misfit(self, version: Version) -> str | None:
        """Why this version's input or labels cannot stand beside those of the other models of its applications."""
        mine = version.hello
        for app in self._apps.values():
            if version.model.name not in app.models:
                continue
            for model in app.models:
                other = self._versions.get(ModelRef(model, self._current.get(model, -1)))
                if model == version.model.name or mine is None or other is None or other.hello is None:
                    continue
                if len({mine.input, other.hello.input, "json"}) == 3:
                    return (
                        f"its input is {mine.input}, but {other.ref} of the same application {app.name!r} takes "
                        f"{other.hello.input}; declare the same input for both, or 'json'"
                    )
                if any(a != b for a, b in zip(mine.labels or (), other.hello.labels or (), strict=False)):
                    return (
                        f"its labels are {list(mine.labels or ())}, but those of {other.ref} of the same application "
                        f"{app.name!r} {list(other.hello.labels or ())}; declare them in one order, new ones last"
                    )
        return None

    # -- what other frontends learned ---------------------------------------------------------------------------------

    def changed(self, keys: Collection[str]) -> None:
        """Another frontend has added to the states of these keys, which are read anew when they are needed."""
        theirs: dict[str, list[str]] = {}
        for key in keys:
            theirs.setdefault(key.partition("/")[0], []).append(key)
        for name, changed in theirs.items():
            app = self.engine.apps.get(name)
            if app is not None:
                app.states.changed(changed)
                if app.calibration is not None:
                    app.calibration.changed(changed)

    def outdated(self) -> None:
        """Another frontend may have added to any state."""
        for app in self.engine.apps.values():
            app.states.outdated()
            if app.calibration is not None:
                app.calibration.outdated()

    # -- health, and what the control plane asks ----------------------------------------------------------------------

    def ready(self) -> dict[str, str]:
        """The applications that no model can answer now, each with why; empty when all is well."""
        if self.draining:
            return dict.fromkeys(self.engine.apps, "the server is draining")
        if not self.engine.apps:
            return {"*": "no application is configured yet"}
        return {name: self._why_not(app) for name, app in self.engine.apps.items() if not app.candidates}

    def failing(self) -> str | None:
        """Why the state cannot be written now; predictions go on without it."""
        return self.ledger.statistics().failing

    def _why_not(self, app: Application) -> str:
        return "; ".join(
            f"{model}: {'no replica is ready' if model in app.served else 'no version is current'}"
            for model in app.models
        )

    def describe(self, app: Application) -> dict[str, object]:
        """What clients may know of an application: what it takes, who answers, by when."""
        config = self._apps[app.name]
        inputs = {m: v.hello.input for m, v in app.served.items() if isinstance(v, Version) and v.hello is not None}
        typed = [text for text in inputs.values() if text != "json"]
        return {
            "name": app.name,
            "input": typed[0] if typed else next(iter(inputs.values()), None),
            "models": [app.served[m].ref if m in app.served else m for m in app.models],
            "policy": config.policy,
            "slo_ms": app.slo * 1e3,
            "default": None if app.default is None else app.default.value,
        }

    def stats(self) -> dict[str, Any]:
        """Everything that is counted, as JSON values: see docs/reference/metrics.md."""
        return {
            "run": id_prefix(self._index, self.ledger.boot),
            "apps": {name: app_snapshot(app, self.weights(name, None)) for name, app in self.engine.apps.items()},
            "models": {
                str(ref): version_snapshot(version, f"frontend/{self._index}")
                for ref, version in self._versions.items()
            },
            "cache": asdict(self._cache.statistics()),
            "ledger": asdict(self.ledger.statistics()),
            "http": {} if self.http is None else asdict(self.http.statistics()),
            "ready": {name: self.ready().get(name) for name in self.engine.apps},
            "draining": self.draining,
            "memory_bytes": memory_bytes(),
        }

    def weights(self, name: str, context: str | None) -> dict[str, float]:
        """How much an application trusts each of its models now, in a context or over all."""
        app = self.engine.apps.get(name)
        if app is None:
            raise UnknownApp(f"no application is called {name!r} ({nearest(name, self.engine.apps)})")
        candidates = app.candidates or app.models
        trust = app.trust(app.states.view(context, candidates))
        return {model: trust.weight(model) for model in app.models}

    def why(self, id: str) -> dict[str, Any]:
        """One decision, and what feedback said of it."""
        decision = self.ledger.find(id)
        if decision is None:
            raise UnknownPrediction(
                f"no decision {id!r} is kept; ids come with each answer, and are kept as [server] ledger says"
            )
        observation, app = self.ledger.observation(id), self.engine.apps.get(decision.app)
        if app is None or app.policy.name != decision.policy:
            return why(decision, observation)
        trust = app.trust(app.states.view(decision.context, decision.distribution.models))
        return why(decision, observation, loss=app.policy.loss, trust=trust)


def _means(old: Application | None, served: Mapping[str, Version]) -> Means:
    """What the versions that an application still asks have said on average."""
    means = (old and old.means) or Means()
    means.keep({version.ref for version in served.values()})
    return means


def _alike(one: VersionSpec, other: VersionSpec) -> bool:
    """Whether two specs are of the same version run in the same way, but for its number of replicas."""
    a, b = (replace(spec, replicas=(), config=replace(spec.config, replicas=1)) for spec in (one, other))
    return a == b
