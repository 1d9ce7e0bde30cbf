"""Models in the ONNX format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from skysail.errors import DeployError
from skysail.runtimes.base import Artifact
from skysail.runtimes.onnx import OnnxRuntime

Write = Callable[..., Artifact]


def graph(shape: list[int | str], kind: int = TensorProto.FLOAT, *, inputs: int = 1, op: str = "Identity") -> bytes:
    """A graph that answers its input, or an operation on it."""
    given = [helper.make_tensor_value_info(f"x{i}", kind, shape) for i in range(inputs)]
    answer = helper.make_tensor_value_info("y", kind, shape)
    node = helper.make_node(op, ["x0"], ["y"])
    model = helper.make_model(
        helper.make_graph([node], "g", given, [answer]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return bytes(model.SerializeToString())


def test_a_converted_classifier_answers_labels(artifact: Write, xy: Any) -> None:
    """What skl2onnx makes of a classifier answers its labels, and declares float32 rows."""
    skl2onnx = pytest.importorskip("skl2onnx")
    x, y = xy
    model = LogisticRegression().fit(x, np.array(["low", "middle", "high"])[y])
    converted = skl2onnx.to_onnx(model, x[:1].astype(np.float32)).SerializeToString()
    runtime = OnnxRuntime.load(artifact("m.onnx", converted))
    assert runtime.input == "float32[4]"
    assert list(runtime.predict(x[:20].astype(np.float32))) == list(model.predict(x[:20]))


@pytest.mark.parametrize(
    ("shape", "kind", "declaration"),
    [
        (["n", 3], TensorProto.FLOAT, "float32[3]"),
        (["n"], TensorProto.INT64, "int64[]"),
        (["n", "h", 2], TensorProto.UINT8, "uint8[*,2]"),
        ([1, 2], TensorProto.DOUBLE, "float64[2]"),
        (["n", 2], TensorProto.BOOL, "bool[2]"),
    ],
)
def test_the_graph_declares_the_input(shape: list[int | str], kind: int, declaration: str, artifact: Write) -> None:
    """Type and shape of a row are the graph's, without the axis of the batch; named axes are `*`."""
    assert OnnxRuntime.load(artifact("m.onnx", graph(shape, kind))).input == declaration


def test_other_types_are_cast(artifact: Write) -> None:
    """Rows declared with another element type, or as JSON, are cast to the graph's."""
    runtime = OnnxRuntime.load(artifact("m.onnx", graph(["n", 2])))
    assert np.array_equal(runtime.predict(np.array([[1.0, 2.0]])), [[1, 2]])
    assert np.array_equal(runtime.predict([[1, 2], [3, 4]]), [[1, 2], [3, 4]])


@pytest.mark.parametrize("n", [1, 3])
def test_a_graph_for_one_row_is_run_row_by_row(n: int, artifact: Write) -> None:
    """A batch axis of fixed length 1 does not limit the batch."""
    runtime = OnnxRuntime.load(artifact("m.onnx", graph([1, 2], op="Neg")))
    rows = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    assert np.array_equal(runtime.predict(rows), -rows)


def test_labels_stand_for_the_greatest_column(artifact: Write) -> None:
    """With as many labels as columns, an output is a label; with another number, the columns themselves."""
    rows = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)
    two = OnnxRuntime.load(artifact("m.onnx", graph(["n", 2]), labels=("cat", "dog")))
    assert list(two.predict(rows)) == ["dog", "cat"]
    three = OnnxRuntime.load(artifact("m.onnx", graph(["n", 2]), labels=("cat", "dog", "cow")))
    assert np.array_equal(three.predict(rows), rows)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no graph", "is not a model that ONNX Runtime can load"),
        (b"", "is not a model that ONNX Runtime can load"),
        (graph(["n", 2], inputs=2), r"has 2 inputs \(x0, x1\) where one is served.*runtime = 'python'"),
        (graph([4, 2]), r"has the shape \[4, 2\].*first axis of any length"),
        (graph(["n", 2], TensorProto.STRING), r"is a tensor\(string\); export the graph with one of"),
    ],
)
def test_what_cannot_be_served_is_refused(content: bytes, complaint: str, artifact: Write) -> None:
    """A corrupt file, and a graph that takes no batch of rows, are deployment errors with the remedy."""
    with pytest.raises(DeployError, match=complaint):
        OnnxRuntime.load(artifact("m.onnx", content))


def test_onnx_is_what_wrote_these(artifact: Write) -> None:
    """The graphs of these tests are valid."""
    onnx.checker.check_model(onnx.load_from_string(graph(["n", 2])))
