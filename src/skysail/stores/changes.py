"""What one transaction does to the policy states: the same for every store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skysail.stores.base import Add
from skysail.types import State

__all__ = ["changed"]


def changed(states: Mapping[str, State], adds: Iterable[Add]) -> dict[str, State]:
    """The states after additions, in their order; those that did not change are left out.

    The result does not depend on how a series of additions is cut into transactions: each is applied to the sum of the
    earlier ones, so a file is equal to the last bit whatever was committed together.
    """
    result: dict[str, State] = {}
    for add in adds:
        state = add.enter(result.get(add.key) or states.get(add.key))
        result[add.key] = state.plus(add.delta, add.keep)
    return result
