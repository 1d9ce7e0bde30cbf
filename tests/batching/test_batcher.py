"""The queue of a model version: order, batching, refusals, losses."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from batchers import Bench, Caller, Wire
from hypothesis import given
from hypothesis import strategies as st

from skysail.batching.sizing import Aimd
from skysail.batching.station import Batch, Station
from skysail.types import Failure, Outcome, Output


def test_a_lone_call_leaves_in_the_same_turn() -> None:
    """An idle replica takes what is there now."""
    bench = Bench()
    bench.ask()
    bench.turn()
    assert [len(b.calls) for b in bench.wires[0].batches] == [1]


def test_calls_of_one_turn_go_together() -> None:
    """Sixty-four calls that arrive in one turn of the loop are one batch."""
    bench = Bench()
    for _ in range(64):
        bench.ask()
    bench.turn()
    assert [len(b.calls) for b in bench.wires[0].batches] == [64]


def test_calls_gather_while_the_replica_is_busy() -> None:
    """What comes during a batch makes up the next one."""
    bench = Bench()
    bench.batcher.stations[0].depth = 1
    bench.ask()
    bench.turn()
    later = [bench.ask() for _ in range(3)]
    bench.turn()
    assert len(bench.wires[0].batches) == 1
    bench.answer()
    bench.turn()
    assert bench.wires[0].batches[1].calls == later


def test_the_next_batch_is_sent_before_the_last_is_settled() -> None:
    """Settling takes a while, in which the replica would have nothing to do."""

    class Watcher(Caller):
        __slots__ = ("sent",)

        def settle(self, outcome: Outcome, now: float) -> None:
            super().settle(outcome, now)
            self.sent = [len(batch.calls) for batch in bench.wires[0].batches]

    bench = Bench()
    bench.batcher.stations[0].depth = 1
    now = bench.clock.monotonic()
    watcher = Watcher(b"0", now, now + 60.0)
    bench.batcher.ask(watcher)
    bench.turn()
    bench.ask()
    bench.ask()
    bench.turn()
    bench.answer()
    assert watcher.sent == [1, 2]


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=40), st.integers(1, 8))
def test_most_urgent_first(limits: list[float], cap: int) -> None:
    """Batches leave in the order of deadlines, whatever the order of arrival."""
    bench = Bench(cap=cap)
    station = bench.batcher.stations[0]
    station.ready = False
    other = Station(Wire(), Aimd(1))
    other.ready, other.inflight, other.depth = True, [Batch([], 0.0)], 1
    bench.batcher.stations.append(other)
    for limit in limits:
        bench.ask(within=limit)
    bench.turn()
    station.ready, station.depth = True, 10_000
    bench.batcher.wake()
    bench.turn()
    left = [call.deadline for batch in bench.wires[0].batches for call in batch.calls]
    assert left == sorted(left)
    assert len(left) == len(limits)


def test_each_caller_gets_its_own_answer() -> None:
    """Batches scatter to the right callers, over several replicas."""
    bench = Bench(replicas=3, cap=5)
    rng = Random(7)
    calls = [bench.ask(str(i).encode(), within=60.0) for i in range(100)]
    while not all(call.outcome for call in calls):
        bench.turn()
        bench.answer(rng.choice([i for i, s in enumerate(bench.batcher.stations) if s.inflight]))
    assert [call.outcome.raw for call in calls if isinstance(call.outcome, Output)] == [
        str(i).encode() for i in range(100)
    ]
    assert all(call.times == 1 for call in calls)


def test_a_forgotten_call_is_not_run_and_harms_nobody() -> None:
    """One caller of a batch may leave; the others are answered."""
    bench = Bench()
    gone, stays = bench.ask(b"gone"), bench.ask(b"stays")
    bench.batcher.forget(gone)
    bench.turn()
    assert [c.row for c in bench.wires[0].batches[0].calls] == [b"stays"]
    bench.answer()
    assert stays.code == "output"
    assert gone.times == 0


def test_no_replica_is_unavailable_at_once() -> None:
    """Without a ready replica a call does not wait for its deadline."""
    bench = Bench(replicas=0)
    assert bench.ask().code == "unavailable"


def test_too_much_work_ahead_is_overload_at_once() -> None:
    """Admission compares the modelled wait with the deadline, and refuses without queueing."""
    bench = Bench(cap=4)
    bench.teach(4, 0.008)
    bench.batcher.stations[0].depth = 1
    codes = []
    for _ in range(40):
        codes.append(bench.ask(within=0.02).outcome)
        bench.turn()
    refused = [c for c in codes if isinstance(c, Failure)]
    assert {c.code for c in refused} == {"overload"}
    assert 20 < len(refused) < 36
    assert bench.batcher.statistics().queued == 40 - len(refused) - 1


def test_nothing_is_refused_while_a_replica_is_idle() -> None:
    """However slow the estimate, an idle replica is asked once it has been quiet for a second."""
    bench = Bench(cap=4)
    bench.teach(1, 0.5)
    assert bench.ask(within=0.02).outcome is None
    bench.turn()
    bench.clock.advance(2.0)
    call = bench.ask(within=0.02)
    bench.turn()
    assert call.outcome is None
    assert call in bench.wires[0].batches[-1].calls


def test_a_bad_moment_is_over_with_the_first_good_batch() -> None:
    """Slow batches at the start (a cold cache, a busy machine) do not keep an idle replica from being asked."""
    bench = Bench(cap=4)
    bench.teach(1, 0.08, times=20)
    assert bench.ask(within=0.05).outcome is None
    bench.turn()
    bench.clock.advance(0.3)
    probe = bench.ask(within=0.05)
    bench.turn()
    bench.answer(seconds=0.001)
    assert probe.code == "output"
    for _ in range(5):
        bench.clock.advance(0.01)
        call = bench.ask(within=0.05)
        bench.turn()
        bench.answer(seconds=0.001)
        assert call.code == "output"


def test_a_hopeless_call_is_dropped_with_the_reason_deadline() -> None:
    """A row that even an idle replica could not answer in time is answered at once and never run."""
    bench = Bench(cap=4)
    bench.teach(1, 0.05)
    sent = len(bench.wires[0].batches)
    call = bench.ask(within=0.02)
    bench.turn()
    assert call.code == "deadline"
    assert len(bench.wires[0].batches) == sent


def test_an_expired_call_in_the_queue_is_answered_never_dropped() -> None:
    """A call whose deadline passes while it waits is settled when a replica is free."""
    bench = Bench(cap=1)
    bench.batcher.stations[0].depth = 1
    bench.ask()
    bench.turn()
    waiting = bench.ask(within=0.005)
    bench.answer(seconds=0.01)
    bench.turn()
    assert waiting.code == "overload"


def test_one_hiccup_does_not_refuse_for_ever() -> None:
    """Estimates age out: ten seconds after a stall everything is admitted again."""
    bench = Bench(cap=1)
    bench.teach(1, 3.0, times=6)
    bench.clock.advance(11.0)
    bench.batcher.stations[0].depth = 1
    bench.ask(within=0.02)
    bench.turn()
    assert bench.ask(within=0.02).outcome is None


def test_a_lost_replicas_batch_goes_to_another() -> None:
    """Work in the hands of a worker that dies is done by the other one."""
    bench = Bench(replicas=2, cap=2)
    calls = [bench.ask(str(i).encode()) for i in range(2)]
    bench.turn()
    assert len(bench.wires[0].batches) == 1
    bench.batcher.lost(bench.batcher.stations[0], "died")
    bench.turn()
    bench.answer(1)
    assert [call.code for call in calls] == ["output", "output"]


def test_the_last_replica_lost_answers_all_that_wait() -> None:
    """With no replica left, what waits is unavailable at once, in flight or queued."""
    bench = Bench(cap=1)
    bench.batcher.stations[0].depth = 1
    flying, queued = bench.ask(b"a"), bench.ask(b"b")
    bench.turn()
    bench.batcher.lost(bench.batcher.stations[0], "the worker died")
    assert [flying.code, queued.code] == ["unavailable", "unavailable"]


def test_who_waited_behind_a_deadly_row_is_innocent() -> None:
    """Of two batches in a dying worker's hands only the first had begun: the rows of the second are not blamed."""
    bench = Bench(cap=1)
    station = bench.batcher.stations[0]
    station.depth = 2
    for _ in range(3):
        station.ready = True
        bench.ask(b"deadly", within=5.0)
        bench.ask(b"bystander", within=10.0)
        bench.turn()
        assert [batch.calls[0].row for batch in station.inflight] == [b"deadly", b"bystander"]
        bench.batcher.lost(station, "died")
    station.ready = True
    assert bench.ask(b"deadly").code == "model_error"
    bystander = bench.ask(b"bystander")
    bench.turn()
    bench.answer()
    assert bystander.code == "output"


