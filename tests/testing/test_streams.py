from random import Random

import pytest

from skysail.selection.adahedge import AdaHedge
from skysail.selection.exp3 import Exp3
from skysail.selection.vote import Vote
from skysail.testing.streams import Stream, decide, judge, simulate
from skysail.types import Output, Query

TWO = {"a": 0.9, "b": 0.6}


def test_models_are_right_as_often_as_told() -> None:
    """Each within two points of its accuracy over 5,000 queries; a wrong one says every other label."""
    rounds = list(Stream(accuracies=TWO, length=5000, labels=3).rounds(Random(0)))
    for model, accuracy in TWO.items():
        assert sum(r.outputs[model] is r.label for r in rounds) / 5000 == pytest.approx(accuracy, abs=0.02)
    wrong = {r.outputs["b"].raw for r in rounds if r.label.raw == b"0" and r.outputs["b"] is not r.label}  # type: ignore[union-attr]
    assert wrong == {b"1", b"2"}


def test_a_broken_model_is_always_wrong_while_it_is() -> None:
    """From the query it breaks at to the one it is mended at, and not before or after."""
    rounds = list(Stream(accuracies={"a": 1.0}, length=30, broken={"a": (10, 20)}).rounds(Random(0)))
    assert [t for t, r in enumerate(rounds) if r.outputs["a"] is not r.label] == list(range(10, 20))


def test_missing_outputs_are_as_many_as_told() -> None:
    """A tenth of the outputs do not come in time."""
    rounds = list(Stream(accuracies=TWO, length=5000, missing=0.1).rounds(Random(0)))
    assert sum(r.outputs["a"] is None for r in rounds) / 5000 == pytest.approx(0.1, abs=0.02)


def test_a_seed_is_a_world() -> None:
    """The same seed gives the same trial; another one, another."""
    one, again, other = (simulate(Exp3(), Stream(accuracies=TWO, length=50), seed=seed, delay=5) for seed in (1, 1, 2))
    assert (one.state, one.answered) == (again.state, again.answered)
    assert one.answered != other.answered


def test_two_policies_meet_the_same_world() -> None:
    """What the models say does not depend on the policy."""
    trials = [simulate(policy, Stream(accuracies=TWO, length=50), seed=1, keep=True) for policy in (Vote(), AdaHedge())]
    assert [d.outputs for d in trials[0].decisions] == [d.outputs for d in trials[1].decisions]


def test_all_feedback_is_given_in_the_end() -> None:
    """However late, each query is judged once; late feedback reaches the weights later."""
    stream = Stream(accuracies=TWO, length=100)
    prompt, late = (simulate(AdaHedge(forget=1.0), stream, seed=0, delay=delay) for delay in (0, 1000))
    assert prompt.state.count == late.state.count == 100.0
    assert prompt.state.sums["a"][:2] == late.state.sums["a"][:2]
    assert late.trust[-1].weight("a") < prompt.trust[-1].weight("a")


def test_expected_loss_is_the_loss_by_weight() -> None:
    """Unweighted models, one wrong: half a loss."""
    trial = simulate(Vote(), Stream(accuracies={"a": 1.0, "b": 0.0}, length=10), seed=0)
    assert trial.expected == [0.5] * 10
    assert trial.answered == [0.0] * 10
    assert trial.decisions == []


def test_a_trial_goes_on_from_a_state() -> None:
    """What was known before is known, and added to."""
    stream = Stream(accuracies=TWO, length=10)
    first = simulate(AdaHedge(forget=1.0), stream, seed=0)
    second = simulate(AdaHedge(forget=1.0), stream, seed=1, state=first.state)
    assert second.state.count == 20.0
    assert second.trust[0] == AdaHedge().weigh(first.state)


def test_a_decision_holds_what_feedback_needs() -> None:
    """Asked models with versions, outputs and failures side by side, and a default where nothing came."""
    policy, query = Vote(), Query("q", b"1", False, "alice", 0.0, 1.0, 0.5)
    state = policy.initial(("a", "b"))
    decision = decide(policy, state, query, {"a": Output(b"1"), "b": None}, Random(0))
    assert (decision.asked, decision.outputs, decision.failures) == (["a@1", "b@1"], [b"1", None], [None, "missing"])
    assert (decision.answer, decision.confidence, decision.default, decision.context) == (b"1", 0.5, False, "alice")
    assert judge(decision, Output(b"1")) == {"a": 0.0, "b": None}
    nothing = decide(policy, state, query, {"a": None, "b": None}, Random(0))
    assert (nothing.answer, nothing.default, nothing.reason) == (None, True, "deadline")
