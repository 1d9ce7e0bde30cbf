"""From `[server] state` to a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skysail.errors import ConfigError, nearest
from skysail.stores.base import Store
from skysail.stores.memory import MemoryStore
from skysail.stores.sqlite import SQLiteStore

__all__ = ["SCHEMES", "open_store"]


def _memory(rest: str, root: Path) -> Store:
    if rest:
        raise ConfigError(f"state = 'memory://{rest}': a store in memory has no path; write 'memory://'")
    return MemoryStore()


def _sqlite(rest: str, root: Path) -> Store:
    if not rest.startswith("/") or not rest.strip("/"):
        raise ConfigError(
            f"state = 'sqlite://{rest}' names no file; write 'sqlite:///FILE' (relative to the config file) or "
            "'sqlite:////FILE' (absolute)"
        )
    return SQLiteStore(root / rest[1:])


SCHEMES: dict[str, Callable[[str, Path], Store]] = {"memory": _memory, "sqlite": _sqlite}
"""How a store is made, by the part of its address before `://`, from the rest and the folder of the config file."""


def open_store(url: str, root: Path) -> Store:
    """The store at an address, opened: `sqlite:///relative` (to `root`), `sqlite:////absolute`, or `memory://`.

    Raises `ConfigError` for an address that cannot be one, `StoreError` where the store cannot be opened.
    """
    scheme, separator, rest = url.partition("://")
    make = SCHEMES.get(scheme)
    if make is None or not separator:
        raise ConfigError(f"state = {url!r}: no store is called {scheme!r} ({nearest(scheme, SCHEMES)})")
    store = make(rest, root)
    store.open()
    return store
