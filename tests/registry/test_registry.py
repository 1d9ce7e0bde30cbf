from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from skysail.config.schema import AppConfig, Config, ModelConfig
from skysail.errors import ConflictError, StoreError, UnknownApp, UnknownModel
from skysail.registry.registry import Plan, Registry, Source, Version

NAMES = st.sampled_from(["a", "b", "c"])


def model(name: str, path: str = "m:f", replicas: int = 1) -> ModelConfig:
    """A model's configuration."""
    return ModelConfig(name=name, path=path, runtime="python", replicas=replicas)


def file_of(*models: ModelConfig, apps: tuple[AppConfig, ...] = ()) -> Config:
    """A file with these."""
    return Config(models={m.name: m for m in models}, apps={a.name: a for a in apps})


def sources_of(file: Config) -> dict[str, Source]:
    """The sources of a file's models."""
    return {name: Source.of(config) for name, config in file.models.items()}


def deploy(registry: Registry, config: ModelConfig) -> Registry:
    """Deploy in one step."""
    registry, number = registry.allot(config.name)
    version = Version(source=Source.of(config), path=config.path, created=1.0)
    return registry.deployed(config.name, number, version, config.replicas)


def carry_out(registry: Registry, file: Config, plan: Plan) -> Registry:
    """Do what a plan says, as control does."""
    for name in plan.deploy:
        registry = deploy(registry, file.models[name])
    for name, replicas in plan.scale.items():
        registry = registry.scaled(name, replicas)
    for name in plan.drop_apps:
        registry = registry.without_app(name)
    for name in plan.put_apps:
        registry = registry.with_app(file.apps[name])
    for name in plan.drop_models:
        registry = registry.without_model(name)
    return registry.applied(file, sources_of(file), frozenset())


class RegistryMachine(RuleBasedStateMachine):
    """Any sequence of changes, refused ones too, keeps the registry's rules."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.allotted: dict[str, list[int]] = {}

    def change(self, method: str, *args: Any) -> None:
        """A change, which may be refused, and then changes nothing."""
        with suppress(ConflictError, UnknownApp, UnknownModel):
            self.registry = getattr(self.registry, method)(*args)

    @rule(name=NAMES, path=st.sampled_from(["m:f", "m:g"]), replicas=st.integers(1, 3), good=st.booleans())
    def deploy(self, name: str, path: str, replicas: int, good: bool) -> None:
        """A deployment, which may fail after its number was allotted."""
        try:
            self.registry, number = self.registry.allot(name)
        except ConflictError:
            return
        self.allotted.setdefault(name, []).append(number)
        if good:
            version = Version(source=Source.of(model(name, path)), path=path, created=1.0)
            self.registry = self.registry.deployed(name, number, version, replicas)

    @rule(name=NAMES, number=st.integers(1, 4))
    def switch(self, name: str, number: int) -> None:
        """A switch of the current version."""
        self.change("switched", name, number)

    @rule(name=NAMES, number=st.integers(1, 4))
    def delete(self, name: str, number: int) -> None:
        """A version deleted."""
        self.change("without_version", name, number)

    @rule(name=NAMES, replicas=st.integers(1, 3))
    def scale(self, name: str, replicas: int) -> None:
        """Another number of replicas."""
        self.change("scaled", name, replicas)

    @rule(name=NAMES, models=st.lists(NAMES, min_size=1, unique=True))
    def put_app(self, name: str, models: list[str]) -> None:
        """An application, of a name that a model may have."""
        self.change("with_app", AppConfig(name=name, models=tuple(models)))

    @rule(name=NAMES)
    def delete_app(self, name: str) -> None:
        """An application removed."""
        self.change("without_app", name)

    @rule(name=NAMES)
    def delete_model(self, name: str) -> None:
        """A model removed."""
        self.change("without_model", name)

    @precondition(lambda self: not self.registry.apps)
    @rule(names=st.lists(NAMES, unique=True), wholly=st.booleans(), replicas=st.integers(1, 3))
    def apply(self, names: list[str], wholly: bool, replicas: int) -> None:
        """A file applied; applied once more it asks for nothing."""
        file = file_of(*[model(name, f"file:{name}", replicas) for name in names])
        plan = self.registry.plan(file, sources_of(file), wholly=wholly)
        for name in plan.deploy:
            self.allotted.setdefault(name, []).append(self.registry.numbers.get(name, 0) + 1)
        self.registry = carry_out(self.registry, file, plan)
        assert not self.registry.plan(file, sources_of(file), wholly=wholly)
        if wholly:
            assert set(self.registry.models) == set(names)

    @invariant()
    def numbers_only_grow(self) -> None:
        """No number of a version is given twice, whatever was deleted or failed."""
        for numbers in self.allotted.values():
            assert numbers == sorted(set(numbers))

    @invariant()
    def what_is_current_exists(self) -> None:
        """The current version is there, and no name is a model's and an application's."""
        for entry in self.registry.models.values():
            assert entry.current in entry.versions
        assert not set(self.registry.models) & set(self.registry.apps)

    @invariant()
    def it_survives_bytes(self) -> None:
        """What is read back is equal to what was written."""
        assert Registry.decode(self.registry.encode()) == self.registry


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(max_examples=60, stateful_step_count=25)


def served(*models: ModelConfig, apps: tuple[AppConfig, ...] = ()) -> tuple[Registry, Config]:
    """A server that was started with a file."""
    file = file_of(*models, apps=apps)
    return carry_out(Registry(), file, Registry().plan(file, sources_of(file), wholly=False)), file


def test_a_restart_with_the_same_file_changes_nothing() -> None:
    """Neither a rollback, nor a deployment, a scaling, a model or an application made through the API is undone."""
    registry, file = served(model("a"), apps=(AppConfig(name="x", models=("a",)),))
    registry = deploy(registry, model("a", "m:better")).switched("a", 1).scaled("a", 3)
    registry = deploy(registry, model("b"))
    registry = registry.with_app(AppConfig(name="y", models=("b",)))
    registry = registry.with_app(AppConfig(name="x", models=("a",), slo=1.0))
    assert not registry.plan(file, sources_of(file), wholly=False)


def test_apply_undoes_what_the_file_does_not_say() -> None:
    """`apply` makes the server match the file wholly: versions, replicas, applications, and nothing else."""
    registry, file = served(model("a"), model("c"), apps=(AppConfig(name="x", models=("a",)),))
    registry = deploy(registry, model("a", "m:better")).scaled("c", 3)
    registry = deploy(registry, model("b")).with_app(AppConfig(name="y", models=("b",)))
    plan = registry.plan(file, sources_of(file), wholly=True)
    assert plan == Plan(deploy=("a",), scale={"c": 1}, drop_apps=("y",), drop_models=("b",))
    assert registry.with_app(AppConfig(name="x", models=("a",), slo=1.0)).plan(
        file, sources_of(file), wholly=True
    ).put_apps == ("x",)


def test_a_changed_file_becomes_new_versions() -> None:
    """A changed path, other bytes at the same path, and nothing else make a new version; replicas are scaled."""
    registry, _ = served(model("a"), model("b"), model("c"), model("d"))
    file = file_of(model("a", "m:other"), model("b"), model("c", replicas=2), model("d"))
    sources = {**sources_of(file), "b": Source.of(model("b"), "other bytes")}
    assert registry.plan(file, sources, wholly=False) == Plan(deploy=("a", "b"), scale={"c": 2})


def test_what_a_file_made_goes_with_it() -> None:
    """A model and an application that a later file no longer names are removed at the start, those of the API not."""
    registry, _ = served(model("a"), model("b"), apps=(AppConfig(name="x", models=("a",)),))
    registry = deploy(registry, model("c"))
    file = file_of(model("b"))
    assert registry.plan(file, sources_of(file), wholly=False) == Plan(drop_apps=("x",), drop_models=("a",))


def test_what_failed_is_tried_again() -> None:
    """A file's model whose deployment failed is asked for at the next start; one without a source is left alone."""
    registry, file = served(model("a"))
    changed = file_of(model("a", "m:broken"), model("b"))
    assert registry.applied(changed, sources_of(changed), frozenset({"a"})) == registry
    assert registry.plan(changed, sources_of(changed), wholly=False).deploy == ("a", "b")
    assert not registry.plan(changed, sources_of(file), wholly=False)