def test_a_deadly_row_is_tried_alone_and_then_quarantined() -> None:
    """The row that kills three workers is kept away; its neighbours are answered; a minute later it gets another
    chance.
    """
    bench = Bench(replicas=4, cap=8)
    bad = bench.ask(b"bad", within=60.0)
    good = [bench.ask(str(i).encode(), within=60.0) for i in range(3)]
    for _ in range(40):
        bench.turn()
        for i, station in enumerate(bench.batcher.stations):
            if station.ready and station.inflight:
                if any(call.row == b"bad" for batch in station.inflight for call in batch.calls):
                    bench.batcher.lost(station, "died")
                else:
                    bench.answer(i)
    assert bad.code == "model_error"
    assert [call.code for call in good] == ["output"] * 3
    assert sum(not station.ready for station in bench.batcher.stations) == 3
    for station in bench.batcher.stations:
        station.ready = True
    assert bench.ask(b"bad").code == "model_error"
    bench.clock.advance(61.0)
    assert bench.ask(b"bad").outcome is None


def test_a_hurried_call_is_answered_once() -> None:
    """Moving a call up leaves its old place in the queue without effect."""
    bench = Bench(cap=1)
    bench.batcher.stations[0].depth = 1
    bench.ask()
    bench.turn()
    bench.ask(b"first", within=5.0)
    urgent = bench.ask(b"urgent", within=10.0)
    bench.batcher.hurry(urgent, bench.clock.monotonic() + 1.0)
    for _ in range(3):
        bench.answer()
        bench.turn()
    assert urgent.times == 1
    assert [b.calls[0].row for b in bench.wires[0].batches] == [b"1", b"urgent", b"first"]


