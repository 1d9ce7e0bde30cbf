"""What one transaction does to the policy states: the same for every store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skysail.stores.base import Add, Seed
from skysail.types import State

__all__ = ["changed"]


def changed(states: Mapping[str, State], seeds: Iterable[Seed], adds: Iterable[Add]) -> dict[str, State]:
    """The states after seeds and additions, in their order; those that did not change are left out.

    The result does not depend on how a series of additions is cut into transactions: each is applied to the sum of the
    earlier ones, so a file is equal to the last bit whatever was committed together.
    """
    result: dict[str, State] = {}
    for seed in seeds:
        state = result.get(seed.key) or states.get(seed.key) or State()
        if seed.model not in state.sums:
            result[seed.key] = State(state.count, {**state.sums, seed.model: seed.row}, state.shared)
    for add in adds:
        state = result.get(add.key) or states.get(add.key) or State()
        result[add.key] = state.plus(add.delta, add.keep)
    return result
