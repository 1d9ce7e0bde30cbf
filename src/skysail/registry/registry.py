"""The registry: which models, versions and applications there are, and which version of each model is current.

Plain immutable data. Every method that changes something returns a new registry; whoever holds one decides when it is
written down. Two rules hold throughout: a version's number is never given twice, not even to a model that was removed
and came again; and the current version of a model is one that exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from skysail.config.schema import AppConfig, Config, ModelConfig
from skysail.errors import ConflictError, StoreError, UnknownApp, UnknownModel, nearest

__all__ = ["App", "Model", "Plan", "Registry", "Source", "Version"]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a version was made from: equal sources are the same model.

    `config` is as it was asked for, but for `replicas`, which is the model's and always 1 here; `digest` is of the
    artifact's bytes, so the same path with other bytes is another source. It is empty for an import path.
    """

    config: ModelConfig
    digest: str = ""

    @classmethod
    def of(cls, config: ModelConfig, digest: str = "") -> Source:
        """The source of a configuration."""
        return cls(config=replace(config, replicas=1), digest=digest)


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a model, for ever the same."""

    source: Source
    """What was asked for."""

    path: str
    """What workers load: the kept copy of the artifact, or the source's own path where none is kept."""

    created: float
    """Wall-clock seconds."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: its versions by number, and the current one's."""

    versions: dict[int, Version]
    current: int
    replicas: int = 1

    applied: Source | None = None
    """What the file said when it was last applied; `None` for a model that no file made."""

    applied_replicas: int | None = None
    """The replicas that the file said when it was last applied."""

    def config(self, number: int) -> ModelConfig:
        """How a version is run now."""
        version = self.versions[number]
        return replace(version.source.config, path=version.path, replicas=self.replicas)