@pytest.mark.parametrize("depth", [1, 2])
def test_the_budget_is_shared_with_what_is_in_flight(depth: int) -> None:
    """A query waits for the batches in flight and then for its own, all within the objective."""
    batcher = Bench(slo=0.03).batcher
    assert batcher.budget(depth) * (1 + depth) < 0.03


# -- hedging


def stalled(replicas: int = 2) -> tuple[Bench, Caller]:
    """A call in one replica's hands, and the others idle."""
    bench = Bench(replicas=replicas)
    call = bench.ask()
    bench.turn()
    return bench, call


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_replicas_the_first_is_heard(first: int) -> None:
    """A hedged call is settled once, whoever answers first; the hedge won if that was the second replica."""
    bench, call = stalled()
    twin = bench.batcher.hedge(call)
    assert twin is not None
    assert [len(wire.batches) for wire in bench.wires] == [1, 1]
    bench.answer(first)
    assert (call.times, call.code, twin.won) == (1, "output", first == 1)
    bench.answer(1 - first)
    assert (call.times, twin.won) == (1, first == 1)
    assert bench.batcher.idle


def test_a_call_that_waits_is_not_hedged() -> None:
    """All replicas are busy: in the queue twice it would be run twice in vain. Nor is one whose replica is alone."""
    bench = Bench(replicas=1, cap=1)
    bench.batcher.stations[0].depth = 1
    taken, waits = bench.ask(), bench.ask()
    bench.turn()
    assert bench.batcher.hedge(taken) is None
    assert bench.batcher.hedge(waits) is None
    assert len(bench.wires[0].batches) == 1


def test_a_third_replica_is_not_asked() -> None:
    """Whoever hedges the same call again shares the hedge there is; no replica runs it twice."""
    bench, call = stalled(replicas=3)
    assert bench.batcher.hedge(call) is bench.batcher.hedge(call) is not None
    assert [len(wire.batches) for wire in bench.wires] == [1, 1, 0]


