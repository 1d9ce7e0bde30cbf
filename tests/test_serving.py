from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skysail import serving
from skysail.errors import DeployError
from skysail.serving import Serving


def child(config: Path) -> Serving:
    """`skysail serve` of a file."""
    return Serving("skysail.cli.main", "serve", str(config))


def start(config: Path) -> None:
    """Start a server and wait for it."""

    async def whole() -> None:
        async with child(config) as server:
            await server.wait_ready()

    asyncio.run(whole())


def test_a_server_that_ends_at_once_tells_why(tmp_path: Path) -> None:
    """The exit code and the server's last words are in the error."""
    missing = tmp_path / "none.toml"
    with pytest.raises(DeployError, match=r"ended with exit code 2 before it was ready.*\n.*none\.toml"):
        start(missing)


def test_a_server_that_says_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting has an end, and so has the child."""
    monkeypatch.setattr(serving, "_START_SECONDS", 0.01)
    with pytest.raises(DeployError, match="not ready within"):
        start(tmp_path / "none.toml")


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    """The exit code is the same, and the process gone."""

    async def whole() -> tuple[int, int, int]:
        async with child(tmp_path / "none.toml") as server:
            return await server.wait(), await server.stop(), await server.stop()

    assert asyncio.run(whole()) == (2, 2, 2)


def test_a_server_must_be_started_first(tmp_path: Path) -> None:
    """Using it outside of `async with` is a mistake that is named."""
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(child(tmp_path).wait_ready())
