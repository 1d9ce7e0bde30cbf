"""`stacking`: an ensemble whose weights are the coefficients of an online logistic regression."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from skysail.selection.base import Losses, Policy
from skysail.selection.losses import Absolute, Squared, ZeroOne
from skysail.types import Decision, Distribution, State

__all__ = ["Stacking"]

_STEADY = 0.01
"""Added to a sum of squared gradients, so that the first of them does not decide alone."""

_LEAST = math.exp(-4.0)
"""A strength below which a model has no say, and is not weakened further: so it comes back when it is mended."""

_REACH = 30.0
"""Log of the greatest strength, which keeps it finite."""

_decode = msgspec.json.decode


@dataclass(frozen=True, kw_only=True)
class Stacking(Policy):
    """All models are asked, and each has the weight that makes the *ensemble* right: where there are labels, and many.

    It learns the chance of each label, P(c) ∝ exp(−Σ β_i · loss_i(c)), where loss_i(c) is what model i's output would
    lose if c were right: logistic regression on the models' votes, or on their log-probabilities. The gradient of its
    log-likelihood is *the loss that was minus the loss that was expected*, which follows from the losses, the outputs
    and the strengths β recorded in the decision, so that feedback may come in any order. Strengths are
    exp(−η Σg / √Σg²), dual averaging with a rate for each model (Xiao 2010; Duchi, Hazan & Singer 2011). For numbers
    the same with P a normal distribution: strengths are precisions.

    Unlike `adahedge`, which goes to the best model, it goes to the best *mixture*: a model that errs with all others
    adds little, one that errs alone much. So it beats the best single model where models differ, and needs some
    hundred feedbacks. For a few feedbacks per context, or where one model is far better, `adahedge` is as good.
    Rewards teach those alone that agreed with the answer; with rewards alone use `exp4`.
    """

    name: ClassVar[str] = "stacking"
    columns: ClassVar[int] = 2

    eta: float = 0.5
    """η, the learning rate."""

    forget: float = 0.999

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        self.check("eta", self.eta, above=0.0)

    def weigh(self, state: State) -> Distribution:
        """The strengths, scaled to sum to one; their sum is recorded in the place of a rate."""
        strengths = []
        for row in state.sums.values():
            steps = self.eta * row[2] / math.sqrt(_STEADY + max(0.0, row[3]))
            strengths.append(math.exp(-max(-_REACH, min(_REACH, steps))))
        total = sum(strengths)
        return Distribution(state.models, tuple([strength / total for strength in strengths]), total)

    def learn(self, decision: Decision, losses: Losses) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
        """For each model judged its gradient, and the square of that.

        A model that failed is taken to have been expected to lose what the others were.
        """
        trust = decision.distribution
        strength = {model: weight * trust.eta for model, weight in zip(trust.models, trust.weights, strict=True)}
        outputs = zip(decision.models, decision.outputs, strict=True)
        said = {model: raw for model, raw in outputs if raw is not None and model in strength}
        expected = self._expected(said, strength)
        if not expected:
            return {}, ()
        mean = sum([strength[m] * loss for m, loss in expected.items()]) / sum([strength[m] for m in expected])
        squared = isinstance(self.loss, Absolute) and not isinstance(self.loss, Squared)
        columns: dict[str, tuple[float, ...]] = {}
        for model, loss in losses.items():
            if loss is not None and model in strength:
                gradient = (loss * loss if squared else loss) - expected.get(model, mean)
                if gradient < 0.0 or strength[model] > _LEAST:
                    columns[model] = (gradient, gradient * gradient)
        return columns, ()

    def _expected(self, said: Mapping[str, bytes], strength: Mapping[str, float]) -> dict[str, float]:
        """What each model that said something was expected to lose, by all that was said."""
        if isinstance(self.loss, Absolute):
            return _expected_distances(said, strength, self.loss)
        credits: Callable[[Any], Mapping[Any, float]] = getattr(self.loss, "credits", ZeroOne().credits)
        return _expected_losses(_read(said, credits), strength)


def _read(said: Mapping[str, bytes], read: Callable[[Any], Any]) -> dict[str, Any]:
    """What each output means, equal ones read once; one that means nothing to the loss is left out."""
    known: dict[bytes, Any] = {}
    for raw in said.values():
        if raw not in known:
            try:
                known[raw] = read(_decode(raw))
            except ValueError:
                known[raw] = None
    return {model: known[raw] for model, raw in said.items() if known[raw] is not None}


def _expected_losses(credits: Mapping[str, Mapping[Any, float]], strength: Mapping[str, float]) -> dict[str, float]:
    """Under P(c) ∝ exp(Σ β_i · credit_i(c)), with one more outcome that nobody gave credit to."""
    score: dict[Any, float] = {}
    for model, given in credits.items():
        for label, credit in given.items():
            score[label] = score.get(label, 0.0) + strength[model] * credit
    top = max(score.values(), default=0.0)
    chance = {label: math.exp(points - top) for label, points in score.items()}
    total = sum(chance.values()) + math.exp(-top)
    return {
        model: 1.0 - sum([chance[label] * credit for label, credit in given.items()]) / total
        for model, given in credits.items()
    }


def _expected_distances(said: Mapping[str, bytes], strength: Mapping[str, float], loss: Absolute) -> dict[str, float]:
    """Squared distances, as shares of the range, from the weighted mean, and the variance that the strengths claim."""
    value = _read(said, loss.share)
    total = sum([strength[model] for model in value])
    if total <= 0.0:
        return {}
    mean = sum([strength[model] * share for model, share in value.items()]) / total
    return {model: (share - mean) ** 2 + 0.5 / total for model, share in value.items()}
