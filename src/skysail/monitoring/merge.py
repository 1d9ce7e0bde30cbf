"""One snapshot out of several frontends'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["merge"]

_LARGEST = frozenset({"band_ms", "budget_ms", "cap", "depth", "fixed_ms", "p50", "p99_ms", "row_ms"})
"""What is not added up: of these the largest says most."""

_ANY = frozenset({"conformal", "le", "pid", "weights"})
"""What is the same for all frontends, or nearly: learned state is shared by way of the store."""

_READY = "ready"
"""What all frontends have to say: one that cannot reach a replica is news, however many can."""


def merge(snapshots: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers added up, objects merged key by key, `ready` where all are, and else the first that says something.

    >>> merge([{"apps": {"a": {"answers": 1, "latency": {"le": [1.0], "counts": [2, 0], "sum": 1.5}}}},
    ...        {"apps": {"a": {"answers": 4, "latency": {"le": [1.0], "counts": [0, 1], "sum": 3.5}}}}])
    {'apps': {'a': {'answers': 5, 'latency': {'le': [1.0], 'counts': [2, 1], 'sum': 5.0}}}}
    """
    keys = dict.fromkeys(key for snapshot in snapshots for key in snapshot)
    return {key: _merge_values(key, [s[key] for s in snapshots if key in s]) for key in keys}


def _merge_values(key: str, values: list[Any]) -> Any:
    said = [value for value in values if value is not None]
    if not said:
        return None
    first = said[0]
    if len(said) == 1 or key in _ANY:
        return first
    if isinstance(first, bool):
        return all(said) if key == _READY else any(said)
    if isinstance(first, str):
        return next((value for value in said if value != _READY), first)
    if isinstance(first, Mapping):
        return merge(said)
    if isinstance(first, list):
        return [sum(column) for column in zip(*said, strict=True)]
    return max(said) if key in _LARGEST else sum(said)
