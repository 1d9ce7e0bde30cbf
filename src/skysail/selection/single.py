"""`single`: one model answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from skysail.errors import ConfigError, nearest
from skysail.selection.base import Policy
from skysail.types import Distribution, State

__all__ = ["Single"]


@dataclass(frozen=True, kw_only=True)
class Single(Policy):
    """One model answers; the others listed stand by, in order, for when it has no ready replica.

    For an application that has one model, or has made up its mind. Feedback changes nothing but the confidence, the
    model's accuracy of late.
    """

    name: ClassVar[str] = "single"
    asks_one: ClassVar[bool] = True
    exempt: ClassVar[Mapping[str, str]] = {
        "order_of_models_is_irrelevant": "the first listed is the one that answers",
        "beats_uniform": "it learns nothing",
    }

    model: str | None = None
    """The model that answers; the first listed by default."""

    forget: float = 0.999

    @classmethod
    def fields_of(cls, params: Mapping[str, Any], models: tuple[str, ...]) -> Mapping[str, Any]:
        """Refuse a model that is not one of the application's."""
        model = params.get("model")
        if model is not None and model not in models:
            raise ConfigError(
                f"policy 'single': model = {model!r} is none of its models ({nearest(str(model), models)})"
            )
        return params

    def weigh(self, state: State) -> Distribution:
        """All the weight on the one model."""
        chosen = self.model if self.model in state.sums else next(iter(state.sums))
        return Distribution(state.models, tuple([1.0 if model == chosen else 0.0 for model in state.sums]))
