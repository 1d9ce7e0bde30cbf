from __future__ import annotations

import asyncio
from typing import Any

import pytest

from skysail.admin.main import main

pytestmark = pytest.mark.anyio


async def test_it_serves_the_file_and_says_when_all_is_ready(running: Any) -> None:
    """The models of the file are deployed, and the parent is told once applications can be answered."""
    async with running() as plane:
        async with asyncio.timeout(20):
            await plane.parent.ready.wait()
        assert set(plane.parent.workers) == {"a@1/0", "b@1/0"}
        assert plane.frontend.topology["current"] == {"a": 1, "b": 1}
        assert (await plane.get("/status"))["ready"]


async def test_it_is_not_ready_without_a_frontend(running: Any) -> None:
    """While nobody can be answered, nothing is announced, and the interface already says why."""
    async with running(frontends=0) as plane:
        status = await plane.get("/status")
        assert not status["ready"]
        assert not plane.parent.ready.is_set()


@pytest.mark.parametrize("state", ["memory://", "sqlite:///state.db"])
async def test_a_successor_goes_on_where_it_died(running: Any, state: str) -> None:
    """After a restart of control, deployments through the API are there, the file is not merged again, workers stay."""
    async with running(state=state) as plane:
        await plane.parent.ready.wait()
        path = f"{plane.folder}/rules.py:other"
        assert (await plane.http.post("/models/a/versions", json={"path": path})).json() == {"model": "a", "version": 2}
        await plane.http.delete("/apps/x")
        parent, workers = plane.parent, dict(plane.parent.workers)
    async with running(parent, state=state) as plane:
        await plane.frontend.told.wait()
        models = (await plane.get("/models"))["models"]
        assert models["a"]["current"] == 2
        assert (await plane.get("/apps"))["apps"] == {}
        assert parent.workers == workers
        assert plane.frontend.topology["current"] == {"a": 2, "b": 1}


async def test_a_restarted_server_merges_the_file_with_what_is_stored(running: Any) -> None:
    """A new parent remembers nothing: the registry comes from the store, and the file, unchanged, changes nothing."""
    async with running(state="sqlite:///state.db") as plane:
        await plane.parent.ready.wait()
        await plane.http.post("/models/a/versions", json={"path": f"{plane.folder}/rules.py:other"})
    async with running(state="sqlite:///state.db") as plane:
        await plane.parent.ready.wait()
        assert set(plane.parent.workers) == {"a@2/0", "b@1/0"}


async def test_a_frontend_that_comes_again_is_told_everything(running: Any) -> None:
    """A restarted frontend gets the whole topology as soon as it connects."""
    async with running() as plane:
        await plane.parent.ready.wait()
        plane.frontend.told.clear()
        plane.links[-1].close()
        async with asyncio.timeout(20):
            await plane.frontend.told.wait()
        assert len(plane.links) == 2


async def test_a_state_that_cannot_be_used_ends_it_with_the_reason(running: Any, tmp_path: Any) -> None:
    """A state file of something else is an error that names the file."""
    (tmp_path / "state.db").write_bytes(b"no database" * 100)
    with pytest.raises(ExceptionGroup) as caught:
        async with running(state="sqlite:///state.db", frontends=0) as plane:
            await asyncio.wait([plane.task])
    assert caught.group_contains(Exception, match=r"state\.db")


def test_its_exit_status_says_when_starting_again_is_useless(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """What the operator must mend is one line, and status 2."""
    monkeypatch.setattr("signal.signal", lambda *args: None)
    (tmp_path / "config.json").write_text("{")
    spec = (
        f'{{"config": "{tmp_path}/config.json", "run": "", "data_url": "", "admin_url": "", "admin_fd": 0,'
        ' "control_fd": 0, "link_fd": 0, "lifeline_fd": 0}'
    )
    assert main(["--spec", spec]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no config of this version")
