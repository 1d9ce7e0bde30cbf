from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from skysail.config.schema import AppConfig, Config, ModelConfig
from skysail.errors import ConflictError, DeployError, InvalidRequest, StoreError, UnknownModel
from skysail.registry.registry import Registry
from skysail.types import ModelRef

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """These tests use asyncio itself."""
    return "asyncio"


def model(name: str, path: str = "rules:predict", **fields: Any) -> ModelConfig:
    """A model that is an import path, so that there is no artifact."""
    return ModelConfig(name=name, path=path, runtime="python", **fields)


def app(name: str, *models: str, **fields: Any) -> AppConfig:
    """An application."""
    return AppConfig(name=name, models=models, **fields)


def file_of(*models: ModelConfig, apps: tuple[AppConfig, ...] = ()) -> Config:
    """A file with these."""
    return Config(models={m.name: m for m in models}, apps={a.name: a for a in apps})


async def test_a_deployment_switches_durably_before_frontends_hear_of_it(make: Any) -> None:
    """The new version runs beside the old, is current in the store before any frontend knows, and the old drains."""
    w = make()
    await w.control.start()
    assert await w.control.deploy(model("a")) == 1
    assert await w.control.deploy(model("a", "rules:better", replicas=2)) == 2
    assert set(w.workers) == {"a@2/0", "a@2/1"}
    assert w.drained == ["a@1"]
    assert w.topology.current == {"a": 2}
    assert Registry.decode(w.document).models["a"].current == 2
    served = [(push.current, [v.version for v in push.versions]) for push in w.pushes]
    assert served[-2:] == [({"a": 1}, [1, 2]), ({"a": 2}, [2])]


@pytest.mark.parametrize("path", ["rules:broken", "rules:wrong", "rules:mute"])
async def test_a_failed_deployment_changes_nothing(make: Any, path: str) -> None:
    """A version that does not load, answers wrongly, or not at all leaves what is served as it was, and says why."""
    w = make()
    await w.control.start()
    await w.control.deploy(model("a"))
    before, topology, workers = w.control.registry, w.topology, w.workers
    with pytest.raises(DeployError) as caught:
        await w.control.deploy(model("a", path), within=0.02)
    assert {
        "rules:broken": "a@2/0 could not be loaded: boom\nTraceback (most recent call last):\nValueError: boom",
        "rules:wrong": "a@2 did not answer: not an answer",
        "rules:mute": "a@2 was not ready within 0.02 s: no frontend had got an answer from a@2",
    }[path] == caught.value.message
    assert (w.control.registry.models, w.topology, w.workers) == (before.models, topology, workers)
    assert await w.control.deploy(model("a", "rules:good")) == 3


async def test_a_rollback_starts_the_old_version_the_same_way(make: Any) -> None:
    """The old version is tried, made current, and the newer one drains; to what is current already, nothing is done."""
    w = make()
    await w.control.start()
    for path in ("rules:one", "rules:two"):
        await w.control.deploy(model("a", path))
    await w.control.switch("a", 1)
    assert set(w.workers) == {"a@1/0"}
    assert w.drained[-1] == "a@2"
    pushes = len(w.pushes)
    await w.control.switch("a", 1)
    assert len(w.pushes) == pushes
    with pytest.raises(UnknownModel, match="no version 9; it has 1, 2"):
        await w.control.switch("a", 9)


async def test_what_the_disk_refuses_does_not_happen(make: Any) -> None:
    """A registry that cannot be written leaves the old version current, and takes the new one's workers away."""
    w = make()
    await w.control.start()
    await w.control.deploy(model("a"))
    slow = asyncio.create_task(w.control.deploy(model("a", "rules:slow")))
    await settle()
    w.full = True
    w.gate.set()
    with pytest.raises(StoreError, match="disk full"):
        await slow
    assert w.topology.current == {"a": 1}
    assert set(w.workers) == {"a@1/0"}


async def test_deployments_of_one_model_take_turns_and_of_two_do_not(make: Any) -> None:
    """The second deployment of a model waits for the first; another model's does not."""
    w = make()
    await w.control.start()
    first = asyncio.create_task(w.control.deploy(model("a", "rules:slow")))
    second = asyncio.create_task(w.control.deploy(model("a", "rules:fast")))
    await w.control.deploy(model("b"))
    assert not first.done()
    assert not second.done()
    w.gate.set()
    assert [await first, await second] == [1, 2]
    assert w.control.registry.models["a"].current == 2


async def test_scaling_adds_and_drains_replicas(make: Any) -> None:
    """More replicas are started before frontends hear of them; fewer are stopped after frontends have let them go."""
    w = make()
    await w.control.start()
    await w.control.deploy(model("a"))
    await w.control.scale("a", 3)
    assert set(w.workers) == {"a@1/0", "a@1/1", "a@1/2"}
    await w.control.scale("a", 1)
    assert set(w.workers) == {"a@1/0"}
    for replicas in (0, -1, 10**6):
        with pytest.raises(InvalidRequest, match=f"replicas = {replicas}"):
            await w.control.scale("a", replicas)


async def test_a_version_that_drains_holds_up_nobody_else(make: Any) -> None:
    """While an old version still has work in hand, its workers stay, and other models are deployed and scaled."""
    w = make()
    await w.control.start()
    await w.control.deploy(model("a", "rules:busy"))
    busy = asyncio.create_task(w.control.deploy(model("a", "rules:new")))
    await settle()
    await w.control.deploy(model("b"))
    await w.control.scale("b", 2)
    assert not busy.done()
    assert set(w.workers) == {"a@1/0", "a@2/0", "b@1/0", "b@1/1"}
    w.gate.set()
    assert await busy == 2
    assert set(w.workers) == {"a@2/0", "b@1/0", "b@1/1"}