def test_after_a_failure_the_other_replica_may_do_better() -> None:
    """The first failure is passed over, a second one is the outcome; what is wrong with the row is wrong anywhere."""
    for outcomes, code in (
        ([Failure("model_error", "x"), Output(b"1")], "output"),
        ([Failure("model_error", "x"), Failure("model_error", "y")], "model_error"),
        ([Failure("invalid_input", "x"), Output(b"1")], "invalid_input"),
    ):
        bench, call = stalled()
        assert bench.batcher.hedge(call) is not None
        for station, outcome in zip(bench.batcher.stations, outcomes, strict=True):
            bench.batcher.answered(station, station.inflight[0], [outcome], 0.001, 0.001)
        assert (call.code, call.times) == (code, 1)


def test_a_hedged_call_survives_both_replicas() -> None:
    """One lost: the other has it in hand still, and it is not queued again. Both lost: it is."""
    bench, call = stalled(replicas=3)
    assert bench.batcher.hedge(call) is not None
    bench.batcher.lost(bench.batcher.stations[0], "died")
    bench.turn()
    assert len(bench.wires[2].batches) == 0
    bench.batcher.lost(bench.batcher.stations[1], "died")
    bench.turn()
    bench.answer(2)
    assert (call.code, call.times) == ("output", 1)


def test_a_row_over_which_a_worker_died_is_not_spread() -> None:
    """A second replica is not asked while there are suspects."""
    bench = Bench(replicas=3, cap=1)
    call = bench.ask(b"deadly")
    bench.turn()
    bench.batcher.lost(bench.batcher.stations[0], "died")
    bench.turn()
    assert bench.batcher.hedge(call) is None


def test_the_p95_is_of_first_tries_alone() -> None:
    """Nothing is known before there were enough, nor where nobody watches; the tries of hedges do not count."""
    bench = Bench(replicas=2)
    assert bench.batcher.p95 == inf
    bench.batcher.watch(on=True)
    for n in range(64):
        call = bench.ask(within=60.0)
        bench.turn()
        bench.clock.advance(0.002 if n % 10 else 0.02)
        assert bench.batcher.hedge(call) is not None
        bench.answer(0)
        bench.answer(1, seconds=0.5)
    assert bench.batcher.p95 == pytest.approx(0.021)
    bench.batcher.watch(on=False)
    assert bench.batcher.p95 == inf


# -- the expected wait


def test_an_idle_replica_is_taken_at_its_best() -> None:
    """0 while nothing is known; then the best of late, however slow the others were; and again 0 when that is old."""
    bench = Bench(cap=1)
    assert bench.batcher.wait(bench.clock.monotonic()) == 0.0
    bench.teach(1, 0.05)
    bench.teach(1, 0.004, times=1)
    bench.teach(1, 0.05)
    assert bench.batcher.wait(bench.clock.monotonic()) == pytest.approx(0.004)
    bench.clock.advance(10.1)
    assert bench.batcher.wait(bench.clock.monotonic()) == 0.0


def test_without_a_replica_the_wait_is_for_ever() -> None:
    """So it is for those behind the first batch of a replica that nothing is known of."""
    bench = Bench(replicas=0)
    assert bench.batcher.wait(0.0) == inf
    bench = Bench()
    bench.ask()
    bench.turn()
    assert bench.batcher.wait(bench.clock.monotonic()) == inf


def test_the_wait_is_that_of_the_queue_as_it_is() -> None:
    """It grows with each row that waits, shrinks as time passes, and is what becomes of the row, within a quarter."""
    bench = Bench(cap=4, slo=0.2)
    for rows in (1, 2, 4, 4, 2, 1, 4, 1):
        bench.teach(rows, 0.002 + 0.002 * rows, times=2)
    bench.batcher.stations[0].depth = 1
    waits = []
    for _ in range(10):
        waits.append(bench.batcher.wait(bench.clock.monotonic()))
        last = bench.ask(within=60.0)
        bench.turn()
    assert waits == sorted(waits)
    started, behind = bench.clock.monotonic(), bench.batcher.wait(bench.clock.monotonic())
    bench.clock.advance(0.001)
    assert bench.batcher.wait(bench.clock.monotonic()) < behind
    while last.outcome is None:
        bench.answer(seconds=0.002 + 0.002 * len(bench.batcher.stations[0].inflight[0].calls))
        bench.turn()
    assert last.settled_at - started <= waits[-1] <= 1.4 * (last.settled_at - started)


