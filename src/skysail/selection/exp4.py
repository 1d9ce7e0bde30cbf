"""`exp4`: an ensemble that draws its label, and learns from that label alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Losses, Policy
from skysail.selection.exponential import excess, softmin
from skysail.types import Decision, Distribution, Output, Query, State

__all__ = ["Exp4"]


@dataclass(frozen=True, kw_only=True)
class Exp4(Policy):
    """All models vote, a label is drawn from the votes, and its voters alone are blamed: for rewards without labels.

    P(y) = Σ w_i [i voted y]; y ~ P; L̂_i += loss(y)/P(y) for those who voted y; w ∝ exp(−η L̂) (Auer et al. 2002,
    with the η of Clipper's published figure). Where the true label becomes known, every model's own loss is known,
    and `adahedge` is the better policy: no draw, no division.
    """

    name: ClassVar[str] = "exp4"
    columns: ClassVar[int] = 1

    eta: float = 0.2
    """η, the learning rate."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        self.check("eta", self.eta, above=0.0)

    def weigh(self, state: State) -> Distribution:
        """w ∝ exp(−η L̂)."""
        return softmin(state, self.eta)

    def merge(self, weighted: Sequence[tuple[float, Output]], query: Query) -> Output:
        """The label of a model drawn by weight, by the query's own number."""
        rest = query.draw * sum([weight for weight, _ in weighted])
        for weight, output in weighted:
            rest -= weight
            if rest < 0.0:
                return output
        return weighted[-1][1]

    def learn(self, decision: Decision, losses: Losses) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
        """The drawn label's loss, weighted by importance, to its voters, and nothing to the other voters.

        A model that failed has the loss it is judged with, which chance had no part in. One that was too late for the
        draw loses what the mixture does.
        """
        judged = {model: loss for model, loss in losses.items() if loss is not None}
        weight = dict(zip(decision.distribution.models, decision.distribution.weights, strict=True))
        votes = _votes(decision)
        answer = None if decision.answer is None or decision.default else Output(decision.answer)
        voters = {model for model, output in votes.items() if output == answer}
        drawn = sum([weight.get(model, 0.0) for model in voters])
        if drawn <= 0.0:  # no label was drawn: what is known of each model is known outright
            return excess(decision.distribution, judged), ()
        loss = next((judged[model] for model in voters if model in judged), None)
        if loss is None:
            return {}, ()
        blame = loss * sum([weight.get(model, 0.0) for model in votes]) / drawn
        known = {model: blame if model in voters else 0.0 for model in votes}
        for model, output in zip(decision.models, decision.outputs, strict=True):
            if output is None and model in judged:
                known[model] = judged[model]
        return excess(decision.distribution, known), ()


def _votes(decision: Decision) -> dict[str, Output]:
    """The outputs that were there for the draw; a decision may have been completed with later ones since."""
    votes: dict[str, Output] = {}
    late: dict[str, Output] = {}
    for model, raw, latency in zip(decision.models, decision.outputs, decision.latencies, strict=True):
        if raw is not None:
            (votes if latency is None or latency <= decision.latency else late)[model] = Output(raw)
    return votes or late
