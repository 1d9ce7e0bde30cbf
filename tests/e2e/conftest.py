"""What end-to-end tests share: a real server as a child process, real clients of it, and models trained once."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import pytest

PATIENCE = 40.0
"""Seconds within which whatever a test waits for comes, however slow the machine."""

ZOO = Path(__file__).with_name("zoo.py")
"""Models in plain Python, each with a fault or a use of its own."""

HEAD = """
[server]
port = 0
admin_port = 0
{settings}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts real processes is slow."""
    for item in items:
        if item.path.parent == ZOO.parent:
            item.add_marker(pytest.mark.slow)


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not yet collected does not)."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


def wait(condition: Callable[[], Any], seconds: float = PATIENCE, *, said: Callable[[], str] = str) -> Any:
    """What a condition gives once it is true; false while nobody answers. Polls, for what happens in other processes.

    When it does not come, the failure shows what `said` gives.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except httpx.TransportError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, said()
        time.sleep(0.01)


class Reply(NamedTuple):
    """An answer read from a raw socket."""

    status: int
    headers: dict[str, str]
    body: Any


class Wire:
    """A raw connection to the data plane, for what a proper client never does."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self.socket.sendall(data)

    def reply(self) -> Reply:
        """The next answer, after any interim ones; `EOFError` where the server has hung up instead."""
        while (line := self.file.readline()).startswith(b"HTTP/1.1 1"):
            self.file.readline()
        if not line:
            raise EOFError
        headers: dict[str, str] = {}
        while (header := self.file.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", 0)))
        return Reply(int(line.split()[1]), headers, json.loads(body or "null"))

    def reset(self) -> None:
        """Leave at once, so that the server is told (a close in silence looks as if one still listened)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.__exit__()


class Asked(NamedTuple):
    """One query of a load, and its answer; `began` is by the monotonic clock."""

    began: float
    row: Any
    status: int
    body: Any


class Load:
    """Threads that ask an application again and again while the test does something else, and keep every answer.

    `rows` gives the input of the n-th query of a thread.
    """

    def __init__(self, site: Site, app: str, rows: Callable[[int], Any], threads: int = 2) -> None:
        self.asked: list[Asked] = []
        self._site = site
        self._app = app
        self._rows = rows
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Asked]:
        """The queries that were not answered as they should be."""
        return [it for it in self.asked if it.status != 200 or it.body["default"]]

    def _run(self) -> None:
        n = 0
        while not self._stop.wait(0.003):
            row, began = self._rows(n), time.monotonic()
            n += 1
            try:
                response = self._site.ask(self._app, row)
            except httpx.TransportError as error:
                self.asked.append(Asked(began, row, 0, repr(error)))
            else:
                self.asked.append(Asked(began, row, response.status_code, response.json()))


