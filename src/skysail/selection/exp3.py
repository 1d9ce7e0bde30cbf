"""`exp3`: exponential weights for a bandit, as Clipper published it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Losses, Policy
from skysail.selection.exponential import Alike, softmin
from skysail.types import Decision, Distribution, State

__all__ = ["Exp3"]


@dataclass(frozen=True, kw_only=True)
class Exp3(Policy):
    """One model is drawn by weight, and its loss divided by the probability it was drawn with.

    L̂_i += loss/p_i for the model drawn, w ∝ exp(−η L̂) (Auer, Cesa-Bianchi, Freund & Schapire 2002, without the
    uniform share), with the constants of Clipper's published curve. It is here to compare with: the division makes
    its estimates jump, and without forgetting it hardly finds back to a model that recovers. Prefer `thompson`, or
    `exp3ix`.
    """

    name: ClassVar[str] = "exp3"
    asks_one: ClassVar[bool] = True
    columns: ClassVar[int] = 1

    eta: float = 0.1
    """η, the learning rate."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        self.check("eta", self.eta, above=0.0)

    @property
    def bias(self) -> float:
        """What is added to a propensity before a loss is divided by it."""
        return 0.0

    def weigh(self, state: State) -> Distribution:
        """w ∝ exp(−η L̂)."""
        return softmin(state, self.eta)

    def learn(self, decision: Decision, losses: Losses) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
        """Losses weighted by importance; a model that was not drawn, such as a fallback, has none."""
        lost: dict[str, tuple[float, ...]] = {}
        for model, propensity in zip(decision.models, decision.propensities, strict=True):
            loss = losses.get(model)
            if loss and propensity > 0.0:
                lost[model] = (loss / (propensity + self.bias),)
        return lost, ()

    def update(self, decision: Decision, losses: Losses) -> State:
        """What each candidate lost in excess of the mixture: the same for all that were not drawn, which lost nothing.

        That is one row for all of them, so that an update costs no more where models are many.
        """
        delta, trust = super().update(decision, losses), decision.distribution
        mixture = sum([trust.weight(model) * row[2] for model, row in delta.sums.items() if row[2]])
        if mixture == 0.0:
            return delta
        own = {model: (*row[:2], row[2] - mixture) for model, row in delta.sums.items()}
        return State(1.0, Alike(trust.models, (0.0, 0.0, -mixture), own), delta.shared)
