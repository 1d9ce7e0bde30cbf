"""The plain values that every query makes or reads: made by the thousand in a second, and so apart from the rest.

They are part of the vocabulary, `skysail.types`; import them from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

__all__ = ["Estimate", "Failure", "Outcome", "Output", "Query", "State", "same_json"]


class Query:
    """One input on its way through the engine, with the moment by which it must be answered.

    `input` is the row's bytes exactly as they were sent (JSON text, or little-endian values when `binary`): nothing in
    the frontend looks inside. Times are monotonic seconds. `draw` is a uniform number of this query's own in [0, 1),
    for policies whose `combine` is randomised.
    """

    __slots__ = ("arrived", "binary", "context", "deadline", "draw", "id", "input")

    def __init__(
        self,
        id: str,
        input: bytes,
        binary: bool,
        context: str | None,
        arrived: float,
        deadline: float,
        draw: float,
    ) -> None:
        self.id = id
        self.input = input
        self.binary = binary
        self.context = context
        self.arrived = arrived
        self.deadline = deadline
        self.draw = draw


_UNREAD: Any = object()


class Output:
    """What a model said of one row: its JSON text, read only when somebody needs the value.

    Outputs are shared by all who wait for one evaluation, so they are never changed.
    """

    __slots__ = ("_value", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._value = _UNREAD

    @property
    def value(self) -> Any:
        """The output as Python objects."""
        if self._value is _UNREAD:
            self._value = msgspec.json.decode(self.raw)
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Output) and (self.raw == other.raw or same_json(self.value, other.value))

    def __hash__(self) -> int:
        raise TypeError("outputs compare as JSON values and are not hashable: use output.raw")

    def __repr__(self) -> str:
        return f"Output({self.raw!r})"


class Estimate(Output):
    """Stands in for an output that did not come: what the model says on average. It is merged with the outputs of
    others, and agrees with none.
    """

    __slots__ = ()


class Failure:
    """Why a model gave no output for a row.

    `code` is `invalid_input` (the row is at fault), `model_error` (the model is), or `overload`, `deadline`,
    `unavailable` (nobody is).
    """

    __slots__ = ("code", "message")

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    def __repr__(self) -> str:
        return f"Failure({self.code!r}, {self.message!r})"


Outcome = Output | Failure
"""What came back of asking one model about one row."""


def same_json(a: Any, b: Any) -> bool:
    """Whether two decoded JSON values are equal as JSON: 1 = 1.0, but neither equals `true` nor `"1"`.

    >>> same_json([1, {"a": 2.0}], [1.0, {"a": 2}])
    True
    >>> same_json(1, True) or same_json(1, "1") or same_json(None, False)
    False
    """
    if a.__class__ is bool or b.__class__ is bool:
        return a is b
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_json, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_json(v, b[k]) for k, v in a.items())
    return bool(a == b)


class State:
    """What a policy has learned in one context: a short row of sums for each model, and one for all of them together.

    `count` is the number of feedbacks summed (forgotten like the rest); `sums[model]` is that model's row; `shared`
    belongs to no model. A state is immutable and an update is an addition, so the same class is the *delta* of an
    update: a delta with `count` 1 is one feedback. Rows that a delta names and a state lacks start at zero. What the
    columns mean is the policy's business (see `skysail.selection.base`).

    `memo` is where a policy keeps what it derived from this very state (it is not part of the state: two states with
    other memos are equal).
    """

    __slots__ = ("count", "memo", "shared", "sums")

    def __init__(
        self,
        count: float = 0.0,
        sums: Mapping[str, tuple[float, ...]] | None = None,
        shared: tuple[float, ...] = (),
    ) -> None:
        self.count = count
        self.sums: Mapping[str, tuple[float, ...]] = {} if sums is None else sums
        self.shared = shared
        self.memo: Any = None

    @property
    def models(self) -> tuple[str, ...]:
        """The models that have a row, in the order they entered."""
        return tuple(self.sums)

    def plus(self, delta: State, keep: float = 1.0) -> State:
        """The state after a delta, what was there before scaled by `keep` (ρ^n for a delta of n feedbacks)."""
        sums = dict(self.sums) if keep == 1.0 else {m: tuple([x * keep for x in row]) for m, row in self.sums.items()}
        for model, row in delta.sums.items():
            old = sums.get(model)
            sums[model] = row if old is None else _add(old, row)
        shared = self.shared if keep == 1.0 else tuple([x * keep for x in self.shared])
        return State(self.count * keep + delta.count, sums, _add(shared, delta.shared))

    def scaled(self, factor: float) -> State:
        """Every number of this state times `factor`."""
        return State().plus(self, 1.0) if factor == 1.0 else self.plus(State(), factor)

    def only(self, models: Iterable[str]) -> State:
        """The rows of these models alone, in this order; all of them must be there."""
        return State(self.count, {m: self.sums[m] for m in models}, self.shared)

    def encode(self) -> bytes:
        """The state as bytes, the same for equal states whatever order their models entered in."""
        return msgspec.json.encode([self.count, dict(sorted(self.sums.items())), self.shared])

    @classmethod
    def decode(cls, data: bytes) -> State:
        """The inverse of `encode`."""
        count, sums, shared = _DECODE_STATE(data)
        return cls(count, sums, shared)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self.count == other.count and dict(self.sums) == dict(other.sums) and self.shared == other.shared

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"State(count={self.count:g}, sums={dict(self.sums)!r}, shared={self.shared!r})"


_DECODE_STATE = msgspec.json.Decoder(tuple[float, dict[str, tuple[float, ...]], tuple[float, ...]]).decode


def _add(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """Two rows added; the shorter one is filled with zeros."""
    if len(a) == len(b):
        return tuple([x + y for x, y in zip(a, b, strict=True)])
    if len(a) < len(b):
        a, b = b, a
    return tuple([x + y for x, y in zip(a, b, strict=False)]) + a[len(b) :]