class Site:
    """A server of its own with all its processes, and clients of both its planes."""

    def __init__(self, config: Path, options: Sequence[object], environ: dict[str, str]) -> None:
        self.config = config
        self.folder = config.parent
        self._options = options
        self._environ = environ
        self.process: subprocess.Popen[str]
        self.url = self.admin_url = ""
        self.data: httpx.Client
        self.admin: httpx.Client

    # Its life.

    def start(self) -> None:
        """`skysail serve`, up to its ready line."""
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command("serve", self.config, *self._options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self._environ},
            )
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], self.log
        line = self.process.stdout.readline()
        match = re.fullmatch(r"skysail ready: (http://\S+) admin (http://\S+)\n", line)
        assert match is not None, (line, self.log)
        self.url, self.admin_url = match.groups()
        token = self._environ.get("SKYSAIL_TOKEN")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        options: dict[str, Any] = {
            "timeout": PATIENCE,
            "verify": False,
            "trust_env": False,
            "headers": headers,
            # With a limit, httpcore may close a connection that another thread has just been given.
            "limits": httpx.Limits(),
        }
        self.data = httpx.Client(base_url=self.url, **options)
        self.admin = httpx.Client(base_url=self.admin_url, **options)

    def stop(self) -> None:
        """SIGTERM, and the end as it should be: status 0, and no child left. Harmless when it has ended."""
        self.data.close()
        self.admin.close()
        if self.process.poll() is None:
            children = self.children()
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0, self.log
            assert not self.left(children)
        self.abandon()

    def abandon(self) -> None:
        """The end in any case, however the test went."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    # What it is asked.

    def ask(self, app: str, row: Any, **fields: Any) -> httpx.Response:
        """A prediction, whatever becomes of it."""
        return self.data.post(f"/apps/{app}/predict", json={"input": row, **fields})

    def predict(self, app: str, row: Any, **fields: Any) -> Any:
        """A prediction that must be answered."""
        response = self.ask(app, row, **fields)
        assert response.status_code == 200, (response.text, self.log)
        return response.json()

    def observe(self, app: str, id: str, label: Any) -> Any:
        """Feedback that must be accepted, or be a duplicate."""
        response = self.data.post(f"/apps/{app}/observe", json={"prediction_id": id, "label": label})
        assert response.status_code == 200, response.text
        return response.json()

    def get(self, path: str, **params: Any) -> Any:
        """A document of the control plane."""
        response = self.admin.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def status(self, **params: Any) -> Any:
        """Everything at a glance."""
        return self.get("/status", **params)

    def ready(self) -> bool:
        """Whether the data plane says that every application can be answered now."""
        return self.data.get("/v2/health/ready").status_code == 200

    def deploy(self, model: str, path: str, **settings: Any) -> httpx.Response:
        """A new version, whatever becomes of it."""
        return self.admin.post(f"/models/{model}/versions", json={"path": path, **settings})

    def load(self, app: str, rows: Callable[[int], Any]) -> Load:
        """A stream of queries beside what the test does."""
        return Load(self, app, rows)

    def wire(self) -> Wire:
        """A raw connection to the data plane."""
        address = httpx.URL(self.url)
        return Wire((address.host, address.port or 0))

    # What it is made of.

    @property
    def log(self) -> str:
        """What it wrote to its standard error."""
        return (self.folder / "log").read_text()

    def processes(self) -> dict[str, dict[str, Any]]:
        """Its children by name, as the parent knows them."""
        processes: dict[str, dict[str, Any]] = self.status()["processes"]
        return processes

    def pids(self) -> dict[str, int]:
        """The process ids of its children, by name."""
        return {name: process["pid"] for name, process in self.processes().items()}

    def kill(self, name: str) -> int:
        """End one of the children by force; the process id it had."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """What a condition gives once it is true; with the server's log, should it not come."""
        return wait(condition, seconds, said=lambda: self.log)

    def children(self) -> list[int]:
        """The processes that the parent has started and not collected yet, as the system knows them."""
        listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listed.splitlines()]
        return [int(pid) for pid, parent in pairs if int(parent) == self.process.pid]

    @staticmethod
    def left(pids: list[int]) -> list[int]:
        """Which of these processes still run."""
        return [pid for pid in pids if alive(pid)]


def write_config(folder: Path, config: str, settings: str = "") -> Path:
    """A config file; a state file is made beside it unless the settings name another state."""
    state = "" if "state" in settings else 'state = "sqlite:///state.db"\n'
    file = folder / "skysail.toml"
    file.write_text(HEAD.format(settings=state + settings) + config.replace("ZOO", str(ZOO)))
    return file


def command(*arguments: object) -> list[str]:
    """The command line of `skysail` with these arguments."""
    return [sys.executable, "-m", "skysail.cli.main", *map(str, arguments)]


@contextmanager
def _serving(
    folder: Path,
    config: str,
    settings: str = "",
    *,
    environ: dict[str, str] | None = None,
    options: Sequence[object] = (),
    troubled: bool = False,
) -> Iterator[Site]:
    """`skysail serve` with a config, from its ready line to an end in order.

    Unless the test has ended it itself, it must end with status 0 and without a child left; and unless it is
    `troubled`, without a traceback in its log.
    """
    site = Site(write_config(folder, config, settings), options, environ or {})
    try:
        site.start()
        yield site
        site.stop()
        assert troubled or "Traceback" not in site.log, site.log
    finally:
        site.abandon()


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[Site]]:
    """Starts a server, as a context: `serving(folder, config, settings)`."""
    return _serving


@pytest.fixture
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command to its end."""

    def run(*arguments: object, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, **(environ or {})},
        )

    return run


@pytest.fixture
def write() -> Callable[..., Path]:
    """Writes a config file: `write(folder, config, settings)`."""
    return write_config


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for clients that ask at the same time."""
    with ThreadPoolExecutor(32) as threads:
        yield threads


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Five small models of handwritten digits, of five kinds, in a folder; and the digits."""
    from skysail.demo.models import train  # noqa: PLC0415 - frameworks that most tests do not need

    folder = tmp_path_factory.mktemp("digits")
    return folder, train(folder)
