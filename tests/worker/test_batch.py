"""One batch through a model that may do anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.inputs import InputSpec
from skysail.testing.clock import ManualClock
from skysail.wire.messages import INVALID_INPUT, MODEL_ERROR, OUTPUT, Batch, Result
from skysail.worker.batch import BatchRunner
from skysail.worker.decode import make_decoder


def run(
    predict: Callable[[Any], Any], *rows: bytes, declaration: str = "json", clock: ManualClock | None = None
) -> Result:
    """JSON rows through a function."""
    runner = BatchRunner(make_decoder(InputSpec.parse(declaration)), predict, clock or ManualClock())
    return runner.run(Batch(7, rows, bytes(len(rows))))


def statuses(result: Result) -> list[int]:
    """A status for each row."""
    return list(result.statuses)


def test_good_rows_are_answered_in_order() -> None:
    """Each row has its output, at its place, and the batch keeps its id."""
    assert run(lambda batch: [x + 1 for x in batch], b"1", b"2", b"3") == Result(
        7, b"\0\0\0", [b"2", b"3", b"4"], 0.0, 0.0, ""
    )


def test_an_empty_batch_is_not_predicted() -> None:
    """No rows are no call."""
    assert run(lambda _: pytest.fail("called")) == Result(7, b"", [], 0.0, 0.0, "")


def test_the_model_is_called_once_for_a_good_batch() -> None:
    """Rows go through together."""
    calls: list[int] = []

    def predict(batch: Any) -> Any:
        calls.append(len(batch))
        return batch

    run(predict, b"1", b"2", b"3")
    assert calls == [3]


def test_time_is_told_apart(clock: ManualClock) -> None:
    """The seconds the model took are reported, and those of reading the rows apart from them."""

    def predict(batch: Any) -> Any:
        clock.advance(0.25)
        return batch

    result = run(predict, b"1", clock=clock)
    assert (result.decode_s, result.predict_s) == (0.0, 0.25)


def test_rows_fail_each_in_its_own_way() -> None:
    """A row that does not fit, one the model raises for and one with no usable output fail alone, and say why."""

    def predict(batch: Any) -> Any:
        if 13 in batch:
            raise ValueError("unlucky")
        return np.where(batch == 5, np.nan, batch)

    result = run(predict, b"1", b'"x"', b"13", b"5", b"2", declaration="float64[]")
    assert statuses(result) == [OUTPUT, INVALID_INPUT, MODEL_ERROR, MODEL_ERROR, OUTPUT]
    assert result.payloads[0] == b"1.0"
    assert b'it is not a number: "x"' in result.payloads[1]
    assert result.payloads[2] == b"ValueError: unlucky"
    assert b"nan" in result.payloads[3]
    assert "ValueError: unlucky" in result.traceback
    assert "in predict" in result.traceback


@given(st.lists(st.sampled_from([b"1", b"2", b"13", b'"bad"', b"null"]), max_size=20))
def test_company_does_not_matter(rows: list[bytes]) -> None:
    """A row's status and text are those it has alone, whatever rows it comes with."""

    def predict(batch: Any) -> Any:
        batch *= 2  # its input is the model's to change, even when it raises
        if 26 in batch:
            raise RuntimeError("unlucky")
        return batch

    together = run(predict, *rows, declaration="int32[]")
    alone = [run(predict, row, declaration="int32[]") for row in rows]
    assert statuses(together) == [result.statuses[0] for result in alone]
    assert together.payloads == [result.payloads[0] for result in alone]


@pytest.mark.parametrize("n", [1, 2, 3, 64])
def test_the_search_for_a_poisoned_row_is_bounded(n: int) -> None:
    """Where every row raises, a batch of n costs 2n - 1 calls; where one does, about 2 log n."""
    calls: list[int] = []

    def predict(batch: Any) -> Any:
        calls.append(len(batch))
        if any(x < 0 for x in batch):
            raise ValueError("negative")
        return batch

    assert set(run(predict, *[b"-1"] * n).statuses) == {MODEL_ERROR}
    assert len(calls) == 2 * n - 1
    calls.clear()
    assert sum(run(predict, *[b"1"] * (n - 1), b"-1").statuses) == MODEL_ERROR
    assert len(calls) <= 2 * n.bit_length() + 1


class Unspeakable(Exception):
    """An exception that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def exits(_: Any) -> Any:
    """Ends the process, if it may."""
    sys.exit(3)


def recurses(batch: Any) -> Any:
    """Never comes back."""
    return recurses(batch)


def exhausts(_: Any) -> Any:
    """Finds no memory."""
    raise MemoryError


def interrupts(_: Any) -> Any:
    """Raises what Ctrl-C raises."""
    raise KeyboardInterrupt


def says_nothing(_: Any) -> Any:
    """Raises what cannot be printed."""
    raise Unspeakable


def says_too_much(_: Any) -> Any:
    """Raises a long text that is no Unicode."""
    raise ValueError("\ud800" * 100_000)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (exits, "SystemExit: 3"),
        (recurses, "RecursionError: maximum recursion depth exceeded"),
        (exhausts, "MemoryError"),
        (interrupts, "KeyboardInterrupt"),
        (says_nothing, "Unspeakable"),
        (says_too_much, "ValueError: "),
    ],
)
def test_no_exception_gets_out(predict: Callable[[Any], Any], message: str) -> None:
    """Whatever a model raises is its error for these rows, with a bounded text, and the next batch is served."""
    result = run(predict, b"1", b"2")
    assert statuses(result) == [MODEL_ERROR, MODEL_ERROR]
    assert message in result.payloads[0].decode()
    assert len(result.payloads[0]) < 20_000
    assert 0 < len(result.traceback) <= 16_000


@pytest.mark.parametrize("answer", [[], [1, 2, 3], None, "ab"])
def test_a_wrong_number_of_outputs_is_the_models_error(answer: Any) -> None:
    """Outputs that cannot be told to rows are no answer; the message says what came."""
    result = run(lambda batch: answer, b"1", b"2")
    assert statuses(result) == [MODEL_ERROR, MODEL_ERROR]
    assert all(b"ModelError: predict answered" in payload for payload in result.payloads)


def test_a_model_that_drops_rows_loses_only_those() -> None:
    """A model that leaves out a row it does not like answers the others right."""
    result = run(lambda batch: [x for x in batch if x != 13], b"1", b"13", b"2", b"3")
    assert statuses(result) == [OUTPUT, MODEL_ERROR, OUTPUT, OUTPUT]
    assert [result.payloads[i] for i in (0, 2, 3)] == [b"1", b"2", b"3"]


def test_shapes_are_predicted_apart() -> None:
    """Rows of several shapes are never in one call, and come back at their places, even when some raise."""
    shapes: list[tuple[int, ...]] = []

    def predict(batch: Any) -> Any:
        shapes.append(batch.shape)
        if batch.shape[1] == 3:
            raise ValueError("three")
        return batch.sum(axis=1)

    result = run(predict, b"[1]", b"[1,1]", b"[2]", b"[1,1,1]", b"[2,2]", declaration="int64[*]")
    assert shapes == [(2, 1), (2, 2), (1, 3)]
    assert statuses(result) == [OUTPUT, OUTPUT, OUTPUT, MODEL_ERROR, OUTPUT]
    assert [result.payloads[i] for i in (0, 1, 2, 4)] == [b"1", b"2", b"2", b"4"]
