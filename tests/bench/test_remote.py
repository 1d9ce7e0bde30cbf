from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from skysail.bench.remote import RemoteGenerator
from skysail.bench.trial import Closed, Open, Setup, Trial
from skysail.errors import SkysailError


def setup(server: Any, folder: Path) -> Setup:
    """Two rows to the server."""
    rows = folder / "rows"
    rows.write_bytes(b"[1]\n[2]")
    host, port = server.address
    return Setup(host=host, port=port, path="/apps/a/predict", rows=str(rows))


def test_a_process_of_its_own_carries_out_orders(server: Any, tmp_path: Path) -> None:
    """Each order comes back as a trial; the process has ended when the context has."""

    async def whole() -> tuple[Trial, Trial, int | None]:
        async with RemoteGenerator(setup(server, tmp_path)) as remote:
            done = await remote.run(Closed(2, 0.05)), await remote.run(Open(100.0, 0.1, 2, 1))
            process = remote._process
        return *done, process.returncode

    first, second, code = asyncio.run(whole())
    assert first.sent + second.sent == len(server.bodies)
    assert first.sent > 0
    assert code is not None


def test_its_last_words_are_told(server: Any, tmp_path: Path) -> None:
    """A generator that cannot go on ends, and whoever gave the order hears why."""
    wrong = setup(server, tmp_path)
    (tmp_path / "rows").unlink()

    async def whole() -> None:
        async with RemoteGenerator(wrong) as remote:
            await remote.run(Closed(1, 0.05))

    with pytest.raises(SkysailError, match="the generator ended: FileNotFoundError"):
        asyncio.run(whole())


def test_it_must_be_started_first(server: Any, tmp_path: Path) -> None:
    """Using it outside of `async with` is a mistake that is named."""
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(RemoteGenerator(setup(server, tmp_path)).run(Closed(1, 0.05)))
