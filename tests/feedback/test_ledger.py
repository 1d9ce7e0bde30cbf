"""The ledger: nothing acknowledged is lost, nothing counts twice, and nobody waits for the disk who need not."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
from ledgers import KEY, QUICK, Trick, feedback, name, observe, running, until, written

from skysail.config.schema import LedgerConfig
from skysail.errors import StoreError
from skysail.feedback.buffer import LedgerLimits
from skysail.feedback.ledger import Ledger
from skysail.feedback.records import encode_decision
from skysail.stores.base import Add, ObservationWrite
from skysail.stores.memory import MemoryStore
from skysail.stores.sqlite import SQLiteStore
from skysail.testing.clock import ManualClock
from skysail.testing.loop import run
from skysail.types import Decision, State

MakeDecision = Callable[..., Decision]


def test_decisions_are_written_together_and_in_time(make_decision: MakeDecision, trick: Trick) -> None:
    """Decisions of one moment are one transaction, begun 50 ms after the first of them."""
    clock = ManualClock()

    async def main() -> None:
        async with Ledger(trick, clock, LedgerConfig()) as ledger:  # type: ignore[arg-type]
            started = clock.monotonic()
            for n in range(300):
                ledger.record(make_decision(name(n)))
            trick.gate.clear()
            await asyncio.sleep(0.049)
            assert ledger.statistics().pending == 300
            assert ledger._timer is not None
            await asyncio.sleep(0.001)
            assert ledger._timer is None
            assert clock.monotonic() - started < 0.051
            trick.gate.set()

    run(main(), clock)
    assert len(trick.transactions) == 1


def test_an_idle_ledger_does_nothing(make_decision: MakeDecision, trick: Trick) -> None:
    """Once everything is written no timer is left, and none is set before there is something to write."""

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            assert ledger._timer is None
            ledger.record(make_decision(name(0)))
            await written(ledger)
            assert ledger._timer is None
            assert len(trick.transactions) == 1

    asyncio.run(main())


def test_an_observation_is_committed_with_its_decision(make_decision: MakeDecision, trick: Trick) -> None:
    """A decision still in the buffer goes into the very transaction of its observation, which waits for no more."""

    async def main() -> None:
        async with running(trick, LedgerLimits(flush=3600.0)) as ledger:  # type: ignore[arg-type]
            ledger.record(make_decision(name(0)))
            assert await observe(ledger, feedback(0)) is True
            (writes,) = trick.transactions
            assert list(writes.blocks[0].records) == [0]  # type: ignore[attr-defined]
            assert ledger.observation(name(0)) == feedback(0).observation
            assert ledger.store.get(KEY) == feedback(0).adds[0].delta

    asyncio.run(main())


def test_what_comes_during_a_commit_is_the_next(make_decision: MakeDecision, trick: Trick) -> None:
    """While one commit runs, all that comes is gathered, and is one transaction when it is done."""

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            trick.gate.clear()
            outcomes = [observe(ledger, feedback(0))]
            await asyncio.sleep(0)
            for n in range(1, 20):
                ledger.record(make_decision(name(n)))
                outcomes.append(observe(ledger, feedback(n)))
                await asyncio.sleep(0)
            trick.gate.set()
            assert await asyncio.gather(*outcomes) == [True] * 20
            assert [len(t.observations) for t in trick.transactions] == [1, 19]  # type: ignore[attr-defined]
            assert ledger.statistics().observed == 20

    asyncio.run(main())


def test_a_list_of_observations_is_one_commit(trick: Trick) -> None:
    """Observations of one turn of the loop share a transaction, as the first of it does not run ahead."""

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            assert await asyncio.gather(*[observe(ledger, feedback(n)) for n in range(50)]) == [True] * 50
            assert len(trick.transactions) == 1

    asyncio.run(main())


def test_duplicates_count_once() -> None:
    """Of several observations of an id at once, and of later ones, exactly the first counts."""

    async def main() -> None:
        store = MemoryStore()
        async with running(store) as ledger:
            together = await asyncio.gather(*[observe(ledger, feedback(n % 3)) for n in range(9)])
            later = await asyncio.gather(*[observe(ledger, feedback(n)) for n in range(4)])
            assert together == [True] * 3 + [False] * 6
            assert later == [False] * 3 + [True]
            state = store.get(KEY)
            assert state is not None
            assert state.count == 4.0

    asyncio.run(main())


def test_each_is_told_the_states_that_its_transaction_made(trick: Trick) -> None:
    """All of one commit are told the same states, with those of the others; later ones are told after, and are newer.
    A duplicate of what is written already has made none. Whoever spreads the news hears of each commit, last.
    """
    counts: list[float | None] = []
    commits: list[tuple[int, set[str]]] = []

    def note(_: bool | StoreError, states: Mapping[str, State]) -> None:
        counts.append(states[KEY].count if states else None)

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            ledger.on_commit = lambda states: commits.append((len(counts), set(states)))
            trick.gate.clear()
            ledger.observe(feedback(0), note)
            await until(lambda: ledger._buffer.flight is not None)
            for n in (1, 2, 2):
                ledger.observe(feedback(n), note)
            trick.gate.set()
            await written(ledger)
            ledger.observe(feedback(2), note)
            await written(ledger)
            trick.broken = True
            ledger.observe(feedback(3), note)
            await until(lambda: len(counts) == 6)

    asyncio.run(main())
    assert counts == [1.0, 3.0, 3.0, 3.0, None, None]
    assert commits == [(1, {KEY}), (4, {KEY}), (5, set())]


def test_late_feedback_in_any_order_finds_its_decision(make_decision: MakeDecision, tmp_path: Path) -> None:
    """Feedback may come in any order, after the decision was written, and after a restart."""

    async def main() -> None:
        store = SQLiteStore(tmp_path / "state.db")
        store.open()
        async with running(store) as ledger:
            for n in range(200):
                ledger.record(make_decision(name(n)))
            await written(ledger)
            assert [ledger.find(name(n)) for n in (150, 3)] == [make_decision(name(n)) for n in (150, 3)]
        async with running(store) as ledger:
            assert ledger.boot == 2
            for n in (199, 0, 77):
                assert ledger.find(name(n)) == make_decision(name(n))
                assert await observe(ledger, feedback(n)) is True
            assert ledger.find(name(200)) is None
            assert ledger.find("no id") is None
        store.close()

    asyncio.run(main())


@pytest.mark.parametrize("when", ["at once", "after it was written", "after a restart"])
def test_a_late_output_completes_the_record(make_decision: MakeDecision, tmp_path: Path, when: str) -> None:
    """A straggler's output is in the decision, wherever that is by then, and stays in it."""

    async def main() -> None:
        store = SQLiteStore(tmp_path / "state.db")
        store.open()
        async with running(store) as ledger:
            ledger.record(make_decision(name(0)))
            if when != "at once":
                await written(ledger)
            if when != "after a restart":
                ledger.complete(name(0), 1, b"8", None, 33.0)
                check(ledger)
        async with running(store) as ledger:
            if when == "after a restart":
                ledger.complete(name(0), 1, b"8", None, 33.0)
            check(ledger)
        async with running(store) as ledger:
            check(ledger)
        store.close()

    def check(ledger: Ledger) -> None:
        decision = ledger.find(name(0))
        assert decision is not None
        assert (decision.outputs, decision.failures, decision.latencies) == ([b"7", b"8"], [None, None], [1.5, 33.0])

    asyncio.run(main())


