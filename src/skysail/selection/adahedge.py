"""`adahedge`: the default ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Losses, Policy
from skysail.selection.exponential import excess, softmin
from skysail.types import Decision, Distribution, State

__all__ = ["AdaHedge"]


@dataclass(frozen=True, kw_only=True)
class AdaHedge(Policy):
    """All models are asked and weighted by their losses, at a rate that tunes itself: the default where labels come.

    w ∝ exp(−η L), η = ln K / max(D, ln K / eta_max), where D is the mixability gap so far: what the mixture lost
    beyond what it could have (de Rooij, van Erven, Grünwald & Koolen 2014). D is forgotten as the losses are, so the
    rate rises again after a change; the cap keeps it from following the leader. Gaps are taken from the weights and
    the rate recorded in the decision, never from today's, so feedback may come in any order.

    Rewards say nothing about the models that did not agree with the answer: with rewards alone use `exp4`.
    """

    name: ClassVar[str] = "adahedge"
    columns: ClassVar[int] = 1
    shared: ClassVar[int] = 1

    eta: float | None = None
    """A fixed learning rate, which makes it Hedge; tunes itself by default."""

    eta_max: float = 1.0
    """The greatest learning rate."""

    forget: float = 0.995

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        self.check("eta_max", self.eta_max, above=0.0)
        if self.eta is not None:
            self.check("eta", self.eta, above=0.0)

    def weigh(self, state: State) -> Distribution:
        """w ∝ exp(−η L), with η by the gap so far."""
        return softmin(state, self.eta or self._rate(len(state.sums), state.shared[0] if state.shared else 0.0))

    def learn(self, decision: Decision, losses: Losses) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
        """Each model's loss, and the gap h − m, where h = Σ w·loss and m = −ln(Σ w·exp(−η·loss))/η.

        A model that is not judged is taken to have lost h.
        """
        trust = decision.distribution
        columns = excess(trust, {model: loss for model, loss in losses.items() if loss is not None})
        if not columns or trust.eta <= 0.0:
            return columns, ()
        weight = dict(zip(trust.models, trust.weights, strict=True))
        mixed = sum([weight[model] * math.expm1(-trust.eta * beyond) for model, (beyond,) in columns.items()])
        return columns, (max(0.0, math.log1p(mixed) / trust.eta),)

    def _rate(self, models: int, gap: float) -> float:
        most = math.log(models)
        return most / gap if gap * self.eta_max > most > 0.0 else self.eta_max
