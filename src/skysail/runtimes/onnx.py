"""Models in the ONNX format, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from skysail.errors import DeployError, MissingExtra
from skysail.runtimes.base import Artifact, Outputs, Runtime, existing_file

try:
    import onnxruntime
except ImportError as error:
    raise MissingExtra("runtime = 'onnx'", "onnx", "onnxruntime") from error

__all__ = ["OnnxRuntime"]

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}


class OnnxRuntime(Runtime):
    """A graph with one input whose first axis is the batch; an output is a row of its first output.

    Classifiers converted by skl2onnx give the label first. Where `labels` are configured and the first output has a
    column for each, the output is the label of the greatest. A graph exported for one row at a time is run row by
    row.
    """

    name = "onnx"

    def __init__(self, session: Any, labels: tuple[Any, ...] | None) -> None:
        self._session: Any = session
        self._labels = labels
        self._outputs = [session.get_outputs()[0].name]
        given = session.get_inputs()[0]
        self._name = given.name
        self._dtype = _DTYPES[given.type]
        self._axes = tuple(given.shape)

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """Start a session that keeps no thread spinning."""
        path = existing_file(artifact)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = artifact.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base of their own
            raise DeployError(f"{path} is not a model that ONNX Runtime can load ({error}); export it again") from error
        _check(session, str(path))
        return cls(session, artifact.labels)

    @property
    def input(self) -> str | None:
        """The graph's own, without its batch axis; `*` for an axis it names."""
        axes = ",".join(str(n) if isinstance(n, int) else "*" for n in self._axes[1:])
        return f"{self._dtype}[{axes}]"

    def predict(self, batch: Any) -> Outputs:
        """Run the graph, on a cast of the rows where the declaration has another element type."""
        rows = np.asarray(batch, dtype=self._dtype)
        if self._axes[0] == 1 and len(rows) != 1:
            outputs = np.concatenate([self._run(rows[i : i + 1]) for i in range(len(rows))])
        else:
            outputs = self._run(rows)
        if self._labels is not None and outputs.ndim == 2 and outputs.shape[1] == len(self._labels):
            return [self._labels[i] for i in outputs.argmax(axis=1)]
        return outputs

    def _run(self, rows: Any) -> Any:
        return self._session.run(self._outputs, {self._name: rows})[0]

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _check(session: Any, path: str) -> None:
    """Refuse graphs that cannot be fed a batch of rows."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(given.name for given in inputs)
        raise DeployError(
            f"{path} has {len(inputs)} inputs ({names}) where one is served; export a graph with a single input, "
            "or wrap the model in a function and use runtime = 'python'"
        )
    given = inputs[0]
    if given.type not in _DTYPES:
        raise DeployError(
            f"{path}: input {given.name} is a {given.type}; export the graph with one of {', '.join(_DTYPES)}"
        )
    if not given.shape or (isinstance(given.shape[0], int) and given.shape[0] != 1):
        raise DeployError(
            f"{path}: input {given.name} has the shape {given.shape}; "
            "export the graph with a first axis of any length, for the batch"
        )
