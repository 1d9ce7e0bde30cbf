"""What is found out after the run: the recoveries, and whether the server's records agree with the models scored
here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skysail.client import AsyncClient
from skysail.demo.models import BEST
from skysail.demo.recovery import Recovery, recover
from skysail.demo.score import Result, Scores

__all__ = ["Findings", "compare", "examine"]

_CHECKED = 50


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The facts of a run that its report states beside the errors."""

    broken: Recovery
    """After the bad release."""

    mended: Recovery
    """After the rollback."""

    compared: int
    """How many outputs were compared with the server's records."""

    equal: int
    """How many of them were the same."""


async def examine(client: AsyncClient, scores: Scores, seconds: float) -> Findings:
    """Ask the server about some of the decisions of a run that was broken at one third of its length and mended at
    two.
    """
    results = sorted(scores.results, key=lambda result: result.query)

    async def weights(prediction: str) -> dict[str, float]:
        trust: dict[str, float] = (await client.why(prediction))["weights"]
        return trust

    sample = [result for result in results[:: max(1, len(results) // _CHECKED)] if result.id is not None]
    same = [equal for result in sample for equal in compare(await client.why(str(result.id)), scores, result)]
    broken = await recover(results, f"{BEST}@2", seconds / 3, leads=False, weights=weights)
    asked = max(seconds * 2 / 3, math.inf if broken.live is None else broken.live)
    return Findings(
        broken=broken,
        mended=await recover(results, f"{BEST}@1", asked, leads=True, weights=weights),
        compared=len(same),
        equal=sum(same),
    )


def compare(why: Mapping[str, Any], scores: Scores, result: Result) -> Sequence[bool]:
    """For each output in the server's record of a decision, whether the model scored here says the same."""
    answered = [model for model in why["models"] if model["output"] is not None]
    return [model["output"] == scores.said(model["model"], result.query) for model in answered]
