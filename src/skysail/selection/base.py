"""Policies: which models to ask, how to make one answer of theirs, and what feedback teaches.

A policy is immutable and holds parameters alone. What it learns is a `State`, plain data apart from it; a state changes by
additions only, so that feedback may come in any order, late, and from several places at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Protocol, runtime_checkable

from skysail.selection.losses import ZeroOne
from skysail.types import Answer, Decision, Distribution, Output, Query, Selection, State

__all__ = ["Loss", "Losses", "Outputs", "Policy"]

Outputs = Mapping[str, Output | None]
"""For each model asked, what it said, or `None` where it failed or was not in time; in the order asked."""

Losses = Mapping[str, float | None]
"""For each model asked, its loss in [0, 1]; `None` for one that is not to be judged (a straggler, or a reward that says
nothing about it)."""


@runtime_checkable
class Loss(Protocol):
    """How wrong an output is, and how outputs are combined so as to be wrong least."""

    name: str

    def loss(self, output: Any, label: Any) -> float:
        """0 for right, 1 for as wrong as can be."""
        ...

    def agree(self, a: Any, b: Any) -> bool:
        """Whether two outputs say the same."""
        ...

    def combine(self, weighted: list[tuple[float, Output]]) -> Output:
        """One output out of several, each with its weight; there is at least one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Policy(ABC):
    """The interface of every policy, and what all of them share.

    A subclass is a frozen dataclass whose fields are its parameters, and defines `weigh` (how much to trust each model) and,
    where it learns more than each model's average loss, `learn`. By default all models are asked and their outputs combined
    by weight; a policy that serves one model's answer sets `asks_one`, and a model is then drawn by weight.

    Each model's row in the state begins with two columns that the base keeps for every policy, **judged** (how often the
    model was judged) and **loss** (the sum of its losses); the policy's own columns, `columns` of them, follow.
    """

    name: ClassVar[str]
    """The name in the config file, under which the state is kept."""

    asks_one: ClassVar[bool] = False
    """Whether one model is drawn and asked, rather than all of them."""

    columns: ClassVar[int] = 0
    """How many numbers of its own the policy keeps for each model."""

    shared: ClassVar[int] = 0
    """How many numbers of its own the policy keeps for all models together."""

    forget: float = 1.0
    """ρ: what is left of everything learned in a context after one more feedback there."""

    loss: Loss = field(default_factory=ZeroOne, repr=False)
    """The application's loss; set by the application, not a parameter of the policy."""

    def initial(self, models: tuple[str, ...]) -> State:
        """The state before any feedback."""
        return State(0.0, dict.fromkeys(models, (0.0,) * (2 + self.columns)), (0.0,) * self.shared)

    @abstractmethod
    def weigh(self, state: State) -> Distribution:
        """How much each model of the state is trusted. Pure; called once for each version of the state."""

    def distribution(self, state: State) -> Distribution:
        """What `weigh` says, computed once for each state."""
        memo = state.memo
        if memo is None:
            memo = state.memo = self.weigh(state)
        return memo  # type: ignore[no-any-return]

    def select(self, state: State, query: Query, rng: Random) -> Selection:
        """The models to ask about a query, with their propensities. Pure but for the numbers it draws from `rng`."""
        trust = self.distribution(state)
        if not self.asks_one:
            return Selection(trust, trust.models, (1.0,) * len(trust.models))
        drawn = rng.choices(range(len(trust.models)), trust.weights)[0]
        return Selection(trust, (trust.models[drawn],), (trust.weights[drawn],))

    def combine(self, state: State, query: Query, outputs: Outputs) -> Answer | None:
        """One answer out of those outputs that came; `None` when none did. Pure.

        The confidence of an ensemble's answer is the weight of the models that agree with it over the weight of all that
        were asked, so a missing model lowers it. With one model asked it is the model's estimated accuracy.
        """
        raise NotImplementedError

    def update(self, decision: Decision, losses: Losses) -> State:
        """What one feedback teaches, as a delta of count 1. Pure: of the decision and the losses, not of today's state."""
        raise NotImplementedError

    def learn(self, decision: Decision, losses: Losses) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
        """The policy's own part of a delta: columns for each model, and the shared ones. Nothing, unless overridden."""
        return {}, ()

    def add_model(self, state: State, model: str) -> State:
        """The state with a model that was not in it, entering at the average of those that are."""
        raise NotImplementedError