@dataclass(frozen=True, kw_only=True)
class App:
    """An application."""

    config: AppConfig
    applied: AppConfig | None = None
    """What the file said when it was last applied; `None` for an application that no file made."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done so that a registry matches a file: first deploy, then the rest in this order."""

    deploy: tuple[str, ...] = ()
    scale: Mapping[str, int] = field(default_factory=dict)
    put_apps: tuple[str, ...] = ()
    drop_apps: tuple[str, ...] = ()
    drop_models: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.deploy, self.scale, self.put_apps, self.drop_apps, self.drop_models))


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All models and applications, at one moment."""

    models: dict[str, Model] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)

    numbers: dict[str, int] = field(default_factory=dict)
    """The greatest version number that each model's name was ever given."""

    # What there is.

    def model(self, name: str) -> Model:
        """A model by name; `UnknownModel` where there is none."""
        if name not in self.models:
            raise UnknownModel(f"no model is called '{name}' ({nearest(name, self.models)})")
        return self.models[name]

    def version(self, name: str, number: int) -> Version:
        """A version by its model and number; `UnknownModel` where there is none."""
        versions = self.model(name).versions
        if number not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise UnknownModel(f"model '{name}' has no version {number}; it has {known}")
        return versions[number]

    def app(self, name: str) -> App:
        """An application by name; `UnknownApp` where there is none."""
        if name not in self.apps:
            raise UnknownApp(f"no application is called '{name}' ({nearest(name, self.apps)})")
        return self.apps[name]

    @property
    def answerable(self) -> bool:
        """Whether there is a model for at least one of the applications, or none to answer for."""
        return not self.apps or any(m in self.models for app in self.apps.values() for m in app.config.models)

    # Models.

    def allot(self, name: str) -> tuple[Registry, int]:
        """A new version number for a model, which may be new; it is used up, whatever becomes of the version."""
        if name in self.apps:
            raise ConflictError(f"'{name}' is an application, and they share one namespace with models: rename it")
        number = self.numbers.get(name, 0) + 1
        return replace(self, numbers={**self.numbers, name: number}), number

    def deployed(self, name: str, number: int, version: Version, replicas: int) -> Registry:
        """The version, of a number that was allotted, added to its model and current."""
        old = self.models.get(name)
        if old is None:
            return self._with_model(name, Model(versions={number: version}, current=number, replicas=replicas))
        versions = {**old.versions, number: version}
        return self._with_model(name, replace(old, versions=versions, current=number, replicas=replicas))

    def switched(self, name: str, number: int) -> Registry:
        """Another of a model's versions current."""
        self.version(name, number)
        return self._with_model(name, replace(self.models[name], current=number))

    def scaled(self, name: str, replicas: int) -> Registry:
        """A model with this many replicas."""
        return self._with_model(name, replace(self.model(name), replicas=replicas))

    def without_version(self, name: str, number: int) -> Registry:
        """A version forgotten; `ConflictError` for the current one."""
        self.version(name, number)
        model = self.models[name]
        if number == model.current:
            raise ConflictError(f"version {number} of model '{name}' is the current one: make another current first")
        versions = {n: v for n, v in model.versions.items() if n != number}
        return self._with_model(name, replace(model, versions=versions))

    def without_model(self, name: str) -> Registry:
        """A model forgotten; `ConflictError` while an application lists it."""
        self.model(name)
        users = [app for app, entry in self.apps.items() if name in entry.config.models]
        if users:
            raise ConflictError(f"model '{name}' is used by {', '.join(users)}: take it from there first")
        return replace(self, models={n: m for n, m in self.models.items() if n != name})

    def _with_model(self, name: str, model: Model) -> Registry:
        return replace(self, models={**self.models, name: model})

    # Applications.

    def with_app(self, config: AppConfig) -> Registry:
        """An application added or changed. A model it lists that has no version yet is taken to come."""
        if config.name in self.models:
            raise ConflictError(
                f"'{config.name}' is a model, and they share one namespace with applications: rename it"
            )
        applied = self.apps[config.name].applied if config.name in self.apps else None
        return replace(self, apps={**self.apps, config.name: App(config=config, applied=applied)})

    def without_app(self, name: str) -> Registry:
        """An application forgotten."""
        self.app(name)
        return replace(self, apps={n: a for n, a in self.apps.items() if n != name})

    # Files.

    def plan(self, file: Config, sources: Mapping[str, Source], *, wholly: bool) -> Plan:
        """What a file asks for, given the source of each of its models; one without a source is left as it is.

        `wholly`, as by `apply`: everything is to be as the file says, and what it does not name is to go. Otherwise, as
        at a start of the server: only what changed in the file since it was last applied counts, so that a version
        deployed or rolled back to through the API stays; and only what a file made can go.
        """

        def stale(name: str) -> bool:
            model = self.models.get(name)
            if name not in sources or model is None:
                return name in sources
            present = model.versions[model.current].source if wholly else model.applied
            return present != sources[name]

        def misscaled(name: str) -> bool:
            model = self.models.get(name)
            if model is None:
                return False
            return file.models[name].replicas != (model.replicas if wholly else model.applied_replicas)

        def changed(name: str) -> bool:
            app = self.apps.get(name)
            return app is None or (app.config if wholly else app.applied) != file.apps[name]

        deploy = tuple([name for name in file.models if stale(name)])
        return Plan(
            deploy=deploy,
            scale={n: m.replicas for n, m in file.models.items() if n not in deploy and misscaled(n)},
            put_apps=tuple([name for name in file.apps if changed(name)]),
            drop_apps=tuple([n for n, a in self.apps.items() if n not in file.apps and (wholly or a.applied)]),
            drop_models=tuple([n for n, m in self.models.items() if n not in file.models and (wholly or m.applied)]),
        )

    def applied(self, file: Config, sources: Mapping[str, Source], failed: frozenset[str]) -> Registry:
        """The registry that remembers what a file said, but for what failed: that will be tried again."""
        models, apps = dict(self.models), dict(self.apps)
        for name, model in self.models.items():
            if name in sources and name not in failed:
                models[name] = replace(model, applied=sources[name], applied_replicas=file.models[name].replicas)
        for name, app in self.apps.items():
            if name in file.apps and name not in failed:
                apps[name] = replace(app, applied=file.apps[name])
        return replace(self, models=models, apps=apps)

    # Bytes.

    def encode(self) -> bytes:
        """The registry as JSON, for the store."""
        return msgspec.json.encode({"format": _FORMAT, "registry": self})

    @classmethod
    def decode(cls, data: bytes) -> Registry:
        """The inverse of `encode`; `StoreError` for what another version of Skysail wrote and this one cannot read."""
        try:
            document = msgspec.json.decode(data, type=_Document)
        except msgspec.MsgspecError as error:
            raise _unreadable(error) from error
        if document.format != _FORMAT:
            raise StoreError(
                f"the registry in the state has format {document.format}, and this version of Skysail reads {_FORMAT}: "
                "upgrade Skysail, or use another [server] state"
            )
        try:
            return msgspec.json.decode(document.registry, type=cls)
        except msgspec.MsgspecError as error:
            raise _unreadable(error) from error


class _Document(msgspec.Struct):
    format: int
    registry: msgspec.Raw


def _unreadable(error: msgspec.MsgspecError) -> StoreError:
    return StoreError(f"the registry in the state cannot be read ({error}): restore it, or use another [server] state")
