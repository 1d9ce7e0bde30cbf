"""A policy of one's own: mostly the model that has been right most often, now and then any of them.

In the config file: policy = { name = "policy.py:Greedy", epsilon = 0.05 }
"""

from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Policy
from skysail.types import Distribution, State


@dataclass(frozen=True, kw_only=True)
class Greedy(Policy):
    """The model with the least average loss so far, but for a share `epsilon` of the queries; ties are split."""

    name: ClassVar[str] = "greedy"
    asks_one: ClassVar[bool] = True
    epsilon: float = 0.1
    forget: float = 0.999

    def weigh(self, state: State) -> Distribution:
        """Nearly all the weight on the best."""
        rates = [(1.0 + loss) / (2.0 + judged) for judged, loss in state.sums.values()]
        best = rates.count(min(rates))
        explore, exploit = self.epsilon / len(rates), (1.0 - self.epsilon) / best
        return Distribution(state.models, tuple([explore + exploit * (rate == min(rates)) for rate in rates]))
