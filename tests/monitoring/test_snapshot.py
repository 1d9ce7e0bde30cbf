from __future__ import annotations

import json

from skysail.monitoring.snapshot import memory_bytes, why
from skysail.types import Decision, Distribution, Observation


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


def test_why_tells_who_was_asked_and_what_they_said() -> None:
    """Each model with its version, propensity, output, failure and latency; and the weights of that moment."""
    told = why(make(), None)
    assert told["weights"] == {"a": 0.75, "b": 0.25}
    assert told["models"] == [
        {"model": "a@2", "propensity": 1.0, "output": [1, 2], "failure": None, "latency_ms": 1.5},
        {"model": "b@1", "propensity": 1.0, "output": None, "failure": "missing", "latency_ms": None},
    ]
    assert told["feedback"] is None
    assert json.loads(json.dumps(told)) == told


def test_why_tells_what_feedback_said() -> None:
    """The label as JSON, or the reward."""
    told = why(make(), Observation("00-000001-00000000", b'"seven"', None, 2.0))
    assert told["feedback"] == {"label": "seven", "reward": None, "time": 2.0}


def test_an_input_is_told_only_where_it_was_kept() -> None:
    """By default a decision has a digest; bytes that are no text are shown escaped."""
    assert why(make(), None)["input"] is None
    assert why(make(input=b"[1]\xff"), None)["input"] == "[1]\\xff"
    assert why(make(), None)["input_digest"] == "0102"


def test_memory_is_a_plausible_number_of_bytes() -> None:
    """More than a bare interpreter, less than the machine."""
    assert 5 << 20 < memory_bytes() < 1 << 40
