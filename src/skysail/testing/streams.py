"""Simulated traffic for policies: experts of known accuracy, that may break and recover, and feedback that comes late.

For tests and for comparing policies before serving with them. Everything follows from a seed, and the world does not
depend on the policy, so two policies at one seed meet the same labels and the same mistakes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from skysail.selection.base import Losses, Policy
from skysail.types import Decision, Distribution, Output, Query, State

__all__ = ["Round", "Stream", "Trial", "decide", "judge", "simulate"]


class Round(NamedTuple):
    """One query of a stream: its true label, and what each model says (`None`: it is not in time)."""

    label: Output
    outputs: Mapping[str, Output | None]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Queries with class labels, answered by models that are right with a fixed probability, each independently.

    A wrong model says any of the other labels, equally likely. A broken one is always wrong.
    """

    accuracies: Mapping[str, float]
    """How often each model is right."""

    length: int
    """Queries."""

    labels: int = 10
    """Classes."""

    broken: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """For a model that breaks: the first query it gets wrong for certain, and the first one after that it does not."""

    missing: float = 0.0
    """How often a model is too late, independently."""

    def rounds(self, rng: Random) -> Iterator[Round]:
        """The queries in order."""
        said = [Output(b"%d" % label) for label in range(self.labels)]
        draw = rng.random
        for t in range(self.length):
            label = int(draw() * self.labels)
            outputs: dict[str, Output | None] = {}
            for model, accuracy in self.accuracies.items():
                start, stop = self.broken.get(model, (0, 0))
                if draw() < accuracy and not start <= t < stop:
                    outputs[model] = said[label]
                else:
                    outputs[model] = said[(label + 1 + int(draw() * (self.labels - 1))) % self.labels]
                if self.missing and draw() < self.missing:
                    outputs[model] = None
            yield Round(said[label], outputs)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a policy did with a stream."""

    state: State
    """The state at the end, all feedback given."""

    trust: list[Distribution]
    """The weights at each query."""

    expected: list[float]
    """At each query, the mean of all models' losses by weight: what the policy loses on average over its own draws."""

    answered: list[float]
    """At each query, the loss of the answer (1 where there was none)."""

    decisions: list[Decision]
    """The decisions, where they were to be kept."""


def decide(policy: Policy, state: State, query: Query, outputs: Mapping[str, Output | None], rng: Random) -> Decision:
    """A query's way through a policy, as the engine would record it; `outputs` are what models would say if asked."""
    selection = policy.select(state, query, rng)
    came = {model: outputs.get(model) for model in selection.asked}
    said = [came[model] for model in selection.asked]
    answer = policy.combine(state, query, came)
    return Decision(
        id=query.id,
        app="stream",
        policy=policy.name,
        context=query.context,
        time=0.0,
        digest=b"",
        distribution=selection.distribution,
        asked=[model + "@1" for model in selection.asked],
        propensities=selection.propensities,
        outputs=[None if output is None else output.raw for output in said],
        failures=["missing" if output is None else None for output in said],
        latencies=[None if output is None else 0.0 for output in said],
        answer=None if answer is None else answer.output.raw,
        confidence=None if answer is None else answer.confidence,
        agreement=None if answer is None else answer.agreement,
        default=answer is None,
        reason=None if answer is not None else "deadline",
        fallback=False,
        latency=0.0,
    )


def judge(decision: Decision, label: Output) -> Losses:
    """The zero-one losses of the models asked; `None` for those that gave no output."""
    return {
        model: None if raw is None else 0.0 if raw == label.raw else 1.0
        for model, raw in zip(decision.models, decision.outputs, strict=True)
    }


def simulate(
    policy: Policy,
    stream: Stream,
    *,
    seed: int,
    delay: int = 0,
    state: State | None = None,
    keep: bool = False,
) -> Trial:
    """Answer a stream and learn from it. Each feedback comes up to `delay` queries late, so their order changes too.

    `state` is what the policy knew before; `keep` keeps the decisions.
    """
    world, own = Random(f"{seed} world"), Random(f"{seed} policy")
    state = policy.initial(tuple(stream.accuracies)) if state is None else state
    trial = Trial(state=state, trust=[], expected=[], answered=[], decisions=[])
    waiting: list[tuple[int, int, Decision, Output]] = []
    for t, (label, outputs) in enumerate(stream.rounds(world)):
        while waiting and waiting[0][0] < t:
            state = _learn(policy, state, *heapq.heappop(waiting)[2:])
        decision = decide(policy, state, Query(str(t), b"", False, None, 0.0, 0.0, own.random()), outputs, own)
        trust = decision.distribution
        trial.trust.append(trust)
        parts = zip(trust.models, trust.weights, strict=True)
        trial.expected.append(sum([weight for model, weight in parts if outputs.get(model) is not label]))
        trial.answered.append(0.0 if decision.answer == label.raw else 1.0)
        if keep:
            trial.decisions.append(decision)
        heapq.heappush(waiting, (t + int(own.random() * (delay + 1)), t, decision, label))
    while waiting:
        state = _learn(policy, state, *heapq.heappop(waiting)[2:])
    return Trial(
        state=state, trust=trial.trust, expected=trial.expected, answered=trial.answered, decisions=trial.decisions
    )


def _learn(policy: Policy, state: State, decision: Decision, label: Output) -> State:
    return state.plus(policy.update(decision, judge(decision, label)), policy.forget)