async def test_versions_are_deleted_with_their_artifacts(make: Any, tmp_path: Path) -> None:
    """A version that is not current can go, and its copy with it; the current one cannot."""
    w = make()
    await w.control.start()
    for content in (b"one", b"two"):
        (tmp_path / "m.onnx").write_bytes(content)
        await w.control.deploy(ModelConfig(name="a", path=str(tmp_path / "m.onnx"), runtime="onnx"))
    kept = tmp_path / "artifacts"
    assert len(list(kept.iterdir())) == 2
    with pytest.raises(ConflictError, match="make another current first"):
        await w.control.delete_version("a", 2)
    await w.control.delete_version("a", 1)
    (left,) = kept.iterdir()
    assert left.read_bytes() == b"two"
    assert w.topology.versions[0].config.path == str(left)


async def test_a_restart_finds_all_as_it_was(make: Any) -> None:
    """Versions, replicas and applications come back from the document, and with them the same workers."""
    w = make()
    await w.control.start()
    file = file_of(model("a"), apps=(app("x", "a"),))
    await w.control.apply(file, wholly=False)
    await w.control.deploy(model("a", "rules:better"))
    await w.control.scale("a", 2)
    again = make(w.document)
    await again.control.start()
    assert (again.control.registry, again.workers, again.topology) == (w.control.registry, w.workers, w.topology)
    done = await again.control.apply(file, wholly=False)
    assert not any((done.deployed, done.scaled, done.apps, done.removed, done.failed))


async def test_apply_makes_the_server_match_the_file(make: Any) -> None:
    """New, changed, and vanished models and applications, in one go, and told by name; again, it does nothing."""
    w = make()
    await w.control.start()
    await w.control.apply(file_of(model("a"), model("b"), apps=(app("x", "a"), app("y", "b"))), wholly=True)
    file = file_of(model("a", "rules:new"), model("c", replicas=2), apps=(app("x", "a", "c"),))
    done = await w.control.apply(file, wholly=True)
    assert (done.deployed, done.apps, done.removed) == ({"a": 2, "c": 1}, ["x"], ["y", "b"])
    assert set(w.workers) == {"a@2/0", "c@1/0", "c@1/1"}
    assert list(w.topology.apps) == ["x"]
    saves = w.saves
    done = await w.control.apply(file, wholly=True)
    assert not any((done.deployed, done.scaled, done.apps, done.removed, done.failed))
    assert w.saves == saves


async def test_apply_never_takes_away_what_answers(make: Any) -> None:
    """An application stays as it was when a model it is to list cannot be deployed; a new one may wait for models."""
    w = make()
    await w.control.start()
    await w.control.apply(file_of(model("a"), apps=(app("x", "a"),)), wholly=True)
    file = file_of(model("a"), model("b", "rules:broken"), apps=(app("x", "b"), app("z", "b", "a")))
    done = await w.control.apply(file, wholly=True, within=0.5)
    assert set(done.failed) == {"b", "x"}
    assert "'b' has no version yet" in done.failed["x"]
    assert {name: entry.models for name, entry in w.topology.apps.items()} == {"x": ("a",), "z": ("b", "a")}


async def test_a_missing_artifact_fails_its_model_alone(make: Any, tmp_path: Path) -> None:
    """A file that went away since the configuration was read is named; the other models are deployed."""
    w = make()
    await w.control.start()
    gone = ModelConfig(name="b", path=str(tmp_path / "gone.onnx"), runtime="onnx")
    done = await w.control.apply(file_of(model("a"), gone), wholly=True)
    assert done.deployed == {"a": 1}
    assert "gone.onnx" in done.failed["b"]


async def test_an_application_lists_models_that_are_there(make: Any) -> None:
    """Through the API, an application of an unknown model is refused with the nearest name, and models keep theirs."""
    w = make()
    await w.control.start()
    await w.control.deploy(model("forest"))
    with pytest.raises(UnknownModel, match=r"lists forst.*did you mean 'forest'"):
        await w.control.put_app(app("x", "forst"))
    with pytest.raises(ConflictError, match="'forest' is a model"):
        await w.control.put_app(app("forest", "forest"))
    await w.control.put_app(app("x", "forest"))
    assert list(w.topology.apps) == ["x"]
    with pytest.raises(ConflictError, match="'x' is an application"):
        await w.control.deploy(model("x"))
    await w.control.delete_app("x")
    assert w.topology.apps == {}


async def test_ready_waits_for_every_application(make: Any) -> None:
    """The server is ready when each application can be answered and no current version is still loading."""
    first = make()
    await first.control.start()
    await first.control.apply(
        file_of(model("a"), model("b", "rules:slow"), apps=(app("x", "a", "b"),)), wholly=True, within=0
    )
    first.gate.set()
    await first.control.deploy(model("b", "rules:slow"))
    w = make(first.document, frontends=0)
    await w.control.start()
    ready = asyncio.create_task(w.control.wait_ready())
    await settle()
    assert not ready.done()
    w.control.readiness.connected(0)
    w.control.readiness.answered(0, ModelRef("a", 1))
    await settle()
    assert not ready.done()
    w.fail("b@2/0")
    async with asyncio.timeout(10):
        await ready


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)
