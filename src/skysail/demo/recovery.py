"""How many labels it took the server to follow a change of its best model, from its own records of its decisions.

A change is live from the first query, sent after it was asked for, that the new version was asked about. The weights
are those the server wrote down with each decision. After the break it has recovered at the first decision in which the
broken model no longer has more weight than every other one; after the mending, at the first in which it has again. What
is counted is the labels accepted between the sending of those two queries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from skysail.demo.score import Result

__all__ = ["Recovery", "Weights", "recover"]

_STEP = 10

Weights = Callable[[str], Awaitable[dict[str, float]]]
"""Gives the weights in the decision of a prediction id."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How the server followed one change."""

    live: float | None
    """When the change was live, in seconds from the start; `None` if it never was."""

    labels: int | None
    """Labels until the weights followed; `None` if they never did."""


async def recover(results: Sequence[Result], ref: str, asked: float, leads: bool, weights: Weights) -> Recovery:
    """The recovery after a change to the version `ref` that was asked for at a moment, until its model leads, or does
    not.

    The results are in order of sending. Every tenth decision is looked at, and then those shortly before the first that
    fits.
    """
    since = [result for result in results if result.id is not None and result.sent > asked]
    first = next((i for i, result in enumerate(since) if ref in result.refs), None)
    if first is None:
        return Recovery(live=None, labels=None)
    since = since[first:]
    model = ref.rpartition("@")[0]
    for end in range(0, len(since) + _STEP - 1, _STEP):
        if await _leads(model, since[min(end, len(since) - 1)], weights) is leads:
            for result in since[max(0, end - _STEP + 1) : end + 1]:
                if await _leads(model, result, weights) is leads:
                    return Recovery(live=since[0].sent, labels=result.taught - since[0].taught)
    return Recovery(live=since[0].sent, labels=None)


async def _leads(model: str, result: Result, weights: Weights) -> bool:
    """Whether the model has the greatest weight in a decision."""
    trust = await weights(str(result.id))
    return trust[model] > max(weight for name, weight in trust.items() if name != model)