def test_a_decision_that_comes_with_its_observation_is_kept(make_decision: MakeDecision) -> None:
    """Feedback on an input that was never queried brings its decision, which is found at once and later."""

    async def main() -> None:
        store = MemoryStore()
        decision = make_decision(name(9))
        async with running(store) as ledger:
            write = ObservationWrite(feedback(9).observation, (), encode_decision(decision))
            outcome = observe(ledger, write)
            assert ledger.find(name(9)) == decision
            assert await outcome is True
        async with running(store) as ledger:
            assert ledger.find(name(9)) == decision

    asyncio.run(main())


def test_old_decisions_are_unknown(make_decision: MakeDecision) -> None:
    """A decision older than the ledger keeps is not found, though nothing has pruned it yet."""

    async def main() -> None:
        clock = ManualClock()
        async with Ledger(MemoryStore(), clock, LedgerConfig(keep=60.0), limits=QUICK) as ledger:
            ledger.record(make_decision(name(0)))
            clock.advance(59.0)
            assert ledger.find(name(0)) is not None
            clock.advance(2.0)
            assert ledger.find(name(0)) is None

    asyncio.run(main())


# When another frontend asks


def flush(ledger: Ledger) -> asyncio.Future[bool]:
    """Ask for what is there to be written, and say whether it was."""
    outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    ledger.flush(outcome.set_result)
    return outcome


