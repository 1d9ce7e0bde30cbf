"""What waits to be written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from skysail.feedback.buffer import Buffer, LedgerLimits
from skysail.feedback.records import decode_decision, encode_decision
from skysail.stores.base import Completion, ObservationWrite
from skysail.types import Decision, Observation

MakeDecision = Callable[..., Decision]
PREFIX = "00-000001-"


@pytest.fixture
def buffer() -> Buffer:
    """An empty buffer of the first boot."""
    return Buffer(LedgerLimits(), prefix=PREFIX)


def name(counter: int) -> str:
    """The id of a decision of this boot."""
    return f"{PREFIX}{counter:08x}"


def late(counter: int, output: bytes = b"8") -> Completion:
    """A late output of the second model."""
    return Completion(name(counter), 1, output, None, 30.0)


def observed(counter: int) -> ObservationWrite:
    """An observation of a decision."""
    return ObservationWrite(Observation(name(counter), b"1", None, 0.0), ())


def ignore(outcome: object) -> None:
    """Nobody listens."""


def test_a_decision_is_found_at_every_stage(buffer: Buffer, make_decision: MakeDecision) -> None:
    """Waiting, in the flight and written: a decision is the same all the way."""
    buffer.record(make_decision(name(1)))
    stages = [buffer.find(name(1))]
    buffer.take()
    stages.append(buffer.find(name(1)))
    buffer.landed()
    stages.append(buffer.find(name(1)))
    assert stages == [make_decision(name(1))] * 3
    assert buffer.find(name(2)) is None


@pytest.mark.parametrize("text", ["", "zz", PREFIX, PREFIX + "zzzzzzzz", PREFIX + "1", "01-000001-00000001"])
def test_no_other_id_is_found(buffer: Buffer, make_decision: MakeDecision, text: str) -> None:
    """What is not an id of this boot is not found, whatever it looks like."""
    buffer.record(make_decision(name(1)))
    assert buffer.find(text) is None


@pytest.mark.parametrize("stage", range(3))
def test_a_late_output_reaches_a_decision_at_every_stage(
    buffer: Buffer, make_decision: MakeDecision, stage: int
) -> None:
    """A late output amends what is in memory; it is written on its own exactly where the record has left already."""
    buffer.record(make_decision(name(1)))
    steps = (buffer.take, buffer.landed)
    for step in steps[:stage]:
        step()
    buffer.complete(late(1))
    found = buffer.find(name(1))
    assert found is not None
    assert (found.outputs, found.failures) == ([b"7", b"8"], [None, None])
    assert len(buffer.completions) == (stage >= 1)
    if stage < 1:
        assert decode_decision(buffer.take().records[1]).outputs == [b"7", b"8"]


def test_a_late_output_of_an_old_decision_is_kept_until_it_is_written(buffer: Buffer) -> None:
    """One of a decision no longer in memory is found by its id, in the queue and in the flight."""
    buffer.complete(late(5))
    assert buffer.late(name(5)) == [late(5)]
    buffer.take()
    assert buffer.late(name(5)) == [late(5)]
    buffer.landed()
    assert buffer.late(name(5)) == []


def test_a_flight_takes_everything_but_more_than_a_group(make_decision: MakeDecision) -> None:
    """All decisions and late outputs go with the first group of observations; the rest of those come later."""
    buffer = Buffer(LedgerLimits(group=2), prefix=PREFIX)
    for n in (3, 1, 2):
        buffer.record(make_decision(name(n)))
        buffer.observe(observed(n), ignore)
    buffer.complete(late(9))
    writes = buffer.take().writes(0, 1, 5.0)
    assert list(writes.blocks[0].records) == [1, 2, 3]
    assert writes.completions == [late(9)]
    assert writes.observations == [observed(3), observed(1)]
    assert not buffer.empty
    buffer.landed()
    assert buffer.take().writes(0, 1, 5.0).observations == [observed(2)]
    assert buffer.empty


def test_what_was_not_written_waits_again(buffer: Buffer, make_decision: MakeDecision) -> None:
    """A flight that failed goes back before what came since; all observations are refused, in their order."""
    told: list[str] = []
    buffer.record(make_decision(name(1)))
    buffer.observe(observed(1), lambda *_: told.append("first"))
    buffer.complete(late(9))
    buffer.take()
    buffer.record(make_decision(name(2)))
    buffer.observe(observed(2), lambda *_: told.append("second"))
    buffer.complete(late(10))
    for done in buffer.returned():
        done(False, {})
    assert told == ["first", "second"]
    flight = buffer.take()
    assert list(flight.records) == [1, 2]
    assert flight.completions == [late(9), late(10)]
    assert flight.observations == []


def test_a_decision_that_comes_with_its_observation_is_found(buffer: Buffer, make_decision: MakeDecision) -> None:
    """It can be found before it is written, and no longer once writing it has failed."""
    record = encode_decision(make_decision(name(7)))
    buffer.observe(ObservationWrite(Observation(name(7), b"1", None, 0.0), (), record), ignore)
    assert buffer.find(name(7)) is not None
    buffer.take()
    buffer.returned()
    assert buffer.find(name(7)) is None


def test_too_much_drops_the_oldest_but_what_is_observed(make_decision: MakeDecision) -> None:
    """Decisions beyond the bound are given up and counted, the oldest first; one with feedback in the queue stays."""
    buffer = Buffer(LedgerLimits(waiting=40_000), prefix=PREFIX)
    buffer.observe(observed(0), ignore)
    for n in range(1000):
        buffer.record(make_decision(name(n)))
    assert buffer.waiting_bytes <= 40_000
    assert buffer.waiting_bytes == sum(map(len, buffer.waiting.values()))
    assert buffer.dropped == 1000 - len(buffer.waiting) > 0
    kept = list(buffer.waiting)
    assert kept == [0, *range(1000 - len(kept) + 1, 1000)]
