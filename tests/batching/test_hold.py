"""When an idle replica waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from batchers import Bench
from hypothesis import given
from hypothesis import strategies as st
from servers import closed_loop, open_loop

from skysail.batching.estimator import Estimator
from skysail.batching.hold import Hold


def forest(seed: int = 3) -> Callable[[int], float]:
    """A model of 3.5 ms and next to nothing for each row."""
    rng = Random(seed)
    return lambda rows: (0.0035 + 14e-6 * rows) * rng.uniform(0.95, 1.1)


def by_row(rows: int) -> float:
    """A model whose batches have no fixed cost."""
    return 2e-4 * rows


def estimator(fixed: float, per_row: float) -> Estimator:
    """An estimate of this line."""
    made = Estimator()
    made.fixed, made.per_row = fixed, per_row
    return made


def never(seconds: float, then: Callable[[], None]) -> asyncio.TimerHandle:
    """For decisions alone: no timer is set here."""
    raise AssertionError


def taught(returning: int, of: int, pace: float, line: Estimator) -> Hold:
    """A hold that has seen so many of a batch's rows come back, again and again, one every `pace`; the last batch has
    just been answered, at time 100.
    """
    hold = Hold(never)
    for n in range(51):
        now = 50.0 + n
        hold.answered(of, now, line)
        if n < 50:
            for came in range(returning):
                hold.came(now + pace * (came + 1))
    return hold


def test_it_waits_for_those_who_come_back() -> None:
    """All of a batch comes back within a fixed cost: with the first of them there, the rest is waited for."""
    line = estimator(0.0035, 1e-5)
    hold = taught(32, 32, 2e-5, line)
    assert hold.until(1, 100.0, line, 100.0001) == pytest.approx(100.0 + 0.0035)
    for came in range(32):
        hold.came(100.0001 + 1e-5 * came)
    assert hold.until(32, 100.0, line, 100.0005) == 100.0005


def test_it_waits_no_longer_than_it_is_worth() -> None:
    """Not for rows that come slowly, nor where many wait already, nor where the rows cost more than the batch."""
    line = estimator(0.0035, 1e-5)
    assert taught(2, 2, 0.001, line).until(1, 100.0, line, 100.0) > 100.0
    assert taught(2, 2, 0.001, line).until(4, 100.0, line, 100.0) == 100.0
    assert taught(32, 32, 2e-5, line).until(150, 100.0, line, 100.0) == 100.0
    steep = estimator(0.0035, 1e-3)
    assert taught(32, 32, 2e-5, steep).until(32, 100.0, steep, 100.0) == 100.0


def test_it_does_not_wait_for_what_is_not_to_be_expected() -> None:
    """Where none came back, where only a few did now and then, or when their time is over."""
    line = estimator(0.0035, 1e-5)
    assert taught(0, 32, 2e-5, line).until(4, 100.0, line, 100.0) == 100.0
    assert taught(32, 32, 2e-5, line).until(4, 100.0, line, 100.004) == 100.004
    hold, rng = Hold(never), Random(1)
    for n in range(200):
        hold.answered(4, float(n), line)
        for _ in range(rng.choice((0, 0, 0, 4))):
            hold.came(n + 0.0001)
    assert hold.until(2, 199.0, line, 199.0) == 199.0


@given(st.floats(0.0, 0.1), st.floats(0.0, 0.01), st.integers(1, 64), st.integers(1, 64), st.floats(1e-6, 0.01))
def test_a_hold_is_never_longer_than_what_it_may_save(
    fixed: float, per_row: float, rows: int, waiting: int, pace: float
) -> None:
    """Whatever was learned, nothing waits for longer than the fixed cost of a batch after the last answer."""
    line = estimator(fixed, per_row)
    assert taught(rows, rows, pace, line).until(waiting, 100.0, line, 100.0) <= 100.0 + fixed


def test_a_forced_hold_is_counted_from_the_oldest_row() -> None:
    """It asks nothing of the estimate."""
    hold, line = Hold(never, 0.002), estimator(0.0, 0.1)
    hold.answered(3, 10.0, line)
    assert hold.until(7, 10.5, line, 10.501) == pytest.approx(10.502)


# -- in a batcher


def sizes(bench: Bench, replica: int = 0) -> list[int]:
    """The rows of the batches that a replica was sent."""
    return [len(batch.calls) for batch in bench.wires[replica].batches]


def test_what_is_held_goes_together_when_the_time_is_over() -> None:
    """One timer for all of it, counted from the first; none afterwards, and those that come later have their own."""
    bench = Bench(hold=0.002)
    bench.ask()
    bench.turn()
    bench.pass_time(0.001)
    bench.ask()
    bench.turn()
    assert (sizes(bench), len(bench.armed)) == ([], 1)
    bench.pass_time(0.001)
    assert (sizes(bench), bench.armed) == ([2], [])
    bench.answer()
    bench.ask()
    bench.turn()
    assert (sizes(bench), len(bench.armed)) == ([2], 1)
    assert bench.batcher.statistics().held == 2


def test_a_full_batch_is_not_held() -> None:
    """Nor is the timer of those that waited for it left."""
    bench = Bench(cap=4, hold=0.002)
    for _ in range(3):
        bench.ask()
    bench.turn()
    assert (sizes(bench), len(bench.armed)) == ([], 1)
    bench.ask()
    bench.turn()
    assert (sizes(bench), bench.armed) == ([4], [])


def test_nothing_is_held_past_the_slack() -> None:
    """An urgent row takes all that wait with it, as late as its batch can still be in time."""
    bench = Bench(hold=0.005)
    bench.batcher.stations[0].estimator.add(1, 0.001, 0.0)
    bench.ask(within=0.02)
    bench.turn()
    bench.ask(within=0.004)
    bench.turn()
    bench.pass_time(0.00195)
    assert sizes(bench) == []
    bench.pass_time(0.0001)
    assert (sizes(bench), bench.armed) == ([2], [])


def test_a_hold_that_no_timer_can_keep_is_none() -> None:
    """With half a millisecond of slack left a row goes at once: the event loop's timers are coarser."""
    bench = Bench(hold=0.005)
    bench.ask(within=0.0004)
    bench.turn()
    assert (sizes(bench), bench.timers) == ([1], [])


