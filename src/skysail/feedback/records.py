"""Decisions as bytes, and the late outputs that are merged into them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from skysail.stores.base import Completion
from skysail.types import Decision

__all__ = ["complete", "decode_decision", "encode_decision"]

encode_decision = msgspec.msgpack.Encoder().encode
"""A decision as the ledger keeps it."""

decode_decision = msgspec.msgpack.Decoder(Decision).decode
"""The inverse of `encode_decision`."""


def complete(decision: Decision, completions: Iterable[Completion]) -> Decision:
    """The same decision, in which outputs that came late have taken their places."""
    for late in completions:
        decision.outputs[late.model] = late.output
        decision.failures[late.model] = late.failure
        decision.latencies[late.model] = late.latency
    return decision
