"""Triton through pytriton: it batches, the model is in this process."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.peers.servers.shared import BATCH, FLOATS, PORT, WAIT_MS, WORKERS, load_model
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

__all__: list[str] = []

_model = load_model()


@batch  # type: ignore[untyped-decorator]
def _infer(input: Any) -> dict[str, Any]:  # the name of the tensor
    return {"label": np.asarray(_model.predict(input), dtype=np.int64).reshape(-1, 1)}


def _main() -> None:
    config = TritonConfig(
        http_address="127.0.0.1", http_port=PORT, grpc_address="127.0.0.1", grpc_port=PORT + 1, allow_metrics=False,
        http_thread_count=8,
    )  # fmt: skip
    batcher = DynamicBatcher(max_queue_delay_microseconds=int(WAIT_MS * 1000))
    with Triton(config=config) as triton:
        triton.bind(
            model_name="m",
            infer_func=[_infer] * WORKERS,
            inputs=[Tensor(name="input", dtype=np.float32, shape=(FLOATS,))],
            outputs=[Tensor(name="label", dtype=np.int64, shape=(1,))],
            config=ModelConfig(max_batch_size=BATCH, batcher=batcher),
        )
        triton.serve()


if __name__ == "__main__":
    _main()
