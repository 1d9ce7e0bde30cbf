"""Where the registry is kept: in the store, or, where that forgets, with the parent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from skysail.stores.base import Store

__all__ = ["Documents", "RememberedDocuments", "StoredDocuments"]

_NAME = "registry"


class Documents(Protocol):
    """One document that outlives this process."""

    async def load(self) -> bytes | None:
        """The document as it was last saved, or `None`."""
        ...

    async def save(self, data: bytes) -> None:
        """Keep it; it is kept when this returns."""
        ...


class StoredDocuments:
    """Keeps the document in a store, durably. Raises `StoreError` when the store cannot."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> bytes | None:
        """Read it."""
        return await asyncio.to_thread(self._store.get_document, _NAME)

    async def save(self, data: bytes) -> None:
        """Write it, to the disk."""
        await asyncio.to_thread(self._store.put_document, _NAME, data)


class RememberedDocuments:
    """Has the parent remember the document: it outlives this process, not the server; for `memory://`."""

    def __init__(self, remembered: str | None, remember: Callable[[str], Awaitable[None]]) -> None:
        self._remembered = remembered
        self._remember = remember

    async def load(self) -> bytes | None:
        """What was remembered when this process started."""
        return None if self._remembered is None else self._remembered.encode()

    async def save(self, data: bytes) -> None:
        """Tell the parent."""
        await self._remember(data.decode())
