"""Contexts: what a user sees is what was learned of that user, and a little of what was learned of everyone."""

from __future__ import annotations

from skysail.types import State

__all__ = ["blend"]


def blend(own: State | None, everyone: State, n0: float = 5.0) -> State:
    """A context's state as its policy sees it: own sums + n0 · (global sums / global count), for every number in it.

    What was learned of everyone counts as `n0` feedbacks of the context's own, so it leads at first and is outvoted
    later; it never counts as more feedbacks than there were. The count is blended like the rest. Each observation is
    added to both states, so a model that only `everyone` knows is one this context was never given feedback on.

    >>> blend(State(2.0, {"a": (2.0, 1.0)}), State(100.0, {"a": (100.0, 10.0)}))
    State(count=7, sums={'a': (7.0, 1.5)}, shared=())
    """
    if everyone.count <= 0.0:
        return everyone if own is None else own
    prior = everyone.scaled(min(n0, everyone.count) / everyone.count)
    return prior if own is None else prior.plus(own)
