"""Every store obeys the laws, and the laws find a store that does not."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import skysail.stores
from skysail.stores.base import Store, Writes, Written
from skysail.stores.changes import changed
from skysail.stores.memory import MemoryStore
from skysail.stores.open import open_store
from skysail.stores.sqlite import SQLiteStore
from skysail.testing.stores import DURABLE_LAWS, LAWS, MakeStore, check_store, is_shared_by_processes
from skysail.types import State

URLS: dict[type[Store], str] = {MemoryStore: "memory://", SQLiteStore: "sqlite:///state.db"}
"""Where each store can be tried."""


def all_stores() -> list[type[Store]]:
    """Every implementation in the package, found by reflection."""
    for module in pkgutil.iter_modules(skysail.stores.__path__, "skysail.stores."):
        importlib.import_module(module.name)
    return sorted((c for c in Store.__subclasses__() if c.__module__.startswith("skysail.stores.")), key=repr)


def cases() -> list[object]:
    """Each store with each law that it is to obey."""
    return [
        pytest.param(kind, law, id=f"{kind.__name__}-{law.__name__}")
        for kind in all_stores()
        for law in (*LAWS, *(DURABLE_LAWS if kind.durable else ()))
    ]


@pytest.mark.parametrize(("kind", "law"), cases())
def test_obeys(kind: type[Store], law: Callable[[MakeStore, Path], None], tmp_path: Path) -> None:
    """The store obeys the law."""
    assert kind in URLS, f"{kind.__name__} has no address to be tried at: give it one in URLS"
    law(partial(open_store, URLS[kind]), tmp_path)


class Lossy(MemoryStore):
    def write(self, writes: Writes) -> Written:
        written = super().write(Writes(writes.blocks, [], writes.observations))
        return Written([True] * len(writes.observations), written.states)


class Hasty(MemoryStore):
    def write(self, writes: Writes) -> Written:
        super().write(Writes(writes.blocks))
        return super().write(Writes([], writes.completions, writes.observations))


class Early(MemoryStore):
    def write(self, writes: Writes) -> Written:
        before = dict(self._states)
        written = super().write(writes)
        return Written(written.first, {key: before.get(key, state) for key, state in written.states.items()})


class Careless(MemoryStore):
    def prune(self, before: float, max_bytes: int) -> int:
        if self._oldest:
            self._oldest.rotate(1)
        return super().prune(before, max_bytes)


class Forgetful(MemoryStore):
    durable = True


class Stale(SQLiteStore):
    """Adds to the states that this process knows, whatever others have made of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._mine: dict[str, State] = {}

    def write(self, writes: Writes) -> Written:
        plain = [replace(write, adds=()) for write in writes.observations]
        first = super().write(Writes(writes.blocks, writes.completions, plain)).first
        adds = [add for write, new in zip(writes.observations, first, strict=True) if new for add in write.adds]
        made = changed(self._mine, adds)
        self._mine.update(made)
        return Written(first, made)


def make_stale(folder: Path) -> Store:
    """An open store of that kind; a function with a name, for another process calls it."""
    store = Stale(folder / "state.db")
    store.open()
    return store


def test_a_store_that_does_not_look_is_found(tmp_path: Path) -> None:
    """Additions to what one process alone has seen are no sum, and the law of two processes says so."""
    with pytest.raises(AssertionError, match="another state"):
        is_shared_by_processes(make_stale, tmp_path)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Lossy, "reads_its_writes"),
        (Hasty, "is_atomic"),
        (Early, "returns_what_is_read"),
        (Careless, "prunes_the_oldest"),
        (Forgetful, "survives_reopening"),
    ],
)
def test_a_bad_store_is_found(kind: type[MemoryStore], law: str) -> None:
    """A store that breaks a law fails the check, which names the law."""
    with pytest.raises(AssertionError) as caught:
        check_store(lambda folder: kind())
    assert any(law in note for note in caught.value.__notes__)


def test_a_good_store_passes() -> None:
    """The whole check passes over the simplest store."""
    check_store(partial(open_store, "memory://"))
