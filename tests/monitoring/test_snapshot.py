from __future__ import annotations

import json
from unittest.mock import Mock

import pytest

from skysail.batching.station import Station
from skysail.monitoring.snapshot import _learned, memory_bytes, why
from skysail.selection.losses import ZeroOne
from skysail.types import Cover, Decision, Distribution, Notes, Observation


def make(**changes: object) -> Decision:
    """A decision of two models, one of them a straggler."""
    decision = Decision(
        id="00-000001-00000000",
        app="digits",
        policy="adahedge",
        context="alice",
        time=1.0,
        digest=b"\x01\x02",
        distribution=Distribution(("a", "b"), (0.75, 0.25), 0.5),
        asked=["a@2", "b@1"],
        propensities=(1.0, 1.0),
        outputs=[b"[1, 2]", None],
        failures=[None, "missing"],
        latencies=[1.5, None],
        answer=b"[1, 2]",
        confidence=0.75,
        agreement=0.5,
        default=False,
        reason=None,
        fallback=False,
        latency=20.0,
    )
    for name, value in changes.items():
        setattr(decision, name, value)
    return decision


def part(model: str, **told: object) -> dict[str, object]:
    """What is told of a model of which nothing is out of the ordinary, but for what is given."""
    usual = {"asked": "picked", "propensity": 1.0, "output": None, "late": False, "failure": None, "latency_ms": None}
    return {"model": model, **usual, "mean": None, "loss": None, **told}


def test_why_tells_who_was_asked_and_what_they_said() -> None:
    """Each model with its version, propensity, output, failure and latency; and the weights of that moment."""
    told = why(make(), None)
    assert told["weights"] == {"a": 0.75, "b": 0.25}
    assert told["models"] == [
        part("a@2", output=[1, 2], latency_ms=1.5),
        part("b@1", failure="missing"),
    ]
    assert (told["weights_now"], told["left_out"], told["hedge"], told["policy_raised"]) == (None, {}, None, None)
    assert told["feedback"] is None
    assert json.loads(json.dumps(told)) == told


def test_why_tells_what_feedback_said() -> None:
    """The label as JSON, or the reward."""
    told = why(make(), Observation("00-000001-00000000", b'"seven"', None, 2.0))
    assert told["feedback"] == {"label": "seven", "reward": None, "time": 2.0}


def test_why_tells_what_feedback_did() -> None:
    """Each model's loss by the application's loss, and what the policy thinks of the same models by now."""
    trust = Distribution(("a", "b"), (0.9, 0.1), 0.5)
    decision = make(outputs=[b"1", b"2"], failures=[None, None], latencies=[1.5, 3.0])
    told = why(decision, Observation(decision.id, b"1", None, 2.0), loss=ZeroOne(), trust=trust)
    assert [model["loss"] for model in told["models"]] == [0.0, 1.0]
    assert told["weights_now"] == {"a": 0.9, "b": 0.1}


def test_what_came_after_the_feedback_was_not_judged() -> None:
    """An observation is judged by what is there when it commits; a later output is told, with no loss."""
    decision = make(outputs=[b"1", b"2"], failures=[None, None], latencies=[1.5, 5000.0])
    before, after = (
        why(decision, Observation(decision.id, b"1", None, time), loss=ZeroOne())["models"][1] for time in (2.0, 9.0)
    )
    assert (before["output"], before["late"], before["loss"]) == (2, True, None)
    assert (after["output"], after["late"], after["loss"]) == (2, True, 1.0)


def test_why_tells_what_was_out_of_the_ordinary() -> None:
    """Who was left out, what stood in for whom, who was asked as well and why, and where the policy raised."""
    notes = Notes(late={"c": 40.0}, means={"b": b"0.5"}, hedge="model", raised="combine")
    told = why(make(notes=notes, propensities=(1.0, 0.0), fallback=True), None)
    assert (told["left_out"], told["hedge"], told["policy_raised"]) == ({"c": 40.0}, "model", "combine")
    assert [model["asked"] for model in told["models"]] == ["picked", "hedge"]
    assert told["models"][1]["mean"] == 0.5
    assert why(make(propensities=(1.0, 0.0), fallback=True), None)["models"][1]["asked"] == "fallback"


def test_an_input_is_told_only_where_it_was_kept() -> None:
    """By default a decision has a digest; bytes that are no text are shown escaped."""
    assert why(make(), None)["input"] is None
    assert why(make(input=b"[1]\xff"), None)["input"] == "[1]\\xff"
    assert why(make(), None)["input_digest"] == "0102"


def test_a_replica_tells_what_it_has_learned_of_its_batches() -> None:
    """Nothing before the first; then the line's parts, in milliseconds, and how many rows it may be given."""
    station = Station(Mock(), Mock(cap=7))
    assert _learned(station) is None
    for n in range(64):
        station.estimator.add(1 + n % 8, 0.002 + 0.001 * (1 + n % 8), 1.0)
    line = _learned(station)
    assert line is not None
    assert line["cap"] == 7
    assert line["fixed_ms"] + 4 * line["row_ms"] == pytest.approx(6.0, rel=0.1)
    assert line["band_ms"] >= 0


def test_memory_is_a_plausible_number_of_bytes() -> None:
    """More than a bare interpreter, less than the machine."""
    assert 5 << 20 < memory_bytes() < 1 << 40


def test_why_tells_what_was_to_hold_the_label() -> None:
    """The set or the interval, and whether it held; nothing where confidence is not calibrated, or not yet."""
    assert why(make(), None)["conformal"] is None
    cover = Cover("labels", 0.75, (b"7", b"8", b"9"), 0.6, 0.9, (0.0, 0.0), 2)
    told = why(make(cover=cover), Observation("x", b"8", None, 2.0))["conformal"]
    assert told == {"policy_confidence": 0.75, "level": 0.9, "set": [7, 8], "interval": None, "covered": True}
    assert why(make(cover=cover), Observation("x", None, 1.0, 2.0))["conformal"]["covered"] is None
    interval = Cover("numbers", 0.5, (b"7",), 0.6, 0.9, (0.0, 0.0), None, (6.0, 8.0))
    told = why(make(cover=interval), Observation("x", b"9", None, 2.0))["conformal"]
    assert (told["interval"], told["covered"]) == ((6.0, 8.0), False)
    assert why(make(cover=Cover("labels", None, ())), None)["conformal"]["set"] is None
