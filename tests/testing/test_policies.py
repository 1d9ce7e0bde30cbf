import importlib
import pkgutil
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skysail.selection
from skysail.selection.adahedge import AdaHedge
from skysail.selection.base import Policy
from skysail.selection.exp3 import Exp3
from skysail.selection.losses import Squared, ZeroOne
from skysail.selection.table import POLICIES, make_policy
from skysail.selection.vote import Vote
from skysail.testing.policies import LAWS, LawBroken, check_policy
from skysail.testing.streams import Stream, decide, judge
from skysail.types import Answer, Decision, Distribution, Output, Query, Selection, State

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_policy" / "policy.py"


def policies() -> list[type[Policy]]:
    """Every policy of the package, found by reflection."""
    for module in pkgutil.iter_modules(skysail.selection.__path__, "skysail.selection."):
        importlib.import_module(module.name)
    found: list[type[Policy]] = [Policy]
    for kind in found:
        found += [sub for sub in kind.__subclasses__() if sub.__module__.startswith("skysail.selection.")]
    return found[1:]


@pytest.mark.parametrize("kind", policies(), ids=lambda kind: kind.name)
def test_every_policy_obeys_the_laws(kind: type[Policy]) -> None:
    """With its defaults, and with another memory."""
    check_policy(kind())
    check_policy(kind(forget=0.99))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("single", {"model": "good"}),
        ("static", {"weights": {"bad": 0.0, "fair": 1, "good": 3, "worse": 1, "better": 1}}),
        ("exp3", {"eta": 1.0}),
        ("exp3ix", {"eta": 0.05, "gamma": 0.2}),
        ("exp4", {"eta": 0.05}),
        ("adahedge", {"eta": 0.2}),
        ("adahedge", {"eta_max": 5.0, "forget": 0.9}),
        ("stacking", {"eta": 1.0}),
        ("epsilon_greedy", {"epsilon": 0.3}),
        ("ucb1", {"c": 0.3, "forget": 0.999}),
    ],
    ids=str,
)
def test_the_laws_hold_for_other_parameters(name: str, params: dict[str, Any]) -> None:
    """Parameters change what is learned, not whether the laws hold."""
    check_policy(make_policy(name, params, loss=Squared(), models=("bad", "fair", "good", "worse", "better")), seed=7)


@pytest.mark.parametrize("kind", policies(), ids=lambda kind: kind.name)
@given(
    seed=st.integers(0, 2**32),
    phases=st.lists(
        st.tuples(st.sets(st.sampled_from(["a", "b", "c", "d"]), min_size=1), st.integers(1, 15)),
        min_size=2,
        max_size=6,
    ),
)
@settings(max_examples=8)
def test_models_that_come_and_go_take_nothing_from_others(
    kind: type[Policy], seed: int, phases: list[tuple[set[str], int]]
) -> None:
    """While a model is away its row is forgotten like all others and no more; one that enters changes no other's.

    As the store keeps it: the state has every model that ever was there, and the policy sees those that are. A new
    version of a model is the same model.
    """
    policy = kind()
    world, rng = Random(seed), Random(seed)
    state = policy.initial(())
    for present, length in phases:
        stream = Stream(accuracies=dict.fromkeys(sorted(present), 0.7), length=length, missing=0.2)
        for model in stream.accuracies:
            if model not in state.sums:
                before, state = state, policy.add_model(state, model)
                assert state.only(before.models) == before
        away = {model: row for model, row in state.sums.items() if model not in present}
        for label, outputs in stream.rounds(world):
            query = Query("q", b"1", False, None, 0.0, 1.0, rng.random())
            decision = decide(policy, state.only(stream.accuracies), query, outputs, rng)
            state = state.plus(policy.update(decision, judge(decision, label)), policy.forget)
        for model, row in away.items():
            assert state.sums[model] == pytest.approx([number * policy.forget**length for number in row])


@pytest.mark.parametrize("kind", policies(), ids=lambda kind: kind.name)
def test_every_policy_forgets_within_reason(kind: type[Policy]) -> None:
    """A default between half a memory of a hundred feedbacks and never, and one is never only where it is said why."""
    assert 0.99 <= kind().forget <= 1.0
    assert kind().forget < 1.0 or kind.name in {"exp3", "exp4", "ucb1"}, "published constants"


def test_every_policy_is_in_the_table() -> None:
    """Each class of ours can be named in a config file, and nothing else can."""
    assert {kind.name: f"{kind.__module__}:{kind.__name__}" for kind in policies()} == POLICIES


def test_the_example_of_ones_own_obeys_the_laws() -> None:
    """The policy in the examples is one to learn from: it holds, and its class takes fifteen lines."""
    check_policy(make_policy(f"{EXAMPLE}:Greedy", {"epsilon": 0.05}, loss=ZeroOne(), models=("a", "b")))
    body = EXAMPLE.read_text().partition("@dataclass")[2].splitlines()
    assert len([line for line in body if line.strip()]) <= 15


