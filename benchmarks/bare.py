"""The yardstick: the same HTTP class, the same worker with a no-op model, and no engine between them.

    python -m benchmarks.bare                 # serves POST /predict until interrupted, and prints its address
    python -m benchmarks.bare --measure       # starts itself, loads itself, prints one JSON line per body size

What a query costs here (HTTP, one slice of JSON, a frame to another process and back) is the least it can cost in this
shape; the difference to the real server is what admission, selection, cache, batching and the ledger cost. Rows of one
turn of the event loop travel together. Nothing limits the batches in flight but the closed loop of clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from benchmarks.load import measure, sample_bodies

from skysail.errors import InvalidJSON, NotFound
from skysail.http.request import Refusal, Request
from skysail.http.server import HttpServer
from skysail.wire.messages import Batch, Result, encode
from skysail.wire.protocol import Protocol, State
from skysail.worker.spec import WorkerSpec

__all__ = ["NOOP"]

NOOP = '''
def predict(rows):
    """The same for every row: what is left to measure is the server."""
    return [1] * len(rows)
'''
"""The model behind both servers."""


class _Body(msgspec.Struct):
    input: msgspec.Raw


_decode = msgspec.json.Decoder(_Body).decode


class _Frontend(asyncio.Protocol):
    """A handler of HTTP requests, and the frontend's end of the worker's socket."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.greeted = asyncio.Event()
        self._wire = Protocol(State.GREETING)
        self._requests: list[Request] = []
        self._rows: list[bytes] = []
        self._flights: dict[int, list[Request]] = {}
        self._batch = 0

    def admit(self, request: Request) -> Refusal | None:
        return None if request.path == b"/predict" else Refusal(NotFound("there is only POST /predict"))

    def handle(self, request: Request) -> None:
        try:
            body = _decode(request.body)
        except msgspec.MsgspecError as error:
            raise InvalidJSON(f"the body cannot be read: {error}") from None
        if not self._rows:
            self._loop.call_soon(self._send)
        self._requests.append(request)
        self._rows.append(bytes(body.input))

    def _send(self) -> None:
        self._batch += 1
        rows = self._rows
        self._flights[self._batch] = self._requests
        self._worker.writelines(encode(Batch(self._batch, rows, bytes(len(rows)))))
        self._requests, self._rows = [], []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._worker = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._wire.receive_data(data)
        for message in self._wire.events():
            if isinstance(message, Result):
                for request, output in zip(self._flights.pop(message.id), message.payloads, strict=True):
                    request.reply(200, b'{"output":%b}' % output)
            else:
                self.greeted.set()


async def _serve(worker_path: str, worker_pid: int, port: int) -> None:
    loop = asyncio.get_running_loop()
    _, frontend = await loop.create_unix_connection(_Frontend, worker_path)
    await frontend.greeted.wait()
    server = HttpServer(frontend)
    sock = socket.create_server(("127.0.0.1", port))
    host, port = sock.getsockname()
    await server.start(sock)
    ended = asyncio.Event()
    for end in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(end, ended.set)
    print(f"bare ready: worker {worker_pid} at http://{host}:{port}/predict", flush=True)
    await ended.wait()
    await server.aclose()


def _run(port: int) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder, "worker.sock"))
        listener.bind(path)
        listener.listen()
        Path(folder, "noop.py").write_text(NOOP)
        spec = WorkerSpec(
            model="noop",
            version=1,
            replica="noop@1/0",
            runtime="python",
            path=str(Path(folder, "noop.py:predict")),
            input="float32[*]",
            listen_fd=listener.fileno(),
        )
        command = [sys.executable, "-m", "skysail.worker.main", "--spec", msgspec.json.encode(spec).decode()]
        with subprocess.Popen(command, pass_fds=[listener.fileno()]) as worker:
            try:
                uvloop.run(_serve(path, worker.pid, port))
            finally:
                worker.kill()


def _measure(connections: int, seconds: float) -> None:
    command = [sys.executable, "-m", "benchmarks.bare"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            for floats in (64, 784):
                load = measure(url, sample_bodies(floats), connections=connections, seconds=seconds)
                print(json.dumps({"server": "bare", "floats": floats, "connections": connections, **load.report()}))
        finally:
            server.terminate()


def _main() -> None:
    parser = argparse.ArgumentParser(description="The bare server that others are measured against.")
    parser.add_argument("--port", type=int, default=0, help="port to serve on (0: a free one)")
    parser.add_argument("--measure", action="store_true", help="load it, and print the numbers")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    if options.measure:
        _measure(options.connections, options.seconds)
    else:
        _run(options.port)


if __name__ == "__main__":
    _main()
