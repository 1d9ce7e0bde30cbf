"""Policies: which models to ask, how to make one answer of theirs, and what feedback teaches.

A policy is immutable and holds parameters alone. What it learns is a `State`, plain data apart from it; a state
changes by additions only, so that feedback may come in any order, late, and from several places at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, ClassVar, Protocol, runtime_checkable

from skysail.selection.losses import ZeroOne
from skysail.selection.params import number
from skysail.types import Answer, Decision, Distribution, Estimate, Output, Query, Selection, State

__all__ = ["Loss", "Losses", "Outputs", "Policy"]

Outputs = Mapping[str, Output | None]
"""For each model asked, what it said, or `None` where it failed or was not in time; in the order asked."""

Losses = Mapping[str, float | None]
"""For each model asked, its loss in [0, 1]; `None` for one that is not to be judged (a straggler, or a reward that says
nothing about it)."""


@runtime_checkable
class Loss(Protocol):
    """How wrong an output is, and how outputs are combined so as to be wrong least."""

    name: ClassVar[str]
    """The name in the config file."""

    def check_label(self, label: Any) -> None:
        """Raise `InvalidInput` for a label that no output can be judged by."""
        ...

    def loss(self, output: Any, label: Any) -> float:
        """0 for right, 1 for as wrong as can be; `ValueError` for an output that cannot be judged."""
        ...

    def agree(self, a: Any, b: Any) -> bool:
        """Whether two outputs say the same."""
        ...

    def combine(self, weighted: Sequence[tuple[float, Output]]) -> Output:
        """One output out of several, each with its weight; there is at least one.

        Outputs that cannot be combined are a `ValueError`.
        """
        ...


class _Plan:
    """What a policy derived from one version of a state: kept as its memo, made once."""

    __slots__ = ("cumulative", "policy", "selection", "selections", "trust", "weight")

    def __init__(self, policy: Policy, trust: Distribution) -> None:
        self.policy = policy
        self.trust = trust
        if policy.asks_one:
            self.cumulative = list(accumulate(trust.weights))
            self.selections: list[Selection | None] = [None] * len(trust.models)
        else:
            self.weight = dict(zip(trust.models, trust.weights, strict=True))
            self.selection = Selection(trust, trust.models, (1.0,) * len(trust.models))

    def select_one(self, place: int) -> Selection:
        """The selection of one model alone, the same for all queries that draw it."""
        trust = self.trust
        selection = Selection(trust, (trust.models[place],), (trust.weights[place],))
        self.selections[place] = selection
        return selection


@dataclass(frozen=True, kw_only=True)
class Policy(ABC):
    """The interface of every policy, and what all of them share.

    A subclass is a frozen dataclass whose fields are its parameters, and defines `weigh` (how much to trust each
    model) and, where it learns more than each model's average loss, `learn`. By default all models are asked and
    their outputs combined by weight; a policy that serves one model's answer sets `asks_one`, and a model is then
    drawn by weight.

    Each model's row in the state begins with two columns that the base keeps for every policy, **judged** (how often
    the model was judged) and **loss** (the sum of its losses); the policy's own columns, `columns` of them, follow.
    """

    name: ClassVar[str]
    """The name in the config file, under which the state is kept."""

    asks_one: ClassVar[bool] = False
    """Whether one model is drawn and asked, rather than all of them."""

    columns: ClassVar[int] = 0
    """How many numbers of its own the policy keeps for each model."""

    shared: ClassVar[int] = 0
    """How many numbers of its own the policy keeps for all models together."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """Laws of `skysail.testing.policies` that do not apply to this policy, each with the reason."""

    forget: float = 1.0
    """ρ: what is left of everything learned in a context after one more feedback there."""

    loss: Loss = field(default_factory=ZeroOne, repr=False)
    """The application's loss; set by the application, not a parameter of the policy."""

    def __post_init__(self) -> None:
        """Check the parameters; a subclass that has its own calls this too."""
        self.check("forget", self.forget, above=0.0, most=1.0)

    def check(
        self,
        key: str,
        value: Any,
        *,
        above: float | None = None,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """Refuse a numeric parameter that is out of its range (`above` is exclusive) with a `ConfigError`."""
        number(f"policy '{self.name}'", key, value, above=above, least=least, most=most)

    @classmethod
    def fields_of(cls, params: Mapping[str, Any], models: tuple[str, ...]) -> Mapping[str, Any]:
        """The fields that the parameters in a config file stand for; overridden where parameters name models."""
        return params

    def initial(self, models: tuple[str, ...]) -> State:
        """The state before any feedback."""
        return State(0.0, dict.fromkeys(models, (0.0,) * (2 + self.columns)), (0.0,) * self.shared)

    @abstractmethod
    def weigh(self, state: State) -> Distribution:
        """How much each model of the state is trusted. Pure; called once for each version of the state."""

    def distribution(self, state: State) -> Distribution:
        """What `weigh` says, computed once for each state."""
        return self._plan(state).trust

    def select(self, state: State, query: Query, rng: Random) -> Selection:
        """The models to ask about a query, with their propensities. Pure but for the numbers it draws from `rng`."""
        plan = self._plan(state)
        if not self.asks_one:
            return plan.selection
        cumulative = plan.cumulative
        drawn = bisect(cumulative, rng.random() * cumulative[-1], 0, len(cumulative) - 1)
        return plan.selections[drawn] or plan.select_one(drawn)

    def combine(self, state: State, query: Query, outputs: Outputs) -> Answer | None:
        """One answer out of those outputs that came; `None` when none did. Pure.

        The confidence of an ensemble's answer is the weight of the models that agree with it over the weight of all
        that were asked, so a missing model lowers it. With one model asked it is the model's estimated accuracy. The
        agreement is the share of the models asked that agree, whatever their weight.
        """
        if len(outputs) == 1 and self.asks_one:  # nearly every query of such a policy
            ((model, output),) = outputs.items()
            return None if output is None else Answer(output, self.accuracy(state, model), 1.0, (model,))
        answered = {model: output for model, output in outputs.items() if output is not None}
        if not answered:
            return None
        if self.asks_one:
            model, output = next(iter(answered.items()))
            agreement = len(self._agreeing(answered, output)) / len(outputs)
            return Answer(output, self.accuracy(state, model), agreement, (model,))
        weight = self._plan(state).weight
        try:
            output = self.merge([(weight.get(m, 0.0), o) for m, o in answered.items()], query)
        except ValueError:
            answered = self._mergeable(answered, weight, query)
            if not answered:
                return None
            output = self.merge([(weight.get(m, 0.0), o) for m, o in answered.items()], query)
        agreeing = self._agreeing(answered, output)
        total = sum([weight.get(m, 0.0) for m in outputs])
        share = sum([weight.get(m, 0.0) for m in agreeing]) / total if total > 0.0 else 0.0
        return Answer(output, min(1.0, share), len(agreeing) / len(outputs), tuple(answered))

    def merge(self, weighted: Sequence[tuple[float, Output]], query: Query) -> Output:
        """The output that an ensemble answers with; the loss knows how to be wrong least, unless overridden."""
        return self.loss.combine(weighted)

    def update(self, decision: Decision, losses: Losses) -> State:
        """What one feedback teaches, as a delta of count 1. Pure: of the decision and the losses, not of today's state.

        Models about which nothing was learned have no row in it, so that an update costs as much as was asked and not
        as there is to ask; whoever adds it sees to it that the state has a row for each model (`add_model`).
        """
        own, shared = self.learn(decision, losses)
        nothing = (0.0,) * self.columns
        sums: dict[str, tuple[float, ...]] = {}
        last, row = nothing, (0.0, 0.0, *nothing)
        for model, columns in own.items():
            if columns is not last:
                last, row = columns, (0.0, 0.0, *columns)
            sums[model] = row
        for model, loss in losses.items():
            if loss is not None:
                sums[model] = (1.0, loss, *own.get(model, nothing))
        return State(1.0, sums, shared or (0.0,) * self.shared)

    def learn(self, decision: Decision, losses: Losses) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, ...]]:
        """The policy's own part of a delta: columns for each model, and the shared ones. Nothing, unless overridden."""
        return {}, ()

    def add_model(self, state: State, model: str) -> State:
        """The state with a model that was not in it, entering at the average of those that are."""
        rows = list(self._fitted(state).sums.values())
        mean = tuple([sum(column) / len(rows) for column in zip(*rows, strict=True)]) or (0.0,) * (2 + self.columns)
        return State(state.count, {**state.sums, model: mean}, state.shared)

    def accuracy(self, state: State, model: str) -> float | None:
        """A model's estimated accuracy, 1 − loss/judged; `None` before any feedback on it."""
        row = state.sums.get(model)
        if row is None or row[0] <= 0.0:
            return None
        return min(1.0, max(0.0, 1.0 - row[1] / row[0]))

    def _plan(self, state: State) -> _Plan:
        plan = state.memo
        if plan is None or plan.policy is not self:
            plan = state.memo = _Plan(self, self.weigh(self._fitted(state)))
        return plan  # type: ignore[no-any-return]

    def _fitted(self, state: State) -> State:
        """The state as wide as this policy has it: one of before its code was changed may have other columns.

        Columns that are new begin at 0, and those that are gone are not shown.
        """
        wide = 2 + self.columns
        if len(state.shared) == self.shared and all(len(row) == wide for row in state.sums.values()):
            return state
        sums = {model: _cut(row, wide) for model, row in state.sums.items()}
        return State(state.count, sums, _cut(state.shared, self.shared))

    def _agreeing(self, answered: Mapping[str, Output], answer: Output) -> list[str]:
        """The models whose output says what the answer does, as far as can be told; an estimate of one says nothing."""
        agreeing = []
        for model, output in answered.items():
            try:
                if output.__class__ is not Estimate and (
                    output.raw == answer.raw or self.loss.agree(output.value, answer.value)
                ):
                    agreeing.append(model)
            except ValueError:  # one model is asked and serves as it is; what it says may be nothing the loss knows
                continue
        return agreeing

    def _mergeable(
        self, answered: Mapping[str, Output], weight: Mapping[str, float], query: Query
    ) -> dict[str, Output]:
        """The outputs that can be merged with each other, the most trusted first and estimates last; any other counts
        as no answer.
        """
        kept: list[str] = []
        for model in sorted(answered, key=lambda m: (answered[m].__class__ is Estimate, -weight.get(m, 0.0))):
            try:
                self.merge([(weight.get(m, 0.0), answered[m]) for m in (*kept, model)], query)
            except ValueError:
                continue
            kept.append(model)
        return {model: output for model, output in answered.items() if model in kept}


def _cut(row: tuple[float, ...], width: int) -> tuple[float, ...]:
    return row[:width] + (0.0,) * (width - len(row))
