"""BentoML: a service whose workers batch."""

from __future__ import annotations

import bentoml
import numpy as np
from benchmarks.peers.servers.shared import BATCH, WAIT_MS, WORKERS, load_model
from numpy.typing import NDArray

__all__ = ["Predictor"]


@bentoml.service(
    workers=WORKERS, traffic={"timeout": 30, "max_concurrency": 2000}, logging={"access": {"enabled": False}}
)
class Predictor:
    """The service."""

    def __init__(self) -> None:
        self._model = load_model()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=int(WAIT_MS))  # type: ignore[untyped-decorator]
    def predict(self, input: np.ndarray) -> np.ndarray:  # the name of the body's key
        """A label for each row."""
        labels: NDArray[np.int64] = np.asarray(self._model.predict(input))
        return labels