def test_one_model_is_enough_to_answer() -> None:
    """Applications none of which has a model are told from those of which one has; none at all want none."""
    app = AppConfig(name="x", models=("a", "b"))
    assert Registry().answerable
    assert not Registry().with_app(app).answerable
    assert deploy(Registry().with_app(app).with_app(AppConfig(name="y", models=("c",))), model("b")).answerable


def test_unknown_names_are_met_with_the_nearest() -> None:
    """A typo in a name is told what was probably meant, and a wrong version which there are."""
    registry, _ = served(model("forest"), apps=(AppConfig(name="digits", models=("forest",)),))
    with pytest.raises(UnknownModel, match="did you mean 'forest'"):
        registry.model("forst")
    with pytest.raises(UnknownApp, match="did you mean 'digits'"):
        registry.app("digts")
    with pytest.raises(UnknownModel, match="no version 7; it has 1"):
        registry.version("forest", 7)
    with pytest.raises(ConflictError, match="used by digits"):
        registry.without_model("forest")
    with pytest.raises(ConflictError, match="the current one: make another current first"):
        registry.without_version("forest", 1)


def test_a_registry_of_another_version_is_refused() -> None:
    """A state file from a newer Skysail, or a broken one, is a `StoreError` with the remedy."""
    data = msgspec.json.encode({"format": 2, "registry": {}})
    with pytest.raises(StoreError, match=r"has format 2.*upgrade Skysail"):
        Registry.decode(data)
    for broken in (b"{", b"[]", b'{"format": 1, "registry": {"models": 3}}'):
        with pytest.raises(StoreError, match="cannot be read"):
            Registry.decode(broken)


@given(st.integers(1, 5), st.integers(1, 5))
def test_replicas_are_the_models_not_the_versions(first: int, second: int) -> None:
    """After a rollback the model has as many replicas as before it; a version's source does not hold them."""
    registry = deploy(deploy(Registry(), model("a", replicas=first)), model("a", "m:g", replicas=second))
    entry = registry.switched("a", 1).models["a"]
    assert entry.config(1) == replace(model("a"), replicas=second)
