"""What the parts cost in isolation: policies, the cache, encoding an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter
from typing import TypeVar

from benchmarks.report import Report, table

from skysail.cache.cached import Cached
from skysail.cache.table import CACHES
from skysail.calls import Call
from skysail.clock import SystemClock
from skysail.engine import Prediction
from skysail.http.answers import encode_prediction
from skysail.inputs import InputSpec
from skysail.malloc import keep_memory
from skysail.selection.base import Policy
from skysail.selection.table import POLICIES, make_loss, make_policy
from skysail.testing.streams import Stream, judge, simulate
from skysail.types import Decision, Outcome, Output, Query, State
from skysail.worker.decode import make_decoder

__all__ = ["cost", "measure_parts"]

_T = TypeVar("_T")

_ACCURACIES = {"svm": 0.98, "mlp": 0.95, "forest": 0.93, "logistic": 0.9, "centroid": 0.85}
_CACHE_BYTES = 4 << 20
_BATCH = 64
_QUERY = Query("00-000001-00000000", b"[]", False, None, 0.0, 0.1, 0.5)

_METHOD = """\
In one process, in a loop over inputs made beforehand: the least of {repeats} repetitions of {calls} calls, in µs per
call, the loop included. Policies: five models, ten classes, their state after {calls} feedbacks. `select` with the
state as it was at the last query; "after feedback" with a state that is new, from which weights have to be made;
`combine` of the outputs of all models asked, as JSON text; `update` makes the delta of one feedback. Cache: rows of 64
floats, a cache that is full; a miss is the lookup, the flight, and keeping the output in the place of another. Decode:
a batch of 64 rows of JSON floats with six decimals into one array of float32, as a worker does it."""


def measure_parts(calls: int = 500, repeats: int = 7) -> Report:
    """The cost of each policy's methods, of a hit and a miss of the cache, and of making the answer's JSON."""
    policies = {name: _policy_costs(name, calls, repeats) for name in POLICIES}
    parts = {what: value for name in CACHES for what, value in _cache_costs(name, calls, repeats).items()}
    parts |= {"encode answer": _encode_cost(calls, repeats)}
    decoded = {f"{_BATCH} rows of {k} floats": _decode_rate(k, calls, repeats) for k in (64, 784)}
    columns = ["µs per call", "select", "after feedback", "combine", "update"]
    rows = [[name, *[f"{value:.2f}" for value in costs.values()]] for name, costs in policies.items()]
    return Report(
        title="Parts in isolation",
        method=_METHOD.format(calls=calls, repeats=repeats),
        lines=[
            *[*table(columns, rows), ""],
            *[*table(["µs per call", ""], [[name, f"{value:.2f}"] for name, value in parts.items()]), ""],
            *[*table(["decode", "rows/s"], [[name, f"{value:,.0f}"] for name, value in decoded.items()]), ""],
        ],
        data={"policies_us": policies, "parts_us": parts, "decode_rows_per_s": decoded},
    )


def cost(act: Callable[[_T], object], make: Callable[[], Sequence[_T]], repeats: int) -> float:
    """µs that `act` takes for one of the inputs that `make` makes anew for each repetition; the least of all."""
    best = float("inf")
    for _ in range(repeats):
        inputs = make()
        started = perf_counter()
        for it in inputs:
            act(it)
        best = min(best, (perf_counter() - started) / len(inputs))
    return best * 1e6


def _policy_costs(name: str, calls: int, repeats: int) -> dict[str, float]:
    policy: Policy = make_policy(name, {}, loss=make_loss("zero_one", {}), models=tuple(_ACCURACIES))
    trial = simulate(policy, Stream(accuracies=_ACCURACIES, length=calls), seed=1, keep=True)
    state, rng = trial.state, Random(1)
    learned = [(decision, judge(decision, Output(decision.answer or b"0"))) for decision in trial.decisions]
    return {
        "select": cost(lambda query: policy.select(state, query, rng), lambda: [_QUERY] * calls, repeats),
        "after feedback": cost(
            lambda new: policy.select(new, _QUERY, rng),
            lambda: [State(state.count, state.sums, state.shared) for _ in range(calls)],
            repeats,
        ),
        "combine": cost(
            lambda outputs: policy.combine(state, _QUERY, outputs),
            lambda: [_outputs(decision) for decision in trial.decisions],
            repeats,
        ),
        "update": cost(lambda it: policy.update(*it), lambda: learned, repeats),
    }


def _outputs(decision: Decision) -> dict[str, Output | None]:
    """What the models said, not yet read by anybody."""
    pairs = zip(decision.models, decision.outputs, strict=True)
    return {model: None if raw is None else Output(raw) for model, raw in pairs}


class _Ask(Call):
    """A call whose outcome nobody uses."""

    __slots__ = ()

    def settle(self, outcome: Outcome, now: float) -> None:
        self.over = True


class _Model:
    """Answers at once."""

    def __init__(self) -> None:
        self._output = Output(b"1")

    def ask(self, call: Call) -> None:
        call.settle(self._output, 0.0)

    def knows(self, row: bytes, binary: bool) -> bool:
        """It remembers nothing."""
        return False

    def full(self, now: float, deadline: float) -> bool:
        """There is always time."""
        return False

    def turn_away(self) -> None:
        """Nobody is turned away."""

    def forget(self, call: Call) -> None:
        """There is nothing to forget."""

    def hurry(self, call: Call, deadline: float) -> None:
        """There is nothing to hurry."""

    def hedge(self, call: Call) -> None:
        """There is no second replica."""


def _cache_costs(policy: str, calls: int, repeats: int) -> dict[str, float]:
    cache = CACHES[policy](_CACHE_BYTES, None, SystemClock())
    cached = Cached(_Model(), cache)
    rng = Random(1)

    def fresh() -> list[_Ask]:
        return [_Ask(_row(rng), False, 0.0, 1.0) for _ in range(calls)]

    known = [call.row for call in fresh()]
    while cache.statistics().evicted == 0:
        for call in fresh():
            cached.ask(call)
    miss = cost(cached.ask, fresh, repeats)
    for row in known:
        cached.ask(_Ask(row, False, 0.0, 1.0))
    hit = cost(cached.ask, lambda: [_Ask(bytes(bytearray(row)), False, 0.0, 1.0) for row in known], repeats)
    found = cached.statistics
    assert found.hits == repeats * calls, f"{found.hits} hits"
    return {f"cache hit, {policy}": hit, f"cache miss, {policy}": miss}


def _row(rng: Random, floats: int = 64) -> bytes:
    return b"[%b]" % b",".join([b"%.6f" % rng.random() for _ in range(floats)])


def _decode_rate(floats: int, calls: int, repeats: int) -> float:
    keep_memory()  # as a worker does, for large arrays are made again and again
    rng = Random(1)
    decoder = make_decoder(InputSpec.parse(f"float32[{floats}]"))
    rows = [_row(rng, floats) for _ in range(_BATCH)]
    assert not decoder.decode(rows, bytes(_BATCH)).invalid
    return _BATCH / cost(lambda it: decoder.decode(it, bytes(_BATCH)), lambda: [rows] * calls, repeats) * 1e6


def _encode_cost(calls: int, repeats: int) -> float:
    prediction = Prediction(_QUERY.id, ["svm@1", "mlp@1", "forest@2", "logistic@1", "centroid@1"])
    prediction.output, prediction.confidence, prediction.agreement = Output(b"7"), 0.9375, 0.8
    return cost(encode_prediction, lambda: [prediction] * calls, repeats)
