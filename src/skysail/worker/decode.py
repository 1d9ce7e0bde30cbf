"""Which decoder reads the rows of a model: the declaration decides."""

from __future__ import annotations

from skysail.inputs import InputSpec
from skysail.worker.objects import ObjectDecoder
from skysail.worker.rows import RowDecoder
from skysail.worker.tensors import TensorDecoder

__all__ = ["make_decoder"]


def make_decoder(spec: InputSpec) -> RowDecoder:
    """The decoder of rows with this declaration."""
    return TensorDecoder(spec) if spec.kind == "tensor" else ObjectDecoder(spec)