def test_more_replicas_work_a_queue_off_sooner() -> None:
    """Two replicas of the same pace halve what the queue costs those behind it."""
    waits = []
    for replicas in (1, 2):
        bench = Bench(replicas=replicas, cap=1)
        for _ in range(8):
            for _ in range(replicas):
                bench.ask(within=60.0)
            bench.turn()
            bench.clock.advance(0.01)
            for busy in range(replicas):
                bench.answer(busy, seconds=0.0)
        for station in bench.batcher.stations:
            station.depth = 1
        for _ in range(20 + replicas):
            bench.ask(within=60.0)
            bench.turn()
        waits.append(bench.batcher.wait(bench.clock.monotonic()))
    assert waits[1] < 0.65 * waits[0]


@given(st.integers(0, 40), st.floats(0.0, 0.2), st.booleans())
def test_full_says_what_ask_would_do(waiting: int, limit: float, busy: bool) -> None:
    """Who is turned away beforehand would have been refused, and nobody else; counted as the refusal is."""
    bench = Bench(cap=2)
    bench.teach(2, 0.02)
    if busy:
        bench.ask(within=9.0)
        bench.turn()
    for n in range(waiting):
        bench.ask(b"%d" % n, within=9.0)
    now = bench.clock.monotonic()
    full = bench.batcher.full(now, now + limit)
    call = bench.ask(b"x", within=limit)
    assert full == (call.over and call.code == "overload")
    if full:
        bench.batcher.turn_away()
        assert bench.batcher.statistics().failures["overload"] == 2


def test_a_turn_that_brings_more_than_free_replicas_take_is_admitted_by_the_modelled_wait() -> None:
    """A replica that will be given a full batch at the end of this turn is not idle for those behind."""
    bench = Bench(cap=2)
    bench.teach(2, 0.006)
    calls = [bench.ask(b"%d" % n) for n in range(100)]
    refused = [call.code for call in calls if call.over]
    assert set(refused) == {"overload"}
    assert 2 <= len(calls) - len(refused) <= 8
    for _ in range(5):
        bench.turn()
        if bench.batcher.stations[0].inflight:
            bench.answer(seconds=0.006)
    assert sum(call.code == "output" for call in calls) >= 4


def test_a_frontend_that_is_late_to_hear_does_not_shrink_batches() -> None:
    """In an overload the event loop may take longer than the budget to come round; smaller batches would not mend it,
    and cost the model its rate.
    """
    bench = Bench(cap=8)
    station = bench.batcher.stations[0]
    for _ in range(50):
        for _ in range(8):
            bench.ask(within=60.0)
        bench.turn()
        bench.answer(seconds=0.002, lag=0.05)
    assert station.sizing.cap == 8
    for _ in range(5):
        for _ in range(8):
            bench.ask(within=60.0)
        bench.turn()
        bench.answer(seconds=0.05)
    assert station.sizing.cap < 8


def test_what_would_be_late_does_not_take_the_place_of_what_would_not() -> None:
    """With more waiting than is done in time, an idle replica is not given the rows that are nearly due: each batch of
    them would be late, and so would the next.
    """
    bench = Bench(cap=4, slo=0.2)
    bench.teach(4, 0.01)
    old = [bench.ask(within=0.02) for _ in range(4)]
    bench.turn()
    late = [bench.ask(within=0.015) for _ in range(2)]
    fresh = [bench.ask(within=0.03) for _ in range(2)]
    bench.answer(seconds=0.01)
    bench.turn()
    assert [call.code for call in old] == ["output"] * 4
    assert {call.code for call in late} == {"overload"}
    bench.answer(seconds=0.01)
    assert [call.code for call in fresh] == ["output"] * 2
