"""Ray Serve: one replica that batches. With direct ingress its own HTTP port is loaded, past the proxy's process."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

import ray
from benchmarks.peers.servers.shared import BATCH, PORT, WAIT_MS, WORKERS, load_model
from ray import serve
from starlette.requests import Request

__all__ = ["Predictor"]

_QUIET = {"log_level": "WARNING", "enable_access_log": False}


class Predictor:
    """A replica."""

    def __init__(self) -> None:
        self._model = load_model()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT_MS / 1e3)  # type: ignore[untyped-decorator]
    async def predict(self, rows: list[Any]) -> list[int]:
        """A label for each row."""
        return list(self._model.predict(rows))

    async def __call__(self, request: Request) -> dict[str, int]:
        """The answer to a body."""
        body = await request.json()
        return {"label": await self.predict(body["input"])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.WARNING, object_store_memory=200 << 20)
    proxy = PORT + int(os.environ.get("BENCH_PROXY_OFFSET", "0"))
    serve.start(http_options={"host": "127.0.0.1", "port": proxy}, logging_config=_QUIET)
    deployment = serve.deployment(
        num_replicas=WORKERS, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.5}, logging_config=_QUIET
    )(Predictor)
    serve.run(deployment.bind(), route_prefix="/predict")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
