"""Decisions as bytes."""

from __future__ import annotations

from collections.abc import Callable

from skysail.feedback.records import complete, decode_decision, encode_decision
from skysail.stores.base import Completion
from skysail.types import Decision


def test_a_decision_survives(make_decision: Callable[..., Decision]) -> None:
    """Every field comes back as it was."""
    decision = make_decision(context="zoë", input=b"[1, 2]", reason="deadline", confidence=None)
    assert decode_decision(encode_decision(decision)) == decision


def test_late_outputs_take_their_places(make_decision: Callable[..., Decision]) -> None:
    """A straggler is no longer missing once its output is here; others are not touched."""
    decision = complete(make_decision(), [Completion("x", 1, b"8", None, 31.0)])
    assert (decision.outputs, decision.failures, decision.latencies) == ([b"7", b"8"], [None, None], [1.5, 31.0])
