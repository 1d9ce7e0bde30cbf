"""LitServe: uvicorn in front, batches formed in the worker's process. It looks at annotations, which so are no text."""

from collections.abc import Sequence
from typing import Any

import litserve
from benchmarks.peers.servers.shared import BATCH, PORT, WAIT_MS, WORKERS, load_model
from fastapi import Request

__all__ = ["Api"]


class Api(litserve.LitAPI):  # type: ignore[misc] # there are no types of it
    """Answers a batch of rows."""

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        self._predict = load_model().predict

    def decode_request(self, request: Request) -> Any:
        """The row of a body, which is decoded by now."""
        return request["input"]

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Rows as they are: the model makes an array of them."""
        return inputs

    def predict(self, rows: list[Any]) -> Sequence[int]:
        """A label for each row."""
        return self._predict(rows)

    def unbatch(self, output: Sequence[int]) -> Sequence[int]:
        """The labels one by one."""
        return output

    def encode_response(self, output: int) -> dict[str, int]:
        """The body of an answer."""
        return {"label": output}


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=WAIT_MS / 1e3)
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=WORKERS, fast_queue=True, timeout=30
    )
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