def test_a_replica_that_is_lost_meanwhile_takes_nothing_along() -> None:
    """What was held is told; a timer that fires then finds nothing to do."""
    bench = Bench(hold=0.002)
    call = bench.ask()
    bench.turn()
    bench.batcher.lost(bench.batcher.stations[0], "died")
    assert call.code == "unavailable"
    bench.turn()
    bench.pass_time(0.01)
    assert sizes(bench) == []


def test_closing_leaves_no_timer() -> None:
    """What is held when its version goes is told so."""
    bench = Bench(hold=0.002)
    call = bench.ask()
    bench.turn()
    bench.batcher.close()
    assert (call.code, bench.armed) == ("unavailable", [])


# -- simulated servers


@pytest.mark.parametrize(("clients", "gain", "together"), [(8, 1.3, 8), (64, 1.3, 64), (256, 1.05, 140)])
def test_two_convoys_of_clients_become_one(clients: int, gain: float, together: int) -> None:
    """Clients that ask again when they are answered, and a model of fixed cost: one batch of all of them instead of two
    that alternate; of more than are worth waiting for, a larger one than half.
    """
    alone, held = closed_loop(clients, forest(), hold=0), closed_loop(clients, forest())
    assert held.rate >= gain * alone.rate
    assert held.mean < alone.mean
    assert sorted(held.batches)[len(held.batches) // 2] >= together


def test_without_a_fixed_cost_nothing_is_held() -> None:
    """The same clients, and a model that takes its time for each row."""
    held = closed_loop(64, by_row)
    assert held.held == 0
    assert held.rate == pytest.approx(closed_loop(64, by_row, hold=0).rate, rel=0.02)


@pytest.mark.parametrize("rate", [20.0, 100.0, 300.0, 1000.0, 5000.0])
def test_who_comes_at_random_is_not_kept_waiting(rate: float) -> None:
    """Queries that do not wait for one another: their mean latency is what it is without a hold, within 4 %."""
    alone, held = open_loop(rate, forest(), hold=0), open_loop(rate, forest())
    assert held.mean <= 1.04 * alone.mean


def test_a_lone_client_never_waits() -> None:
    """Whoever asks one query after the other has nobody to wait for."""
    held = closed_loop(1, forest())
    assert held.held == 0
    assert held.mean == pytest.approx(closed_loop(1, forest(), hold=0).mean, rel=0.01)


def test_clients_that_think_are_not_waited_for() -> None:
    """They come back later than a fixed cost after their answer."""
    alone = closed_loop(64, forest(), hold=0, pause=(0.02, 0.1))
    held = closed_loop(64, forest(), pause=(0.02, 0.1))
    assert held.mean <= 1.04 * alone.mean


def test_two_replicas_do_not_lose_by_it() -> None:
    """While another replica is idle nothing is held, and together they answer at least as many."""
    assert closed_loop(64, forest(), replicas=2).rate >= closed_loop(64, forest(), hold=0, replicas=2).rate


def test_a_forced_hold_makes_larger_batches_of_a_moderate_load() -> None:
    """Half a millisecond for any batch, at 2,000 rows a second: 2 ms of hold share it among 2.5 times as many."""
    alone = open_loop(2000.0, lambda rows: 5e-4, hold=0, lasting=4.0)
    held = open_loop(2000.0, lambda rows: 5e-4, hold=0.002, lasting=4.0)
    assert len(alone.batches) >= 2.5 * len(held.batches)
    assert held.mean < alone.mean + 0.002
