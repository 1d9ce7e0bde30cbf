"""An application as the engine knows it: its candidates, its policy, and what it has learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from skysail.calls import Predictor
from skysail.deadlines import Deadlines
from skysail.feedback.calibration import Calibration
from skysail.feedback.recent import Recent
from skysail.feedback.states import States
from skysail.selection.base import Policy
from skysail.stats.application import ApplicationCounters
from skysail.stats.means import Means
from skysail.types import Distribution, Failure, Output, State

__all__ = ["Application", "Served"]

_NARROWED = 1000
"""Views of a state, narrowed to some of its models, that are remembered."""


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

    @property
    def p95(self) -> float:
        """The seconds within which 95 of 100 calls of late were answered; `inf` while that is not known."""
        ...

    def wait(self, now: float) -> float:
        """The seconds after which a row asked for now is likely to be answered; `inf` where nothing can be said."""
        ...


@dataclass(kw_only=True, eq=False)
class Application:
    """What is asked, by which policy, by when. Replaced whole when the configuration changes; queries under way keep
    theirs.

    `fallback` stands in for a policy that raises. `served` has the current version of each model that has one. `means`
    and `hedges` are there where outputs that are missing are represented by their mean, and where queries to one model
    are hedged; `prefer_in_time` is whether models that would be too late are left out of the selection. Where there is
    a `calibration`, it says what the confidence is.
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

    means: Means | None = None
    hedges: Deadlines | None = None
    prefer_in_time: bool = False
    calibration: Calibration | None = None

    candidates: tuple[str, ...] = ()
    """The models that can be asked now, in config order; kept by `refresh`."""

    remembers: bool = False
    """Whether an answer may come of what was said before: one of the candidates is asked through the cache."""

    def __post_init__(self) -> None:
        """Find out who can be asked."""
        self._narrowed: Recent[tuple[str | None, tuple[str, ...]], tuple[State, State]] = Recent(_NARROWED)
        self._predictors: list[Predictor] = []
        self.overload = Failure(
            "overload",
            f"the work ahead of application {self.name!r} would take longer than its objective, {self.slo * 1e3:g} ms; "
            "send it again after Retry-After, send less at once, or add replicas",
        )
        self.refresh()

    def refresh(self) -> None:
        """A replica has come or gone."""
        served = self.served
        self.candidates = tuple([name for name in self.models if name in served and served[name].ready])
        self._predictors = [self.predictor(name) for name in self.candidates]
        self.remembers = self.cache and any(served[m].cached is not served[m].direct for m in self.candidates)

    def overloaded(self, now: float, deadline: float) -> bool:
        """Whether a query that came now with this deadline can only fail: each candidate would refuse it for the work
        ahead, whatever its row, unless the cache knows it.

        Never where there is a default: then it is answered, and the decision recorded.
        """
        if self.default is not None:
            return False
        for predictor in self._predictors:
            if not predictor.full(now, deadline):
                return False
        return bool(self._predictors)

    def knows(self, row: bytes, binary: bool) -> bool:
        """Whether a candidate would answer this row without more work for the model."""
        for predictor in self._predictors:  # noqa: SIM110 - a generator costs more, where this is compiled too
            if predictor.knows(row, binary):
                return True
        return False

    def turn_away(self) -> None:
        """Count a query that is refused because of all this, as each candidate would have refused it."""
        for predictor in self._predictors:
            predictor.turn_away()
        self.counters.answered(0.0, None, self.overload)

    def late(self, now: float, deadline: float) -> dict[str, float] | None:
        """The candidates that would likely answer after a deadline, each with the milliseconds it would take, where
        another would not; `None` where there is nothing to choose.
        """
        late: dict[str, float] | None = None
        for model in self.candidates:
            wait = self.served[model].wait(now)
            if now + wait > deadline:
                if late is None:
                    late = {}
                late[model] = wait * 1e3
        return None if late is None or len(late) == len(self.candidates) else late

    def narrow(self, state: State, context: str | None, models: tuple[str, ...]) -> State:
        """What the policy sees of a context's state where only some of its models are to be asked.

        The very same object until something was learned, as `States.view` has it.
        """
        known = self._narrowed.get((context, models))
        if known is not None and known[0] is state:
            return known[1]
        narrowed = state.only(models)
        self._narrowed.put((context, models), (state, narrowed))
        return narrowed

    def trust(self, state: State) -> Distribution:
        """How much each model is trusted; as the fallback has it, where the policy raises."""
        try:
            return self.policy.distribution(state)
        except Exception as error:  # noqa: BLE001 - a user's policy may raise anything
            self.counters.policy_failed("weigh", error)
            return self.fallback.distribution(state)

    def predictor(self, model: str) -> Predictor:
        """Whom to ask for a model's output."""
        served = self.served[model]
        return served.cached if self.cache else served.direct
