"""A model made ready: loaded, its input settled, and warm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skysail.errors import DeployError, SkysailError
from skysail.inputs import InputSpec
from skysail.runtimes.base import Artifact, Runtime
from skysail.runtimes.table import runtime_class
from skysail.worker.encode import as_outputs
from skysail.worker.spec import WorkerSpec

__all__ = ["Loaded", "load_model"]


class Loaded(NamedTuple):
    """A model that has answered, and the declaration it has answered to."""

    runtime: Runtime
    input: InputSpec


def load_model(spec: WorkerSpec) -> Loaded:
    """Load a model and try it; a `SkysailError` says why it cannot be served, with what was raised as its cause.

    The input is the declared one, else the artifact's own, else `json`. A model of tensors must answer one row, then
    two rows, of zeros (a `*` axis has length 1): so a wrong declaration is found before a client finds it.
    """
    artifact = Artifact(path=spec.path, threads=spec.threads, labels=spec.labels, import_root=spec.import_root)
    try:
        runtime = runtime_class(spec.runtime).load(artifact)
        input = InputSpec.parse(spec.input or runtime.input or "json", finite=spec.finite)
    except SkysailError:
        raise
    except BaseException as error:  # what a model's file raises may be anything
        raise DeployError(f"{spec.path} could not be loaded: {type(error).__name__}: {error}") from error
    if input.kind == "tensor":
        _warm_up(runtime, input)
    return Loaded(runtime, input)


def _warm_up(runtime: Runtime, input: InputSpec) -> None:
    for n in (1, 2):
        zeros = np.zeros((n, *[1 if axis is None else axis for axis in input.shape]), dtype=input.dtype)
        try:
            as_outputs(runtime.predict(zeros), n)
        except BaseException as error:  # as above
            raise DeployError(
                f"the model does not answer {n} row{'s' * (n > 1)} of zeros as {input}: "
                f"{type(error).__name__}: {error}; if it takes something else, declare that as its input"
            ) from error
