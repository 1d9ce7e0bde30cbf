from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from skysail.calls import Call
from skysail.pending import Hedge, Pending
from skysail.types import Distribution, Failure, Output, Query, Selection, State


class Models:
    """A predictor for every model, and an owner that keeps what it is told."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.forgotten: list[Call] = []
        self.concluded: list[float] = []
        self.completed: list[tuple[int, bytes]] = []

    def ask(self, call: Call) -> None:
        self.asked.append(call)

    def forget(self, call: Call) -> None:
        self.forgotten.append(call)

    def hurry(self, call: Call, deadline: float) -> None: ...

    def conclude(self, pending: Pending, now: float) -> None:
        self.concluded.append(now)
        pending.end()

    def complete(self, pending: Pending, index: int, output: Output, latency: float) -> None:
        self.completed.append((index, output.raw))


def make(*asked: str, means: Any = None) -> tuple[Pending, Models]:
    """A query pending at these models."""
    models = Models()
    app: Any = SimpleNamespace(
        served={m: SimpleNamespace(ref=f"{m}@1", cached=models) for m in "abc"},
        predictor=lambda model: models,
        cache=True,
        means=means,
    )
    query = Query("id", b"1", False, None, 10.0, 11.0, 0.5)
    trust = Distribution(("a", "b", "c"), (0.5, 0.3, 0.2))
    pending = Pending(models, app, query, State(), Selection(trust, asked, (1.0,) * len(asked)), lambda told: None)
    pending.ask(asked)
    return pending, models


def test_it_is_concluded_when_the_last_outcome_is_here() -> None:
    """Not before, and once; latencies are milliseconds from arrival."""
    pending, models = make("a", "b")
    models.asked[1].settle(Output(b"2"), 10.002)
    assert models.concluded == []
    models.asked[0].settle(Failure("model_error", "x"), 10.004)
    assert models.concluded == [10.004]
    assert pending.outputs() == {"a": None, "b": Output(b"2")}
    assert [round(ms or 0) for ms in pending.latencies] == [4, 2]


def test_an_invalid_row_concludes_at_once() -> None:
    """Nobody else needs to be waited for."""
    pending, models = make("a", "b")
    models.asked[0].settle(Failure("invalid_input", "three values"), 10.001)
    assert models.concluded == [10.001]
    assert pending.invalid is not None
    assert pending.invalid.message == "three values"


def test_a_late_output_completes_what_was_recorded() -> None:
    """After the answer, outputs complete the record; failures, and what was never recorded, do not."""
    pending, models = make("a", "b", "c")
    models.asked[0].settle(Output(b"1"), 10.001)
    pending.expire(11.0)
    models.asked[1].settle(Output(b"2"), 11.5)
    assert models.completed == []
    pending.recorded = True
    models.asked[2].settle(Output(b"3"), 11.6)
    assert models.completed == [(2, b"3")]
    assert models.concluded == [11.0]


def test_cancelling_forgets_what_is_still_out() -> None:
    """What has arrived needs no forgetting; cancelling twice is harmless."""
    pending, models = make("a", "b")
    models.asked[0].settle(Output(b"1"), 10.001)
    pending.cancel()
    pending.cancel()
    assert models.forgotten == [models.asked[1]]
    assert models.concluded == []


def test_another_model_may_be_asked_later() -> None:
    """A fallback comes after those the policy picked."""
    pending, models = make("a")
    pending.ask(("c",))
    assert pending.refs == ["a@1", "c@1"]
    assert pending.picked == 1
    assert len(models.asked) == 2


def test_every_output_goes_into_the_means() -> None:
    """Those in time and those that are late, by the version that said it; failures do not."""
    taken: list[tuple[str, bytes]] = []
    means = SimpleNamespace(add=lambda ref, output: taken.append((ref, output.raw)))
    pending, models = make("a", "b", "c", means=means)
    models.asked[0].settle(Output(b"1"), 10.001)
    models.asked[1].settle(Failure("model_error", "x"), 10.002)
    pending.expire(11.0)
    models.asked[2].settle(Output(b"3"), 11.5)
    assert taken == [("a@1", b"1"), ("c@1", b"3")]


def test_a_race_is_over_with_the_first_output() -> None:
    """Not with a failure, while the other may still say something."""
    pending, models = make("a")
    pending.hedge = Hedge(pending, 10.5, lambda pending, hedge: pending.ask(("b",)))
    pending.hedge.expire(10.5)
    pending.hedge.racing = True
    models.asked[1].settle(Failure("overload", "full"), 10.6)
    assert models.concluded == []
    pending.ask(("c",))
    models.asked[2].settle(Output(b"3"), 10.7)
    assert models.concluded == [10.7]


def test_a_query_that_is_answered_needs_no_hedge() -> None:
    """Its hedge is over with it, so that its moment passes without effect."""
    pending, models = make("a")
    hedge = pending.hedge = Hedge(pending, 10.5, lambda pending, hedge: None)
    models.asked[0].settle(Output(b"1"), 10.001)
    assert hedge.over


def test_notes_are_made_when_there_is_something_to_note() -> None:
    """And are the same ones from then on."""
    pending, _ = make("a")
    assert pending.notes is None
    pending.note().hedge = "replica"
    assert pending.note() is pending.notes
    assert pending.note().hedge == "replica"
