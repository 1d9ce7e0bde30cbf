"""An application as the engine knows it: its candidates, its policy, and what it has learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from skysail.calls import Predictor
from skysail.deadlines import Deadlines
from skysail.feedback.states import States
from skysail.selection.base import Policy
from skysail.stats.application import ApplicationCounters
from skysail.types import Output

__all__ = ["Application", "Served"]


class Served(Protocol):
    """The current version of a model, as the engine asks it."""

    ref: str
    """`name@version`."""

    ready: bool
    """Whether at least one replica can take a batch."""

    cached: Predictor
    """Answers through the cache."""

    direct: Predictor
    """Answers without storing or sharing."""


@dataclass(kw_only=True, eq=False)
class Application:
    """What is asked, by which policy, by when. Replaced whole when the configuration changes; queries under way keep
    theirs.

    `fallback` stands in for a policy that raises. `served` has the current version of each model that has one.
    """

    name: str
    models: tuple[str, ...]
    policy: Policy
    fallback: Policy
    slo: float
    default: Output | None
    min_confidence: float
    cache: bool
    deadlines: Deadlines
    states: States
    counters: ApplicationCounters
    served: Mapping[str, Served]

    candidates: tuple[str, ...] = ()
    """The models that can be asked now, in config order; kept by `refresh`."""

    def __post_init__(self) -> None:
        """Find out who can be asked."""
        self.refresh()

    def refresh(self) -> None:
        """A replica has come or gone."""
        served = self.served
        self.candidates = tuple([name for name in self.models if name in served and served[name].ready])

    def predictor(self, model: str) -> Predictor:
        """Whom to ask for a model's output."""
        served = self.served[model]
        return served.cached if self.cache else served.direct
