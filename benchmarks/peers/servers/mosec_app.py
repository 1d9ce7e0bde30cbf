"""MOSEC: a Rust front, which batches, and Python workers."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.servers.shared import BATCH, WAIT_MS, WORKERS, load_model
from mosec import Server, Worker

__all__ = ["Inference"]


class Inference(Worker):  # type: ignore[misc] # there are no types of it
    """Answers a batch of decoded bodies."""

    def __init__(self) -> None:
        self._model = load_model()

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, int]]:
        """A label for each body."""
        return [{"label": label} for label in self._model.predict([body["input"] for body in data])]


if __name__ == "__main__":  # its port and address are in the environment
    server = Server()
    server.append_worker(Inference, num=WORKERS, max_batch_size=BATCH, max_wait_time=int(WAIT_MS))
    server.run()