def test_a_flush_waits_for_what_is_there_and_no_more(make_decision: MakeDecision, trick: Trick) -> None:
    """Decisions that wait are written now, those under way awaited; with neither there is nothing to wait for."""

    async def main() -> None:
        async with running(trick, LedgerLimits(flush=3600.0)) as ledger:  # type: ignore[arg-type]
            assert flush(ledger).done()
            ledger.record(make_decision(name(0)))
            trick.gate.clear()
            first = flush(ledger)
            await until(lambda: ledger.committing)
            assert ledger.store.find(name(0)) is None
            again = flush(ledger)
            ledger.record(make_decision(name(1)))
            second = flush(ledger)
            assert not any(it.done() for it in (first, again, second))
            trick.gate.set()
            assert await asyncio.gather(first, again, second) == [True] * 3
            assert ledger.store.find(name(1)) is not None
            assert not ledger.committing
            assert len(trick.transactions) == 2

    asyncio.run(main())


def test_a_flush_that_fails_says_so(make_decision: MakeDecision, trick: Trick) -> None:
    """Whoever waits for decisions is told when they cannot be written, and while the store rests, at once."""

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            trick.broken = True
            trick.gate.clear()
            ledger.record(make_decision(name(0)))
            first = flush(ledger)
            await until(lambda: ledger.committing)
            ledger.record(make_decision(name(1)))
            second = flush(ledger)
            trick.gate.set()
            assert await asyncio.gather(first, second) == [False, False]
            assert flush(ledger).result() is False
            trick.broken = False
            await written(ledger)
            assert flush(ledger).result() is True

    asyncio.run(main())


# When the store fails


def test_a_store_that_fails_and_recovers(make_decision: MakeDecision, trick: Trick) -> None:
    """Observations fail and say why, decisions wait, and both go on by themselves when the store can write again."""

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            trick.broken = True
            ledger.record(make_decision(name(0)))
            outcomes = await asyncio.gather(observe(ledger, feedback(0)), observe(ledger, feedback(1)))
            assert all(isinstance(outcome, StoreError) and "disk is full" in outcome.message for outcome in outcomes)
            ledger.record(make_decision(name(1)))
            assert ledger.find(name(0)) == make_decision(name(0))
            assert ledger.statistics().failing == outcomes[0].message  # type: ignore[union-attr]
            assert ledger.statistics().pending == 2
            trick.broken = False
            await written(ledger)
            assert ledger.statistics().failing is None
            assert await observe(ledger, feedback(0)) is True
            assert ledger.store.find(name(1)) is not None

    asyncio.run(main())


def test_a_failing_store_is_not_hammered(make_decision: MakeDecision, trick: Trick) -> None:
    """Between two tries observations are refused without a transaction, and tries come further and further apart."""
    clock = ManualClock()
    tries: list[float] = []

    async def main() -> None:
        write = trick.write  # type: ignore[attr-defined]
        trick.write = lambda writes: (tries.append(clock.monotonic()), write(writes))[1]  # type: ignore[attr-defined]
        trick.broken = True
        async with Ledger(trick, clock, LedgerConfig()) as ledger:  # type: ignore[arg-type]
            ledger.record(make_decision(name(0)))
            await until(lambda: len(tries) == 7)
            await until(lambda: ledger._resting)
            outcomes = await asyncio.gather(*[observe(ledger, feedback(n)) for n in range(9)])
            assert all(isinstance(outcome, StoreError) for outcome in outcomes)
            trick.broken = False

    run(main(), clock)
    pauses = [after - before for before, after in pairwise(tries[:7])]
    assert all(pause > least - 1e-6 for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=True))


