"""The laws every runtime keeps, to be checked on real models. Needs no test framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from skysail.clock import SystemClock
from skysail.inputs import InputSpec
from skysail.runtimes.base import Runtime
from skysail.types import same_json
from skysail.wire.messages import INVALID_INPUT, MODEL_ERROR, OUTPUT, Batch, Result
from skysail.worker.batch import BatchRunner
from skysail.worker.decode import make_decoder

__all__ = [
    "RuntimeCase",
    "a_bad_row_fails_alone",
    "a_batch_equals_the_loop_of_singles",
    "check_runtime",
    "closing_twice_is_harmless",
    "declares_an_input_or_none",
    "keeps_length_and_order",
    "works_after_a_failing_batch",
]

_ULPS = 4
"""How far floats of a batch may be from those of single rows, in units of the last place of a float32."""


class RuntimeCase:
    """A model to check a runtime with: how to load it, and rows for it.

    `make` loads the model anew. `rows` are at least two good rows as JSON text, with outputs that differ. `bad` is a
    row that does not fit the declared input; `poison`, where the model has one, a row that fits and makes it raise.
    `input` is the declaration to use instead of the artifact's own.
    """

    def __init__(
        self,
        make: Callable[[], Runtime],
        rows: Sequence[bytes],
        bad: bytes,
        *,
        poison: bytes | None = None,
        input: str | None = None,
        finite: bool = True,
    ) -> None:
        self.make = make
        self.rows = rows
        self.bad = bad
        self.poison = poison
        self.input = input
        self.finite = finite

    def run(self, runtime: Runtime, rows: Sequence[bytes]) -> Result:
        """Rows through a loaded model, as a worker runs them."""
        spec = InputSpec.parse(self.input or runtime.input or "json", finite=self.finite)
        runner = BatchRunner(make_decoder(spec), runtime.predict, SystemClock())
        return runner.run(Batch(0, rows, bytes(len(rows))))

    def outputs(self, runtime: Runtime, rows: Sequence[bytes]) -> list[Any]:
        """The outputs of good rows; `AssertionError` where one failed."""
        result = self.run(runtime, rows)
        if any(result.statuses):
            raise AssertionError(
                f"{type(runtime).__name__} failed good rows: {list(result.payloads)}\n{result.traceback}"
            )
        return [msgspec.json.decode(payload) for payload in result.payloads]


def check_runtime(case: RuntimeCase) -> None:
    """Check every law below on one model; `AssertionError` names the first broken one."""
    for law in (
        declares_an_input_or_none,
        keeps_length_and_order,
        a_batch_equals_the_loop_of_singles,
        a_bad_row_fails_alone,
        works_after_a_failing_batch,
        closing_twice_is_harmless,
    ):
        runtime = case.make()
        try:
            law(case, runtime)
        except AssertionError as error:
            raise AssertionError(f"{type(runtime).__name__} breaks {law.__name__}: {error}") from error
        finally:
            runtime.close()


def declares_an_input_or_none(case: RuntimeCase, runtime: Runtime) -> None:
    """The artifact's own declaration, if it makes one, can be read."""
    if runtime.input is not None:
        InputSpec.parse(runtime.input)


def keeps_length_and_order(case: RuntimeCase, runtime: Runtime) -> None:
    """Reversed rows give the reversed outputs, and repeated rows repeat them."""
    outputs = case.outputs(runtime, case.rows)
    assert any(not same_json(output, outputs[0]) for output in outputs), "all outputs are equal: give rows that differ"
    _same(case.outputs(runtime, case.rows[::-1]), outputs[::-1])
    _same(case.outputs(runtime, [*case.rows, *case.rows]), outputs + outputs)


def a_batch_equals_the_loop_of_singles(case: RuntimeCase, runtime: Runtime) -> None:
    """A row's output is the same whatever rows it is batched with: exactly, and for floats within a few ulp."""
    singles = [case.outputs(runtime, [row])[0] for row in case.rows]
    _same(case.outputs(runtime, case.rows), singles)


def a_bad_row_fails_alone(case: RuntimeCase, runtime: Runtime) -> None:
    """A row that does not fit, or that makes the model raise, leaves the others' outputs as they are."""
    expected = case.outputs(runtime, case.rows)
    for row, status in ((case.bad, INVALID_INPUT), (case.poison, MODEL_ERROR)):
        if row is None:
            continue
        for place in (0, 1, len(case.rows)):
            result = case.run(runtime, [*case.rows[:place], row, *case.rows[place:]])
            statuses, payloads = list(result.statuses), list(result.payloads)
            assert statuses.pop(place) == status, f"row {place} has the wrong status: {payloads[place]!r}"
            assert payloads.pop(place), "a row failed without a message"
            assert set(statuses) == {OUTPUT}, f"other rows failed with it: {statuses}"
            _same([msgspec.json.decode(payload) for payload in payloads], expected)


def works_after_a_failing_batch(case: RuntimeCase, runtime: Runtime) -> None:
    """A batch that makes no sense, and one of failing rows only, leave nothing behind."""
    expected = case.outputs(runtime, case.rows)
    with suppress(Exception):
        runtime.predict(object())
    case.run(runtime, [case.bad if case.poison is None else case.poison] * 3)
    _same(case.outputs(runtime, case.rows), expected)


def closing_twice_is_harmless(case: RuntimeCase, runtime: Runtime) -> None:
    """The second close does nothing."""
    runtime.close()
    runtime.close()


def _same(outputs: list[Any], expected: list[Any]) -> None:
    assert len(outputs) == len(expected), f"{len(outputs)} outputs for {len(expected)} rows"
    for index, (a, b) in enumerate(zip(outputs, expected, strict=True)):
        assert _close(a, b), f"output {index} is {a!r} where {b!r} is due"


def _close(a: Any, b: Any) -> bool:
    """Whether two outputs are equal as JSON, floats within a few units in the last place."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(value, b[key]) for key, value in a.items())
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= _ULPS * float(np.spacing(np.float32(max(abs(a), abs(b)))))
    return same_json(a, b)