# For each law, a policy that breaks it: a law that nothing can break holds nothing.


@dataclass(frozen=True, kw_only=True)
class Asks(Vote):
    """Asks something else than it should."""

    name: ClassVar[str] = "asks"
    asked: tuple[str, ...] = ()

    def select(self, state: State, query: Query, rng: Random) -> Selection:
        return Selection(self.distribution(state), self.asked, (1.0,) * len(self.asked))


@dataclass(frozen=True, kw_only=True)
class Heavy(Vote):
    """Its weights sum to more than one."""

    name: ClassVar[str] = "heavy"

    def weigh(self, state: State) -> Distribution:
        return Distribution(state.models, (1.0,) * len(state.sums))


@dataclass(frozen=True, kw_only=True)
class Dishonest(Exp3):
    """Draws `good` more often than it says."""

    name: ClassVar[str] = "dishonest"

    def select(self, state: State, query: Query, rng: Random) -> Selection:
        once = super().select(state, query, rng)
        return once if once.asked[0] == "good" else super().select(state, query, rng)


@dataclass(frozen=True, kw_only=True)
class Counting(Vote):
    """Keeps count of the queries in the state itself."""

    name: ClassVar[str] = "counting"

    def combine(self, state: State, query: Query, outputs: Any) -> Answer | None:
        state.count += 1.0
        return super().combine(state, query, outputs)