def test_a_fault_of_a_policy_is_no_end(trick: Trick) -> None:
    """An addition that raises fails its transaction with a message; the next one is not harmed."""

    async def main() -> None:
        class Broken(dict[str, tuple[float, ...]]):
            def items(self) -> NoReturn:
                raise ZeroDivisionError

        async with running(trick) as ledger:  # type: ignore[arg-type]
            write = ObservationWrite(feedback(0).observation, (Add(KEY, State(1.0, Broken()), 1.0),))
            outcome = await observe(ledger, write)
            assert isinstance(outcome, StoreError)
            assert "ZeroDivisionError" in outcome.message
            await until(lambda: not ledger._resting)
            assert await observe(ledger, feedback(0)) is True

    asyncio.run(main())


def test_too_many_observations_are_refused(trick: Trick) -> None:
    """While a commit takes long, the queue is bounded; what does not fit is refused at once, the rest is kept."""

    async def main() -> None:
        async with running(trick, LedgerLimits(observations=5)) as ledger:  # type: ignore[arg-type]
            trick.gate.clear()
            first = observe(ledger, feedback(100))
            await asyncio.sleep(0)
            outcomes = [observe(ledger, feedback(n)) for n in range(8)]
            await asyncio.sleep(0)
            assert [outcome.done() for outcome in outcomes] == [False] * 5 + [True] * 3
            assert "5 observations are waiting" in str(outcomes[5].result())
            trick.gate.set()
            assert await first is True
            assert await asyncio.gather(*outcomes[:5]) == [True] * 5

    asyncio.run(main())


def test_a_receiver_that_raises_harms_no_other() -> None:
    """The others of the same commit are told; the exception goes to the loop's handler."""

    async def main() -> None:
        caught: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context["exception"]))
        async with running(MemoryStore()) as ledger:
            ledger.observe(feedback(0), lambda outcome, _: {}[outcome])
            assert await observe(ledger, feedback(1)) is True
        assert [type(error) for error in caught] == [KeyError]

    asyncio.run(main())


def test_a_full_disk(make_decision: MakeDecision, tmp_path: Path) -> None:
    """With a file that cannot grow, observations fail and decisions wait; with room again, all of them are written."""

    async def main() -> None:
        store = SQLiteStore(tmp_path / "state.db")
        store.open()
        async with running(store) as ledger:
            assert await observe(ledger, feedback(0)) is True
            assert store._writer is not None
            pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
            store._writer.execute(f"PRAGMA max_page_count = {pages}")
            for n in range(1, 500):
                ledger.record(make_decision(name(n)))
            outcome = await observe(ledger, feedback(1))
            assert isinstance(outcome, StoreError)
            assert "free some disk space" in outcome.message
            assert ledger.find(name(499)) is not None
            store._writer.execute(f"PRAGMA max_page_count = {pages + 1000}")
            await written(ledger)
            assert await observe(ledger, feedback(1)) is True
            state = store.get(KEY)
            assert state is not None
            assert state.count == 2.0
            assert all(store.find(name(n)) for n in range(1, 500))
        store.close()

    asyncio.run(main())


# Beginning, ending, pruning


def test_closing_writes_what_is_buffered(make_decision: MakeDecision, trick: Trick) -> None:
    """Nothing recorded before `aclose` is lost, and closing twice is harmless; afterwards nothing is taken."""

    async def main() -> None:
        ledger = Ledger(trick, ManualClock(), LedgerConfig(), limits=LedgerLimits(group=2))  # type: ignore[arg-type]
        await ledger.aclose()
        await ledger.start()
        ledger.record(make_decision(name(0)))
        outcomes = [observe(ledger, feedback(n)) for n in range(5)]
        await ledger.aclose()
        await ledger.aclose()
        assert await asyncio.gather(*outcomes) == [True] * 5
        assert ledger.store.find(name(0)) is not None
        refused = await observe(ledger, feedback(9))
        assert isinstance(refused, StoreError)
        assert "closed" in refused.message

    asyncio.run(main())


def test_closing_over_a_broken_store_ends(make_decision: MakeDecision, trick: Trick) -> None:
    """A store that cannot write is tried once more and then given up: a server must be able to stop."""

    async def main() -> None:
        async with running(trick) as ledger:  # type: ignore[arg-type]
            trick.broken = True
            ledger.record(make_decision(name(0)))
            outcome = observe(ledger, feedback(0))
        assert isinstance(await outcome, StoreError)

    asyncio.run(main())


