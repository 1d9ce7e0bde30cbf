from __future__ import annotations

import asyncio

from skysail.registry.documents import RememberedDocuments, StoredDocuments
from skysail.stores.memory import MemoryStore


def test_a_stored_document_is_read_back() -> None:
    """What was saved is what a later reader of the same store loads; before that there is nothing."""
    store = MemoryStore()

    async def body() -> tuple[bytes | None, bytes | None]:
        before = await StoredDocuments(store).load()
        await StoredDocuments(store).save(b"{}")
        return before, await StoredDocuments(store).load()

    assert asyncio.run(body()) == (None, b"{}")


def test_a_remembered_document_is_the_parents() -> None:
    """Saving tells the parent; loading gives what the parent remembered when this process started."""
    told: list[str] = []

    async def remember(text: str) -> None:
        told.append(text)

    async def body() -> tuple[bytes | None, bytes | None]:
        await RememberedDocuments(None, remember).save(b"{}")
        return await RememberedDocuments(None, remember).load(), await RememberedDocuments(told[0], remember).load()

    assert asyncio.run(body()) == (None, b"{}")
