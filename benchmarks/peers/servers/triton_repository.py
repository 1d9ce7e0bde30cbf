"""Triton: its server, from pytriton's wheel, with a model repository and its own Python backend.

As a script: writes the repository here, and becomes `tritonserver`. The backend runs this file as the model.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers.servers.shared import BATCH, FLOATS, PORT, WAIT_MS, WORKERS, load_model

__all__ = ["TritonPythonModel"]

_MODEL = """
import sys

sys.path[:0] = {paths!r}
from benchmarks.peers.servers.triton_repository import TritonPythonModel
"""

_CONFIG = """
name: "m"
backend: "python"
max_batch_size: {batch}
dynamic_batching {{ max_queue_delay_microseconds: {wait} }}
instance_group [ {{ kind: KIND_CPU count: {workers} }} ]
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ {floats} ] }} ]
output [ {{ name: "label" data_type: TYPE_INT64 dims: [ 1 ] }} ]
"""


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model."""
        import triton_python_backend_utils as backend  # noqa: PLC0415 - there is one only within the backend

        self._backend = backend
        self._model = load_model()

    def execute(self, requests: list[Any]) -> list[Any]:
        """A response for each request, from one call of the model."""
        backend = self._backend
        rows = [backend.get_input_tensor_by_name(request, "input").as_numpy() for request in requests]
        labels = np.asarray(self._model.predict(np.concatenate(rows)), dtype=np.int64).reshape(-1, 1)
        responses, start = [], 0
        for part in rows:
            end = start + len(part)
            responses.append(backend.InferenceResponse([backend.Tensor("label", labels[start:end])]))
            start = end
        return responses


def _main() -> None:
    import pytriton  # noqa: PLC0415 - the backend, which imports this file, does without

    folder = Path("repository", "m", "1")
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_MODEL.format(paths=[path for path in sys.path if path]))
    (folder.parent / "config.pbtxt").write_text(
        _CONFIG.format(batch=BATCH, wait=int(WAIT_MS * 1000), workers=WORKERS, floats=FLOATS)
    )
    home = Path(pytriton.__file__).parent / "tritonserver"
    shutil.copytree(home / "backends", "backends")
    # The wheel has a stub for each version of Python; the backend looks for the one it runs beside its own library.
    stubs = home / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(stubs / "triton_python_backend_stub", Path("backends", "python"))
    libraries = (home.parents[1] / "nvidia_pytriton.libs", home / "lib", Path(sys.base_prefix, "lib"))
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    program = home / "bin" / "tritonserver"
    addresses = ["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    ports = [f"--http-port={PORT}", f"--grpc-port={PORT + 1}", "--allow-metrics=false"]
    places = [f"--model-repository={Path('repository').resolve()}", f"--backend-directory={Path('backends').resolve()}"]
    os.execv(program, [str(program), *places, *addresses, *ports])  # noqa: S606 - that there is no shell is meant


if __name__ == "__main__":
    _main()
