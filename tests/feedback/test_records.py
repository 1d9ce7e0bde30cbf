"""Decisions as bytes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from skysail.feedback.records import complete, decode_decision, encode_decision
from skysail.stores.base import Completion
from skysail.types import Cover, Decision


def test_a_decision_survives(make_decision: Callable[..., Decision]) -> None:
    """Every field comes back as it was."""
    decision = make_decision(context="zoë", input=b"[1, 2]", reason="deadline", confidence=None)
    assert decode_decision(encode_decision(decision)) == decision


def test_late_outputs_take_their_places(make_decision: Callable[..., Decision]) -> None:
    """A straggler is no longer missing once its output is here; others are not touched."""
    decision = complete(make_decision(), [Completion("x", 1, b"8", None, 31.0)])
    assert (decision.outputs, decision.failures, decision.latencies) == ([b"7", b"8"], [None, None], [1.5, 31.0])


def test_a_record_written_before_a_field_was_there_is_read(make_decision: Callable[..., Decision]) -> None:
    """Fields are added at the end, each with a default: what earlier versions wrote stays readable."""
    cover = Cover("labels", 0.5, (b"7",), 0.9, 0.9, (0.002, -0.018), 1)
    decision = make_decision(cover=cover)
    record = encode_decision(decision)
    assert decode_decision(record).cover == cover
    fields = msgspec.msgpack.decode(record)
    for length in range(Decision.__struct_fields__.index("input"), len(fields)):
        old = decode_decision(msgspec.msgpack.encode(fields[:length]))
        assert (old.id, old.cover) == (decision.id, None)
