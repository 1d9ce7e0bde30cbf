"""`ucb1`: the model that may still be the best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Policy
from skysail.selection.epsilon_greedy import among_best
from skysail.types import Distribution, State

__all__ = ["UCB1"]


@dataclass(frozen=True, kw_only=True)
class UCB1(Policy):
    """One model is asked: that of the greatest optimistic estimate, 1 − loss/n + c·√(2 ln N / n).

    n is how often the model was judged, N how often all were (Auer, Cesa-Bianchi & Fischer 2002, c = 1). It has a proof
    and no dice, so that the same state always asks the same model: for feedback that comes at once and worlds that stay
    as they are. While feedback is late it asks one model over and over, and what it did cannot be used to judge other
    policies, since propensities are 0 or 1; `thompson` is better in both. Models that were never judged come first;
    they, and models whose estimates are equal, are drawn alike.
    """

    name: ClassVar[str] = "ucb1"
    asks_one: ClassVar[bool] = True

    c: float = 1.0
    """How much the uncertainty of an estimate counts; 0 takes the best average."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        self.check("c", self.c, least=0.0)

    def weigh(self, state: State) -> Distribution:
        """All the weight on the greatest estimate, shared where there are several."""
        rows = state.sums.values()
        wide = self.c * math.sqrt(2.0 * math.log(max(1.0, sum([row[0] for row in rows]))))
        bounds = [wide / math.sqrt(row[0]) - row[1] / row[0] if row[0] > 0.0 else math.inf for row in rows]
        return among_best(state, bounds)
