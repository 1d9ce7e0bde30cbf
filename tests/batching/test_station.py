from __future__ import annotations

import pytest

from skysail.batching.sizing import Aimd
from skysail.batching.station import Batch, Station
from skysail.calls import Call


class Wire:
    """A replica that keeps the batches it is sent."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def send(self, batch: Batch) -> None:
        self.batches.append(batch)


def batch(rows: int, sent: float) -> Batch:
    """So many rows on their way."""
    return Batch([Call(b"1", False, sent, sent + 1.0) for _ in range(rows)], sent)


def taught(seconds: float) -> Station:
    """A station whose batches of one row took so long each, up to time 10."""
    station = Station(Wire(), Aimd(8))
    station.ready = True
    for n in range(8):
        one = batch(1, 10.0 - (8 - n) * seconds)
        station.send(one, one.sent)
        station.done(one, one.sent + seconds, seconds)
    return station


def test_what_is_ahead_is_what_is_in_hand() -> None:
    """Nothing for an idle replica; else the typical time of its batches, less what has passed, and never below zero."""
    station = taught(0.1)
    assert station.ahead(10.0) == 0.0
    first, second = batch(1, 10.0), batch(1, 10.0)
    station.send(first, 10.0)
    station.send(second, 10.0)
    assert station.ahead(10.0) == pytest.approx(0.2)
    assert station.ahead(10.05) == pytest.approx(0.15)
    assert station.ahead(11.0) == 0.0
    station.done(first, 10.12, 0.1)
    assert station.ahead(10.12) == pytest.approx(0.1)


def test_it_knows_what_it_holds() -> None:
    """A call is held from when its batch is sent until that is done."""
    station, one, other = taught(0.1), batch(2, 10.0), batch(1, 10.0)
    station.send(one, 10.0)
    assert station.holds(one.calls[1])
    assert not station.holds(other.calls[0])
    assert station.done(one, 10.3, 0.1) == pytest.approx(0.3)
    assert not station.holds(one.calls[1])


@pytest.mark.parametrize(("busy", "trip", "depth"), [(0.0002, 0.0001, 2), (0.002, 0.0008, 2), (0.05, 0.0005, 1)])
def test_depth_hides_the_trip_of_a_fast_model(busy: float, trip: float, depth: int) -> None:
    """A model that is about as fast as its round trip gets a second batch in flight; a slow one a larger batch."""
    station = Station(Wire(), Aimd(8))
    station.ready = True
    for n in range(60):
        one = batch(1, float(n))
        station.send(one, one.sent)
        station.done(one, one.sent + busy + trip, busy)
    assert station.depth == depth
    station.send(batch(1, 100.0), 100.0)
    assert station.free == (depth == 2)


def test_a_fixed_cost_is_not_paid_twice_to_hide_a_shorter_trip() -> None:
    """A forest of 3 ms a batch with a frontend that is .9 ms late: two batches of half the rows would take longer."""
    station = Station(Wire(), Aimd(64))
    station.ready = True
    for n in range(60):
        one = batch(1 + n % 8, float(n))
        station.send(one, one.sent)
        busy = 0.003 + 0.00002 * len(one.calls)
        station.done(one, one.sent + busy + 0.0009, busy)
    assert station.depth == 1


def test_a_second_batch_in_flight_is_not_taken_back_for_hiding_the_trip() -> None:
    """While it is there no trip is seen; the one that was seen before stands."""
    station = Station(Wire(), Aimd(8))
    station.ready = True
    for n in range(20):
        one = batch(1, float(n))
        station.send(one, one.sent)
        station.done(one, one.sent + 0.0028, 0.002)
    assert station.depth == 2
    now = 100.0
    station.send(batch(1, now), now)
    for _ in range(60):
        station.send(batch(1, now), now)
        now += 0.002
        station.done(station.inflight[0], now, 0.002)
        assert station.depth == 2
