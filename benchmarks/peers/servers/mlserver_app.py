"""MLServer: a runtime of our own for the same model, since its ready-made ones predict no faster. As a script: writes
its settings here, and becomes `mlserver start`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from benchmarks.peers.servers.shared import BATCH, PORT, WAIT_MS, WORKERS, load_model
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

__all__ = ["Predictor"]


class Predictor(MLModel):  # type: ignore[misc] # there are no types of it
    """Answers requests of the Open Inference Protocol."""

    async def load(self) -> bool:
        """Load the model, in the worker."""
        self._model = load_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """A label for each row."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        labels = np.asarray(self._model.predict(rows), dtype=np.int64)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("label", labels)])


def _main() -> None:
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": PORT,
        "grpc_port": PORT + 1,
        "metrics_endpoint": None,
        "parallel_workers": WORKERS,
        "gzip_enabled": False,
    }
    model = {
        "name": "m",
        "implementation": "benchmarks.peers.servers.mlserver_app.Predictor",
        "max_batch_size": BATCH,
        "max_batch_time": WAIT_MS / 1e3,
    }
    Path("settings.json").write_text(json.dumps(settings))
    Path("model-settings.json").write_text(json.dumps(model))
    program = Path(sys.executable).with_name("mlserver")
    os.execv(program, [str(program), "start", "."])  # noqa: S606 - that there is no shell is meant


if __name__ == "__main__":
    _main()
