"""Three times more than a model can do: every request is answered, one way or the other, and then all is as it was."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

SLOW = """
import time


def slow(batch):
    time.sleep(0.005)
    return batch


def large(batch):
    return [len(row) for row in batch]
"""

CONFIG = """
[models]
slow-model = { path = "slow.py:slow", batch = { max = 4 } }
uncached-model = { path = "slow.py:slow", batch = { max = 4 }, cache = false }
spared-model = { path = "slow.py:slow", batch = { max = 4 } }

[apps]
slow = { models = ["slow-model"], slo = "200ms" }
uncached = { models = ["uncached-model"], slo = "200ms" }
spared = { models = ["spared-model"], slo = "200ms", default = -1 }
"""

LARGE = """
[models]
sizes = { path = "slow.py:large", cache = false, batch = { max = 1 } }

[apps]
large = { models = ["sizes"], slo = "30s" }
"""

RATE = 2400.0
"""Requests a second: thrice what batches of 4 rows in 5 ms come to at best."""

SECONDS = 2.0
CONNECTIONS = 200


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A model of 800 rows a second at best, with a cache, without, and with a default."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "slow.py").write_text(SLOW)
    with serving(folder, CONFIG) as site:
        yield site


class Flood:
    """An open loop of clients: each sends when it is due, or as soon as it has its answer, and each row once."""

    def __init__(self, site: Site, app: str) -> None:
        self.site = site
        self.app = app
        self.told: Counter[tuple[int, str]] = Counter()
        self.wrong: list[Any] = []
        self.meanwhile: list[Any] = []

    @property
    def asked(self) -> int:
        """Requests that were answered, however."""
        return self.told.total()

    def run(self) -> Flood:
        """Flood the server to the end; in the middle, ask how it is."""
        asyncio.run(self._run())
        return self

    async def _run(self) -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for n in range(CONNECTIONS):
                tasks.create_task(self._client(n))
            await asyncio.sleep(SECONDS / 2)
            self.meanwhile = [
                await asyncio.to_thread(self.site.ready),
                await asyncio.to_thread(self.site.status),
            ]

    async def _client(self, first: int) -> None:
        loop = asyncio.get_running_loop()
        wire = self.site.data.base_url
        reader, writer = await asyncio.open_connection(wire.host, wire.port)
        begun = loop.time()
        for n in range(first, int(RATE * SECONDS), CONNECTIONS):
            await asyncio.sleep(max(0.0, begun + n / RATE - loop.time()))
            body = b'{"input": %d}' % n
            writer.write(
                b"POST /apps/%b/predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
                % (self.app.encode(), len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            self._note(n, int(head[9:12]), head, json.loads(await reader.readexactly(size)))
        writer.close()
        await writer.wait_closed()

    def _note(self, n: int, status: int, head: str, said: Any) -> None:
        self.told[status, said.get("reason") or said.get("error", {}).get("code", "")] += 1
        if status == 200:
            right = said["output"] == (-1 if said["default"] else n)
        else:
            code = said["error"]["code"]  # on a machine with other things to do, a worker may break its word
            right = (status, code) == (504, "deadline") or (code == "overload" and "\r\nretry-after: 1\r\n" in head)
        if not right:
            self.wrong.append((n, head, said))


def frontend_memory(site: Site) -> int:
    """The resident bytes of the frontend."""
    pid = site.pids()["frontend/0"]
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(listed.stdout) << 10


@pytest.mark.parametrize("app", ["slow", "uncached"])
def test_each_is_answered_or_refused_and_then_all_is_as_it_was(site: Site, app: str) -> None:
    """Nobody waits for ever, nobody gets another's answer or an error that is not meant; the server says that it is
    ready, for it is, and what it refuses; memory stays as it is; and a lone query afterwards is answered.
    """
    site.predict(app, -1)
    Flood(site, app).run()
    before = frontend_memory(site)
    flood = Flood(site, app).run()
    assert not flood.wrong
    assert flood.asked == RATE * SECONDS
    assert set(flood.told) <= {(200, ""), (503, "overload"), (504, "deadline")}
    assert flood.told[503, "overload"] > 0.2 * flood.asked, flood.told
    assert flood.told[200, ""] > 0
    ready, status = flood.meanwhile
    assert ready
    assert status["apps"][app]["errors"]["overload"] > 0
    assert status["models"][f"{app}-model"]["errors"]["overload"] > 0
    site.predict(app, 1_000_000)
    after = site.status()
    assert after["apps"][app]["errors"]["overload"] >= flood.told[503, "overload"]
    assert after["models"][f"{app}-model"]["queue"] == 0
    assert frontend_memory(site) < before + (16 << 20)


def test_with_a_default_nobody_is_refused(site: Site) -> None:
    """Who cannot have the model's answer has the default, with the reason, and the decision is kept."""
    flood = Flood(site, "spared").run()
    assert not flood.wrong
    assert flood.asked == RATE * SECONDS
    assert set(flood.told) <= {(200, ""), (200, "overload"), (200, "deadline")}
    assert flood.told[200, "overload"] > 0.2 * flood.asked, flood.told
    assert site.status()["apps"]["spared"]["defaults"]["overload"] >= flood.told[200, "overload"]
    assert site.predict("spared", 1_000_000)["output"] == 1_000_000


def test_bodies_beyond_the_room_wait_and_are_served(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path: Path
) -> None:
    """More large bodies at once than there is room for: all are served, and memory does not grow by all of them."""
    (tmp_path / "slow.py").write_text(SLOW)
    with serving(tmp_path, LARGE, 'max_body = "1MiB"') as site:
        site.predict("large", "x")
        before = frontend_memory(site)

        async def client() -> int:
            reader, writer = await asyncio.open_connection(site.data.base_url.host, site.data.base_url.port)
            body = b'{"input": "%b"}' % (b"x" * 900_000)
            writer.write(
                b"POST /apps/large/predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            answer = json.loads(await reader.readexactly(size))
            writer.close()
            return int(answer["output"])

        async def clients() -> list[int]:
            async with asyncio.timeout(60):
                return await asyncio.gather(*[client() for _ in range(150)])

        assert asyncio.run(clients()) == [900_000] * 150
        assert frontend_memory(site) < before + (100 << 20)
