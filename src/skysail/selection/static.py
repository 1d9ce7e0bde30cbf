"""`static`: a fixed split between models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any, ClassVar

from skysail.errors import ConfigError, nearest
from skysail.selection.base import Policy
from skysail.types import Distribution, Query, Selection, State

__all__ = ["Static"]


@dataclass(frozen=True, kw_only=True)
class Static(Policy):
    """One model is drawn by fixed weights: for A/B tests and canaries. Feedback changes nothing but the confidence.

    With a context the draw is sticky: a user stays with a model for as long as it is there, and when one comes, goes
    or changes its weight, only as many users move as must (weighted rendezvous hashing: each model draws an exponential
    waiting time of rate w from a hash of the context and its own name, and the shortest has it, with chance w / Σw).
    """

    name: ClassVar[str] = "static"
    asks_one: ClassVar[bool] = True
    exempt: ClassVar[Mapping[str, str]] = {"beats_uniform": "it learns nothing"}

    weights: Mapping[str, float] | None = None
    """Each model's weight, by name, or as a list in the order of the models; any scale. Equal by default."""

    forget: float = 0.999

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.weights is None:
            return
        if not isinstance(self.weights, Mapping):
            raise ConfigError(f"policy 'static': weights = {self.weights!r} must be a table or a list of numbers")
        for model, weight in self.weights.items():
            self.check(f"weights.{model}", weight, least=0.0)
        if not any(self.weights.values()):
            raise ConfigError("policy 'static': weights must not all be 0")

    @classmethod
    def fields_of(cls, params: Mapping[str, Any], models: tuple[str, ...]) -> Mapping[str, Any]:
        """Read a list of weights as a table, and refuse weights that are not one for each model."""
        weights = params.get("weights")
        if isinstance(weights, list | tuple):
            if len(weights) != len(models):
                raise ConfigError(
                    f"policy 'static': weights has {len(weights)} numbers, the application {len(models)} models "
                    f"({', '.join(models)}); give one for each"
                )
            return {**params, "weights": dict(zip(models, weights, strict=True))}
        if isinstance(weights, Mapping):
            for name in weights:
                if name not in models:
                    raise ConfigError(
                        f"policy 'static': weights.{name} is none of its models ({nearest(name, models)})"
                    )
            for model in models:
                if model not in weights:
                    raise ConfigError(f"policy 'static': weights lacks '{model}'; give each model one, 0 for none")
        return params

    def weigh(self, state: State) -> Distribution:
        """The weights of the models that are there, scaled to sum to one; equal ones where those have none."""
        raw = [1.0 if self.weights is None else self.weights.get(model, 0.0) for model in state.sums]
        total = sum(raw)
        if total <= 0.0:
            raw, total = [1.0] * len(raw), float(len(raw))
        return Distribution(state.models, tuple([weight / total for weight in raw]))

    def select(self, state: State, query: Query, rng: Random) -> Selection:
        """One model by weight: at random, or by a hash of the context where there is one."""
        if query.context is None:
            return super().select(state, query, rng)
        trust = self.distribution(state)
        _, model, weight = min(
            [(_wait(query.context, m, w), m, w) for m, w in zip(trust.models, trust.weights, strict=True) if w > 0.0]
        )
        return Selection(trust, (model,), (weight,))


def _wait(context: str, model: str, rate: float) -> float:
    """An exponential variate of this rate, always the same for a context and a model."""
    digest = blake2b(f"{model}\0{context}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 1) / 2**64) / rate