def test_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A store that cannot give a boot number is reported, and closing afterwards is harmless."""

    async def main() -> None:
        ledger = Ledger(SQLiteStore(tmp_path / "state.db"), ManualClock(), LedgerConfig())
        with pytest.raises(StoreError, match="not open"):
            await ledger.start()
        await ledger.aclose()

    asyncio.run(main())


def test_pruning_follows_writes_once_a_minute(make_decision: MakeDecision, trick: Trick) -> None:
    """At most once a minute, after a commit, what the configuration does not keep is pruned until nothing is left."""
    pruned: list[tuple[float, int]] = trick.pruned  # type: ignore[attr-defined]

    async def main() -> None:
        clock = ManualClock()
        config = LedgerConfig(keep=3600.0, bytes=1_000_000)
        async with Ledger(trick, clock, config, limits=QUICK) as ledger:  # type: ignore[arg-type]
            ledger.record(make_decision(name(0)))
            await written(ledger)
            assert pruned == []
            clock.advance(61.0)
            await asyncio.sleep(0.01)
            assert pruned == []
            trick.prunable = 3  # type: ignore[attr-defined]
            ledger.record(make_decision(name(1)))
            await until(lambda: len(pruned) == 4)
            ledger.record(make_decision(name(2)))
            await written(ledger)
        assert pruned == [(clock.wall() - 3600.0, 1_000_000)] * 4

    asyncio.run(main())


def test_pruning_that_fails_is_tried_again_later(make_decision: MakeDecision, trick: Trick) -> None:
    """A store that cannot prune does not stop commits."""

    async def main() -> None:
        clock = ManualClock()

        def prune(before: float, max_bytes: int) -> int:
            raise StoreError("cannot prune")

        trick.prune = prune  # type: ignore[attr-defined]
        async with Ledger(trick, clock, LedgerConfig(), limits=QUICK) as ledger:  # type: ignore[arg-type]
            clock.advance(61.0)
            for n in range(3):
                assert await observe(ledger, feedback(n)) is True
            assert ledger.statistics().failing is None

    asyncio.run(main())


WRITER = """
import asyncio, sys
from pathlib import Path
from skysail.clock import SystemClock
from skysail.config.schema import LedgerConfig
from skysail.feedback.ledger import Ledger
from skysail.ids import IdSource
from skysail.stores.base import Add, ObservationWrite
from skysail.stores.sqlite import SQLiteStore
from skysail.types import Decision, Distribution, Observation, State

def decision(id):
    return Decision(id, "digits", "vote", None, SystemClock.wall(), b"", Distribution(("a",), (1.0,)), ["a@1"], (1.0,),
                    [b"7"], [None], [1.0], b"7", 0.5, 0.5, False, None, False, 2.0)

async def main():
    store = SQLiteStore(Path(sys.argv[1]))
    store.open()
    async with Ledger(store, SystemClock(), LedgerConfig()) as ledger:
        ids = IdSource(0, ledger.boot)
        def say(id, outcome):
            assert outcome is True, outcome
            print(id, flush=True)
        while True:
            for _ in range(3):
                id = ids.next()
                ledger.record(decision(id))
                add = Add("digits/vote/", State(1.0, {"a": (1.0, 0.5)}), 1.0)
                write = ObservationWrite(Observation(id, b"7", None, 0.0), (add,))
                ledger.observe(write, lambda o, _, id=id: say(id, o))
            await asyncio.sleep(0.0005)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """A process killed with -9 at any moment: what it confirmed is kept with its decision, and counts once."""
    path = tmp_path / "state.db"
    confirmed: list[str] = []
    for lines in (1, 150, 37):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        assert process.stdout is not None
        with process.stdout:
            confirmed += [process.stdout.readline().strip() for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read()
        assert process.wait(30) == -signal.SIGKILL
        confirmed += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    store = SQLiteStore(path)
    store.open()
    ids = {line.strip() for line in confirmed}
    assert len(ids) >= 188
    assert all(store.find(id) for id in ids)
    assert all(store.observation(id) for id in ids)
    state = store.get(KEY)
    assert state is not None
    assert state.count == _observations(path)
    store.close()


def _observations(path: Path) -> int:
    """How many observations a file holds."""
    with sqlite3.connect(path) as connection:
        count: int = connection.execute("SELECT count(*) FROM observations").fetchone()[0]
    connection.close()
    return count
