"""What frontends tell and ask each other, over real links between stand-ins for the rest of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from skysail.errors import InvalidRequest, SkysailError, Unavailable
from skysail.http import peers as module
from skysail.http.peers import Peers
from skysail.supervisor.sockets import bind_unix
from skysail.types import State
from skysail.wire.link import connect_link

pytestmark = pytest.mark.anyio


class Stand:
    """A frontend with its ledger, which note what they are told; `flushes` are answered by hand."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.flushes: list[Callable[[bool], None]] = []
        self.committing = False
        self.on_commit: Callable[[dict[str, State]], None] | None = None
        self.engine = SimpleNamespace(others=None)
        self.ledger = self

    def changed(self, keys: Collection[str]) -> None:
        self.heard.append(sorted(keys))

    def outdated(self) -> None:
        self.heard.append("all")

    def flush(self, flushed: Callable[[bool], None]) -> None:
        self.flushes.append(flushed)

    def commit(self, *keys: str) -> None:
        """A transaction is reported."""
        assert self.on_commit is not None
        self.on_commit({key: State(1.0) for key in keys})


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what comes over a socket."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it is the other side that is waited for
            await asyncio.sleep(0.001)


class Group:
    """Frontends that are linked with each other, each of which can be ended and begun anew."""

    def __init__(self, folder: Path, tasks: asyncio.TaskGroup, count: int) -> None:
        self.stands = [Stand() for _ in range(count)]
        self._paths = [str(folder / f"{n}.sock") for n in range(count)]
        self._listeners = [bind_unix(path) for path in self._paths]
        self._tasks = tasks
        self._peers: dict[int, Peers] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    def begin(self, n: int) -> None:
        self.stands[n] = stand = Stand()
        self._peers[n] = Peers(stand, n, self._paths)  # type: ignore[arg-type]
        self._running[n] = self._tasks.create_task(self._peers[n].run(self._listeners[n]))

    async def end(self, n: int) -> None:
        self._running[n].cancel()
        await asyncio.wait([self._running.pop(n)])

    async def linked(self) -> None:
        """Wait until each has dialled all others, and has been dialled by them."""
        others = len(self.stands) - 1
        await until(lambda: all(stand.heard == ["all"] * others for stand in self.stands))
        await until(lambda: all(len(peers._listeners) == others for peers in self._peers.values()))
        for stand in self.stands:
            stand.heard.clear()

    @property
    def peers(self) -> Collection[Peers]:
        return self._peers.values()

    async def close(self) -> None:
        for n in list(self._running):
            await self.end(n)
        for listener in self._listeners:
            listener.close()


@asynccontextmanager
async def linked(folder: Path, count: int = 2) -> AsyncIterator[Group]:
    """Frontends, all linked."""
    async with asyncio.TaskGroup() as tasks:
        group = Group(folder, tasks, count)
        try:
            for n in range(count):
                group.begin(n)
            await group.linked()
            yield group
        finally:
            await group.close()


async def test_what_one_commits_all_others_hear(tmp_path: Path) -> None:
    """At once, and what comes soon after in one message; a transaction that changes no state is no news."""
    async with linked(tmp_path, 3) as group:
        one, two, three = group.stands
        one.commit("a/p/")
        one.commit()
        one.commit("a/p/", "a/p/user")
        one.commit("a/p/late")
        await until(lambda: len(two.heard) == len(three.heard) == 2)
        assert one.heard == []
        assert two.heard == three.heard == [["a/p/"], ["a/p/", "a/p/late", "a/p/user"]]
        three.commit("b/p/")
        await until(lambda: one.heard and len(two.heard) == 3)
        assert (one.heard, two.heard[2], len(three.heard)) == ([["b/p/"]], ["b/p/"], 2)
        await until(lambda: all(peers._timer is None for peers in group.peers))


async def test_news_during_a_transaction_count_again_after_it(tmp_path: Path) -> None:
    """The report may put an older state in the place of what was read upon the news: it is read once more."""
    async with linked(tmp_path) as group:
        one, two = group.stands
        two.committing = True
        one.commit("a/p/")
        await until(lambda: two.heard)
        two.committing = False
        two.commit("a/p/")
        assert two.heard == [["a/p/"], ["a/p/"]]
        two.commit("a/p/")
        assert len(two.heard) == 2


async def test_a_link_that_is_new_makes_everything_doubtful(tmp_path: Path) -> None:
    """Who was away has missed news, and what it did before it went may not have been told."""
    async with linked(tmp_path) as group:
        await group.end(0)
        group.stands[1].committing = True
        group.begin(0)
        await until(lambda: group.stands[1].heard == ["all"])
        group.stands[1].committing = False
        group.stands[1].commit()
        assert group.stands[1].heard == ["all", "all"]


async def test_a_decision_of_another_is_asked_for(tmp_path: Path) -> None:
    """Many who ask at once are one question, those who come meanwhile another; each hears once it is written."""
    async with linked(tmp_path) as group:
        one, two = group.stands
        told: list[SkysailError | None] = []
        for _ in range(5):
            assert one.engine.others.flush("01-000001-00000000", told.append)
        assert told == []
        await until(lambda: two.flushes)
        for _ in range(5):
            assert one.engine.others.flush("01-000001-00000001", told.append)
        two.flushes.pop()(True)
        await until(lambda: two.flushes)
        await until(lambda: told == [None] * 5)
        two.flushes.pop()(True)
        await until(lambda: told == [None] * 10)
        assert two.flushes == []


async def test_what_cannot_be_written_is_not_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a frontend cannot write what it decided, or not in time, does not mean that it decided nothing."""
    async with linked(tmp_path) as group:
        one, two = group.stands
        told: list[SkysailError | None] = []
        one.engine.others.flush("01-000001-00000000", told.append)
        await until(lambda: two.flushes)
        two.flushes.pop()(False)
        await until(lambda: told)
        assert isinstance(told[0], Unavailable)
        assert "cannot write" in told[0].message
        monkeypatch.setattr(module, "_ASK", 0.01)
        one.engine.others.flush("01-000001-00000000", told.append)
        await until(lambda: len(told) == 2)
        assert isinstance(told[1], Unavailable)
        assert "within 0.01 s" in told[1].message
        two.flushes.pop()(True)  # for somebody who has gone


async def test_one_that_dies_has_nothing_left_to_write(tmp_path: Path) -> None:
    """Whoever waits for it looks into the store, and is not sent to it again while it is away."""
    async with linked(tmp_path) as group:
        one, two = group.stands
        told: list[SkysailError | None] = []
        one.engine.others.flush("01-000001-00000000", told.append)
        await until(lambda: two.flushes)
        await group.end(1)
        await until(lambda: told == [None])


async def test_only_others_are_asked(tmp_path: Path) -> None:
    """An id of one's own, of a frontend that there is not, or of nobody, is for nobody to write."""
    async with linked(tmp_path) as group:
        others = group.stands[0].engine.others
        for id in ("00-000001-00000000", "02-000001-00000000", "what", ""):
            assert not others.flush(id, pytest.fail)


async def test_nonsense_is_refused(tmp_path: Path) -> None:
    """An operation that there is not is an error for whoever asked, and ends nothing."""
    async with linked(tmp_path) as group, asyncio.TaskGroup() as tasks:
        link = await connect_link(str(tmp_path / "0.sock"), group.stands[0])  # type: ignore[arg-type]
        running = tasks.create_task(link.run())
        with pytest.raises(InvalidRequest, match="no operation 'dance'"):
            await link.call("dance")
        link.close()
        await running