class Thawed(Vote):
    """Can be assigned to."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Moody(AdaHedge):
    """Draws random numbers of its own."""

    name: ClassVar[str] = "moody"

    def weigh(self, state: State) -> Distribution:
        first = MOOD.random()
        rest = (1.0 - first) / max(1, len(state.sums) - 1)
        return Distribution(state.models, (first, *[rest] * (len(state.sums) - 1)))


MOOD = Random(0)


@dataclass(frozen=True, kw_only=True)
class Partial(Vote):
    """Trusts the first listed most."""

    name: ClassVar[str] = "partial"

    def weigh(self, state: State) -> Distribution:
        weights = [2.0**-n for n in range(len(state.sums))]
        return Distribution(state.models, tuple(weight / sum(weights) for weight in weights))


@dataclass(frozen=True, kw_only=True)
class Closed(Vote):
    """Forgets to let a new model in."""

    name: ClassVar[str] = "closed"

    def add_model(self, state: State, model: str) -> State:
        return state


@dataclass(frozen=True, kw_only=True)
class Jealous(AdaHedge):
    """Forgets the others when a new model enters."""

    name: ClassVar[str] = "jealous"

    def add_model(self, state: State, model: str) -> State:
        return self.initial((*state.sums, model))


@dataclass(frozen=True, kw_only=True)
class Narrow(AdaHedge):
    """Adds rows that lack its own column."""

    name: ClassVar[str] = "narrow"

    def update(self, decision: Decision, losses: Any) -> State:
        delta = super().update(decision, losses)
        return State(1.0, {model: row[:2] for model, row in delta.sums.items()}, delta.shared)


@dataclass(frozen=True, kw_only=True)
class Inventive(Vote):
    """Answers out of nothing."""

    name: ClassVar[str] = "inventive"

    def combine(self, state: State, query: Query, outputs: Any) -> Answer | None:
        said = super().combine(state, query, outputs)
        return said or super().combine(state, query, dict.fromkeys(outputs, MADE_UP))


MADE_UP = Output(b"0")


@dataclass(frozen=True, kw_only=True)
class Reluctant(Vote):
    """Answers only when all have."""

    name: ClassVar[str] = "reluctant"

    def combine(self, state: State, query: Query, outputs: Any) -> Answer | None:
        return None if None in outputs.values() else super().combine(state, query, outputs)


@dataclass(frozen=True, kw_only=True)
class Suspicious(AdaHedge):
    """Takes silence for a loss."""

    name: ClassVar[str] = "suspicious"

    def learn(self, decision: Decision, losses: Any) -> Any:
        return super().learn(decision, {model: 1.0 if loss is None else loss for model, loss in losses.items()})

    def update(self, decision: Decision, losses: Any) -> State:
        return super().update(decision, {model: 1.0 if loss is None else loss for model, loss in losses.items()})


@dataclass(frozen=True, kw_only=True)
class Careless(Exp3):
    """Weighs a fallback as if it had been drawn for certain."""

    name: ClassVar[str] = "careless"

    def learn(self, decision: Decision, losses: Any) -> Any:
        certain = copy(decision)
        certain.propensities = tuple(p or 1.0 for p in decision.propensities)
        return super().learn(certain, losses)


@dataclass(frozen=True, kw_only=True)
class Certain(AdaHedge):
    """Learns a number that JSON cannot say."""

    name: ClassVar[str] = "certain"

    def weigh(self, state: State) -> Distribution:
        return Vote().weigh(state)

    def learn(self, decision: Decision, losses: Any) -> Any:
        return {}, (float("inf"),)


@dataclass(frozen=True, kw_only=True)
class Growing(Vote):
    """Adds a row for every query."""

    name: ClassVar[str] = "growing"

    def update(self, decision: Decision, losses: Any) -> State:
        delta = super().update(decision, losses)
        return State(1.0, {**delta.sums, f"query {decision.id}": (1.0, 1.0)})


@dataclass(frozen=True, kw_only=True)
class Exploding(AdaHedge):
    """Squares what it has learned."""

    name: ClassVar[str] = "exploding"

    def learn(self, decision: Decision, losses: Any) -> Any:
        return dict.fromkeys(decision.distribution.models, (1e307,)), ()


@dataclass(frozen=True, kw_only=True)
class Remembering(AdaHedge):
    """Its deltas depend on how many there were."""

    name: ClassVar[str] = "remembering"

    def learn(self, decision: Decision, losses: Any) -> Any:
        SEEN.append(decision.id)
        return {model: (float(len(SEEN)),) for model in decision.distribution.models}, ()


SEEN: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Unordered(Vote):
    """Its deltas do not add up: the later one counts."""

    name: ClassVar[str] = "unordered"

    def update(self, decision: Decision, losses: Any) -> State:
        delta = super().update(decision, losses)
        return Latest(delta.count, delta.sums, delta.shared)

    def initial(self, models: tuple[str, ...]) -> State:
        state = super().initial(models)
        return Latest(0.0, state.sums, state.shared)


class Latest(State):
    """A state that the last delta replaces."""

    def plus(self, delta: State, keep: float = 1.0) -> State:
        return Latest(self.count + delta.count, {**self.sums, **delta.sums}, delta.shared)


BREAKERS: list[tuple[str, Policy]] = [
    ("asks_only_candidates", Asks(asked=())),
    ("asks_only_candidates", Asks(asked=("bad", "bad"))),
    ("propensities_are_probabilities", Heavy()),
    ("draws_follow_propensities", Dishonest()),
    ("selecting_and_combining_change_nothing", Counting()),
    ("selecting_and_combining_change_nothing", Thawed()),
    ("same_seed_same_choice", Moody()),
    ("order_of_models_is_irrelevant", Partial()),
    ("models_come_and_go", Closed()),
    ("nothing_came_no_answer", Inventive()),
    ("some_came_some_answer", Reluctant()),
    ("nobody_judged_teaches_nothing", Suspicious()),
    ("fallbacks_are_not_importance_weighted", Careless()),
    ("state_round_trips", Certain()),
    ("long_runs_stay_small_and_finite", Growing()),
    ("long_runs_stay_small_and_finite", Exploding(forget=1.0)),
    ("updates_depend_on_the_decision_alone", Remembering()),
    ("updates_concern_candidates_alone", Growing()),
    ("updates_concern_candidates_alone", Narrow()),
    ("models_come_and_go", Jealous()),
    ("updates_commute", Unordered()),
    ("beats_uniform", Partial()),
]


@pytest.mark.parametrize(("law", "policy"), BREAKERS, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_policy_that_breaks_a_law_is_told_so(law: str, policy: Policy) -> None:
    """The message names the policy and the law."""
    with pytest.raises(LawBroken, match=f"^{type(policy).__name__}.* breaks the law '{law}': ."):
        LAWS[law](policy, 0)


def test_every_law_can_be_broken() -> None:
    """There is a breaker for each law."""
    assert {law for law, _ in BREAKERS} == set(LAWS)


def test_exemptions_are_named_laws() -> None:
    """An exemption from something that is no law is refused; one from a law is heeded."""

    @dataclass(frozen=True, kw_only=True)
    class Excused(Heavy):
        exempt: ClassVar[Mapping[str, str]] = {"propensities_are_probable": "a slip"}

    @dataclass(frozen=True, kw_only=True)
    class Pardoned(Vote):
        exempt: ClassVar[Mapping[str, str]] = {"some_came_some_answer": "all or none", **Vote.exempt}

        def combine(self, state: State, query: Query, outputs: Any) -> Answer | None:
            return Reluctant.combine(Reluctant(), state, query, outputs)

    with pytest.raises(LawBroken, match="is exempt from 'propensities_are_probable', which is no law"):
        check_policy(Excused())
    with pytest.raises(LawBroken, match="propensities_are_probabilities"):
        check_policy(Heavy())
    with pytest.raises(LawBroken, match="some_came_some_answer"):
        check_policy(Reluctant())
    check_policy(Pardoned())
