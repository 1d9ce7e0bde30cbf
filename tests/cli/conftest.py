"""What the command line's tests share: running a command in this process, and a server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from skysail.cli.main import main


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs a command and gives its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("SKYSAIL_TOKEN", raising=False)

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capsys.readouterr()
        code = caught.value.code
        assert isinstance(code, int)
        return Done(code, out, err)

    return run


class Asked(NamedTuple):
    """One request as the server got it."""

    method: str
    path: str
    body: Any
    token: str | None


class Server:
    """A real HTTP server on loopback whose answers a test sets by method and path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[Asked] = []

    def answer(self, route: str, document: Any, status: int = 200) -> None:
        """What is answered to `METHOD /path`."""
        self.answers[route] = (status, document)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for both planes; what it was not told to answer is 404."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            found.asked.append(
                Asked(self.command, self.path, json.loads(data) if data else None, self.headers.get("Authorization"))
            )
            unknown = {"error": {"code": "not_found", "message": f"no route {path}"}}
            status, document = found.answers.get(f"{self.command} {path}", (404, unknown))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the library's names

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Server(f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    listener.shutdown()
    thread.join()
    listener.server_close()
