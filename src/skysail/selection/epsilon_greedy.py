"""`epsilon_greedy`: the model that lost least so far, and now and then any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Policy
from skysail.types import Distribution, State

__all__ = ["EpsilonGreedy", "among_best"]


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedy(Policy):
    """One model is drawn: the one of least average loss, but for a share `epsilon` of the queries, which any gets.

    For what must be explained in a sentence, or where each model is to get a fixed least share of the traffic (an
    `epsilon`-th divided by the models), such as to judge other policies from the ledger afterwards. `thompson` loses
    less: this one explores the hopeless as often as the promising. Models that were never judged come before all
    others; they, and models equally good, are drawn alike.
    """

    name: ClassVar[str] = "epsilon_greedy"
    asks_one: ClassVar[bool] = True

    epsilon: float = 0.1
    """The share of queries that go to any model, the best among them."""

    forget: float = 0.999

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        self.check("epsilon", self.epsilon, least=0.0, most=1.0)

    def weigh(self, state: State) -> Distribution:
        """ε/K for each model, and 1 − ε shared by the best."""
        merits = [-row[1] / row[0] if row[0] > 0.0 else 1.0 for row in state.sums.values()]
        return among_best(state, merits, self.epsilon)


def among_best(state: State, merits: list[float], explored: float = 0.0) -> Distribution:
    """Equal chances for the models of greatest merit, but for a share that all models have alike.

    >>> among_best(State(0.0, {"a": (), "b": (), "c": ()}), [0.5, 0.9, 0.9]).weights
    (0.0, 0.5, 0.5)
    """
    best = max(merits)
    any_one = explored / len(merits)
    chosen = any_one + (1.0 - explored) / merits.count(best)
    return Distribution(state.models, tuple([chosen if merit == best else any_one for merit in merits]))
