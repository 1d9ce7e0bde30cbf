"""What tests of feedback share: decisions, and a store that can be made to fail or to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from skysail.errors import StoreError
from skysail.stores.base import Writes, Written
from skysail.stores.memory import MemoryStore
from skysail.types import Decision, Distribution

MakeDecision = Callable[..., Decision]


@pytest.fixture
def make_decision() -> MakeDecision:
    """Makes a decision of two models about which all is well, but for what is given."""

    def make(id: str = "00-000001-00000000", **changes: object) -> Decision:
        fields: dict[str, object] = {
            "id": id,
            "app": "digits",
            "policy": "vote",
            "context": None,
            "time": 1_767_225_600.0,
            "digest": b"0123456789abcdef",
            "distribution": Distribution(("a", "b"), (0.5, 0.5)),
            "asked": ["a@1", "b@2"],
            "propensities": (1.0, 1.0),
            "outputs": [b"7", None],
            "failures": [None, "missing"],
            "latencies": [1.5, None],
            "answer": b"7",
            "confidence": 0.5,
            "agreement": 0.5,
            "default": False,
            "reason": None,
            "fallback": False,
            "latency": 2.0,
        }
        return Decision(**{**fields, **changes})  # type: ignore[arg-type]

    return make


class TrickStore(MemoryStore):
    """A store whose writes fail while `broken` is set, and wait while `gate` is clear; it counts what it wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()
        self.transactions: list[Writes] = []
        self.pruned: list[tuple[float, int]] = []
        self.prunable = 0

    def write(self, writes: Writes) -> Written:
        self.gate.wait(30)
        if self.broken:
            raise StoreError("cannot write the state file: disk is full; free some disk space")
        self.transactions.append(writes)
        return super().write(writes)

    def prune(self, before: float, max_bytes: int) -> int:
        self.pruned.append((before, max_bytes))
        self.prunable -= 1
        return max(0, self.prunable + 1)


@pytest.fixture
def trick() -> TrickStore:
    """A store that can be made to fail or to wait."""
    return TrickStore()
