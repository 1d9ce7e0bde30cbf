"""What a data-plane body may hold, as declarations that msgspec reads by.

Inputs and labels stay the bytes that were sent.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

__all__ = ["Observe", "ObserveBody", "Predict"]


class Predict(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`POST …/predict`: one input, or a list of them."""

    input: Raw | UnsetType = UNSET
    inputs: list[Raw] | UnsetType = UNSET
    context: str | None = None
    deadline_ms: float | None = None


class Observe(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One observation: what was right, of what."""

    prediction_id: str | None = None
    input: Raw | UnsetType = UNSET
    context: str | None = None
    label: Raw | UnsetType = UNSET
    reward: float | None = None


class ObserveBody(Observe, gc=False):
    """`POST …/observe`: one observation, or a list of them."""

    observations: list[Raw] | UnsetType = UNSET
