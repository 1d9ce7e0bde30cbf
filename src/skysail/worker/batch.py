"""One batch through a model: rows in, a status and a text for each out, whatever the model does."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from skysail.clock import Clock
from skysail.wire.messages import INVALID_INPUT, MODEL_ERROR, Batch, Result
from skysail.worker.encode import as_outputs, encode_outputs
from skysail.worker.rows import Group, RowDecoder

__all__ = ["BatchRunner"]

_LONGEST_MESSAGE = 2_000
_LONGEST_TRACEBACK = 16_000


class BatchRunner:
    """Runs batches through a model, so that a row is answered as if it had come alone.

    When the model raises, or answers another number of outputs than it was given rows, its batch is halved until the
    rows at fault stand alone and fail alone: at most 2n − 1 calls for a batch of n. What the model may have changed
    in its input is not seen again, for each half is decoded anew.
    """

    def __init__(self, decoder: RowDecoder, predict: Callable[[Any], Any], clock: Clock) -> None:
        self._decoder = decoder
        self._predict = predict
        self._clock = clock

    def run(self, batch: Batch) -> Result:
        """What became of each row. Nothing is raised that a row or the model is at fault for."""
        start = self._clock.monotonic()
        groups, invalid = self._decoder.decode(batch.rows, batch.binary)
        decoded = self._clock.monotonic()
        answers = _Answers(len(batch.rows))
        for row, message in invalid.items():
            answers.put(row, INVALID_INPUT, message)
        for group in groups:
            self._answer(batch, group, answers)
        end = self._clock.monotonic()
        return Result(
            batch.id, bytes(answers.statuses), answers.payloads, decoded - start, end - decoded, answers.traceback
        )

    def _answer(self, batch: Batch, group: Group, answers: _Answers) -> None:
        """Predict one group, or its halves."""
        try:
            outputs = as_outputs(self._predict(group.batch), len(group.rows))
            texts, problems = encode_outputs(outputs)
        except BaseException as error:  # noqa: BLE001 - a model that calls sys.exit must not end the worker
            answers.raised(error)
            if len(group.rows) == 1:
                answers.put(group.rows[0], MODEL_ERROR, _in_words(error))
                return
        else:
            answers.put_all(group.rows, texts)
            for place, message in problems.items():
                answers.put(group.rows[place], MODEL_ERROR, message)
            return
        middle = len(group.rows) // 2
        for half in (group.rows[:middle], group.rows[middle:]):
            again = self._decoder.decode([batch.rows[i] for i in half], bytes([batch.binary[i] for i in half]))
            for part in again.groups:  # one, for rows of one shape
                self._answer(batch, Group([half[i] for i in part.rows], part.batch), answers)


class _Answers:
    """The rows of a result as they are filled in."""

    def __init__(self, n: int) -> None:
        self.statuses = bytearray(n)
        self.payloads: list[bytes] = [b""] * n
        self.traceback = ""

    def put(self, row: int, status: int, message: str) -> None:
        self.statuses[row] = status
        self.payloads[row] = message[:_LONGEST_MESSAGE].encode(errors="backslashreplace")

    def put_all(self, rows: Sequence[int], texts: list[bytes]) -> None:
        if len(rows) == len(self.payloads):  # the whole batch, which is in order
            self.payloads = texts
            return
        for row, text in zip(rows, texts, strict=True):
            self.payloads[row] = text

    def raised(self, error: BaseException) -> None:
        self.traceback = "".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:]


def _in_words(error: BaseException) -> str:
    """An exception as its last line of a traceback, even where its own `str` raises."""
    return traceback.format_exception_only(error)[-1].strip()
