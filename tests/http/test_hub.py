from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import Table, post

from skysail.errors import Overload
from skysail.http.hub import Hub, Limits
from skysail.http.request import Refusal, Request
from skysail.testing.loop import JumpingLoop, run


class Nobody:
    """A handler without requests."""

    def admit(self, request: Request) -> Refusal | None:
        raise NotImplementedError

    def handle(self, request: Request) -> None:
        raise NotImplementedError


class Member:
    """A connection that writes down what it is told, and leaves when it is cut off."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.told: list[str] = []

    def sweep(self) -> None:
        self.told.append("sweep")

    def drain(self) -> None:
        self.told.append("drain")

    def abort(self) -> None:
        self.told.append("abort")
        self.hub.leave(self)


LIMITS = Limits(idle_timeout=60, header_timeout=10, linger=2)


@pytest.mark.parametrize(("seconds", "sweeps"), [(0.5, 1), (0.6, 2), (2, 4), (10, 20), (60, 120)])
def test_a_time_in_sweeps_is_not_less_than_itself(seconds: float, sweeps: int) -> None:
    """A period is a quarter of the shortest limit, and times are rounded up to it."""
    assert LIMITS.period == 0.5
    assert LIMITS.sweeps(seconds) == sweeps


def test_the_shortest_limits_do_not_keep_the_server_busy() -> None:
    """A limit of nothing is a limit of a few milliseconds."""
    assert Limits(linger=0).period == 0.01


def test_sweeps_run_while_there_is_somebody_to_look_at() -> None:
    """An hour without connections costs no wake-up; each period with one costs one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        rests: list[int] = []
        hub = Hub(Nobody(), LIMITS, loop, lambda: rests.append(hub.tick))
        await asyncio.sleep(3600)
        assert hub.tick == 0
        member = Member(hub)
        hub.join(member)
        await asyncio.sleep(2.1)
        assert (hub.tick, member.told) == (4, ["sweep"] * 4)
        hub.leave(member)
        await asyncio.sleep(3600)
        assert hub.tick == 5
        hub.join(member)
        await asyncio.sleep(0.6)
        assert hub.tick == 6
        assert rests == [1, 2, 3, 4, 5, 6]
        await hub.aclose()

    run(main())


def test_draining_tells_those_that_are_there_and_those_that_come() -> None:
    """A connection that was accepted just before is not overlooked."""

    async def main() -> None:
        hub = Hub(Nobody(), LIMITS, asyncio.get_running_loop())
        early, late = Member(hub), Member(hub)
        hub.join(early)
        hub.drain()
        hub.join(late)
        assert early.told == late.told == ["drain"]
        await hub.aclose()
        assert early.told == late.told == ["drain", "abort"]

    run(main())


def test_waiting_until_all_are_gone() -> None:
    """The wait ends with the last connection, and at once without any."""

    async def main() -> None:
        hub = Hub(Nobody(), LIMITS, asyncio.get_running_loop())
        await hub.wait_empty()
        first, second = Member(hub), Member(hub)
        hub.join(first)
        hub.join(second)
        waiting = asyncio.ensure_future(hub.wait_empty())
        hub.leave(first)
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.leave(second)
        await waiting
        await hub.aclose()
        await hub.aclose()

    run(main())


# Turns


class Eager(Member):
    """A connection with so much to do, which writes down when it is its turn."""

    def __init__(self, hub: Hub, work: int, log: list[Member]) -> None:
        super().__init__(hub)
        self.work = work
        self.log = log

    def step(self) -> bool:
        self.log.append(self)
        self.work -= 1
        return self.work > 0

    def flush(self) -> None:
        self.told.append("flush")


def test_everybody_has_a_turn_before_anybody_has_two() -> None:
    """Beside fifty that have hundreds of requests, the one that comes last with one waits for one of each."""

    async def main() -> None:
        hub, log = Hub(Nobody(), LIMITS, asyncio.get_running_loop()), list[Member]()
        floods = [Eager(hub, 300, log) for _ in range(50)]
        polite = Eager(hub, 1, log)
        for member in (*floods, polite):
            hub.take_turns(member)
        while any(member.work for member in floods):
            before = len(log)
            await asyncio.sleep(0)
            assert len(log) - before <= 256  # and others of the loop had their turn between
        assert log.index(polite) == 50
        assert [log.count(member) for member in floods] == [300] * 50
        late = Eager(hub, 2, log)
        hub.take_turns(late)
        await asyncio.sleep(0)
        assert late.work == 0

    run(main())


def test_one_that_raises_stops_no_other() -> None:
    """The ring goes on without it; the loop is told."""

    async def main() -> None:
        raised: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: raised.append(context))
        hub, log = Hub(Nobody(), LIMITS, asyncio.get_running_loop()), list[Member]()
        broken, other = Eager(hub, 1, log), Eager(hub, 3, log)
        broken.step = lambda: 1 / 0 > 1  # type: ignore[method-assign]
        hub.take_turns(broken)
        hub.take_turns(other)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (other.work, len(raised)) == (0, 1)

    run(main())


def test_what_is_answered_at_once_is_written_before_anything_else() -> None:
    """Not after the loop has read again from everybody."""

    async def main() -> None:
        hub, log = Hub(Nobody(), LIMITS, asyncio.get_running_loop()), list[Member]()
        member = Eager(hub, 1, log)
        hub.take_turns(member)
        hub.flush_soon(member)
        hub.loop.call_soon(lambda: member.told.append("read"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert member.told == ["flush", "read"]

    run(main())


# Room


class Holder(Member):
    """A connection that holds bytes of bodies, and asks whether it may read on."""

    held = 0
    paused = False

    def hold(self, size: int) -> None:
        self.held += size
        self.hub.held += size
        self.throttle()

    def drop(self) -> None:
        size, self.held = self.held, 0
        self.hub.release(size)
        self.throttle()

    def throttle(self) -> None:
        self.paused = self.hub.must_wait(self, self.held)


def test_those_that_hold_much_wait_for_room_and_the_first_of_them_does_not() -> None:
    """Small ones never wait; as one comes to its end the next may go on; with room again, all do."""

    async def main() -> None:
        hub = Hub(Nobody(), Limits(max_body=100_000), asyncio.get_running_loop())
        assert hub.limits.room == 1_600_000
        holders = [Holder(hub) for _ in range(20)]
        for holder in holders[:16]:
            holder.hold(100_000)
        assert not any(holder.paused for holder in holders)
        for holder in holders[16:]:
            holder.hold(60_000)
        assert not any(holder.paused for holder in holders)
        for holder in holders[:4]:
            holder.hold(1)
        assert [holder.paused for holder in holders[:5]] == [False, True, True, True, False]
        holders[0].drop()
        await asyncio.sleep(0)
        assert [holder.paused for holder in holders[:4]] == [False, False, True, True]
        holders[1].held = 0
        hub.leave(holders[1])  # without a word; its bytes are released apart
        await asyncio.sleep(0)
        assert [holder.paused for holder in holders[2:4]] == [False, True]
        hub.release(100_001)
        holders[5].drop()
        await asyncio.sleep(0)
        assert not any(holder.paused for holder in holders)
        assert not hub.crowd

    run(main())


@pytest.fixture(scope="module")
def loop() -> Any:
    """A loop that runs when a test says so."""
    loop = JumpingLoop()
    yield loop
    loop.close()


def test_a_polite_client_is_not_starved_by_floods(play: Any) -> None:
    """Beside fifty clients with two thousand requests each on their way, one that asks one after the other is served
    after a few rounds of the loop, each time.
    """

    async def scenario(rig: Any) -> None:
        floods = [await rig.connect() for _ in range(50)]
        polite = await rig.connect()
        for client in floods:
            client.send(post("/echo", b"flood") * 2000)
        await rig.until(lambda: rig.desk.served)
        gaps, before = [], len(rig.desk.served)
        for _ in range(20):
            polite.send(post("/echo", b"polite"))
            assert (await polite.reply()).body == b"polite"
            gaps.append(len(rig.desk.served) - before)
            before = len(rig.desk.served)
        assert max(gaps) <= 8 * 256, gaps
        assert before < 50 * 2000
        for client in floods:
            assert (await client.reply()).body == b"flood"

    play(scenario)


def test_a_long_read_is_not_made_requests_of_at_once(loop: Any) -> None:
    """What the line has no room for stays bytes, is looked at as there is room, and nothing more is read meanwhile."""
    table = Table(loop, pipeline=8)
    table.receive(b"".join(post("/a", b"%05d" % n) for n in range(3000)))
    assert not table.wire.reading
    seen = []
    while table.held:
        assert len(table.held) <= 8
        assert len(table.connection._line) < 400
        seen.append(table.held[0].body)
        table.held.pop(0).reply(200, b"")
        table.turn()
    assert seen == [b"%05d" % n for n in range(3000)]
    assert table.wire.reading
    assert table.hub.held == 0


def test_a_long_read_of_refusals_is_gone_through(loop: Any) -> None:
    """Answers that are given while reading leave room for others, and nothing is left lying."""
    table = Table(loop, pipeline=8)
    table.admit = lambda request: Refusal(Overload("no"))  # type: ignore[method-assign]
    table.receive(post("/a", b"x" * 100) * 2000)
    for _ in range(50):
        table.turn()
    assert sum(write.count(b" 503 ") for write in table.wire.writes) == 2000
    assert table.wire.reading


def test_after_a_gulp_it_is_others_turn(loop: Any) -> None:
    """A body that comes as fast as it is read does not keep the loop from everything else."""
    table = Table(loop)
    body = bytes(1_000_000)
    table.connection.data_received(post("/a", body)[:200_000])
    assert not table.wire.reading
    table.turn()
    assert table.wire.reading
    table.receive(post("/a", body)[200_000:])
    assert table.held[0].body == body


def test_a_client_that_leaves_lets_go_of_what_it_had(loop: Any) -> None:
    """Bodies that are whole, those that are not, and what was not looked at."""
    table = Table(loop, pipeline=2)
    table.receive(post("/a", bytes(1000)) * 100 + post("/a", bytes(1000))[:-1])
    assert table.hub.held > 0
    table.connection.connection_lost(None)
    table.turn()
    assert table.hub.held == 0
    half = Table(loop)
    half.receive(post("/a", bytes(1000))[:-1])
    half.connection.connection_lost(None)
    assert half.hub.held == 0


def test_who_finds_no_room_for_too_long_is_told_so(loop: Any) -> None:
    """It is an overload, and the room that it had is others'."""
    first = Table(loop, max_body=100_000, header_timeout=1.0, linger=1.0)
    tables = [first, *[Table(loop, first) for _ in range(20)]]
    for table in tables:
        table.receive(post("/a", bytes(100_000))[:90_000])
    waiting = [table for table in tables if not table.wire.reading]
    assert len(waiting) >= 2
    assert all(b"503" not in b"".join(table.wire.writes) for table in tables)
    for _ in range(3):
        first.sweeps(1)
        for table in tables:
            if table.wire.reading:
                table.receive(b"x")  # slowly, but it goes on
    first.sweeps(2)
    told = [b" 503 " in b"".join(table.wire.writes) for table in waiting]
    assert all(told)
    assert first.hub.held <= first.hub.limits.room + 100_000  # that of the one who may go on in any case


ACTS = st.lists(st.tuples(st.integers(0, 11), st.sampled_from(["read", "read", "read", "answer", "stall", "leave"])))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS, st.integers(5_000, 120_000))
def test_what_is_paused_goes_on(loop: Any, acts: list[tuple[int, str]], piece: int) -> None:
    """Whatever twelve clients with large bodies do, memory is bounded, and those that stay are all answered."""
    first = Table(loop, max_body=50_000, pipeline=4)
    tables = [first, *[Table(loop, first) for _ in range(11)]]
    first.hub._room = 200_000
    ways = [post("/a", bytes(50_000), f"X-N: {n}") * 6 for n in range(12)]
    there, stalled = set(range(12)), set[int]()

    def act(n: int, what: str) -> None:
        table = tables[n]
        if n not in there:
            return
        if what == "read" and table.wire.reading and ways[n]:
            data, ways[n] = ways[n][:piece], ways[n][piece:]
            table.receive(data)
        elif what == "answer" and first.held:
            first.held.pop(n % len(first.held)).reply(200, b"")
            first.turn()
        elif what == "stall":
            stalled.add(n)
            table.connection.pause_writing()
        elif what == "leave":
            there.discard(n)
            table.connection.connection_lost(None)
        unread = sum(len(table.connection._unread) for table in tables)
        assert first.hub.held + unread <= 200_000 + 12 * (1 << 16) + 12 * piece + 100_000

    for n, what in acts:
        act(n, what)
    for n in stalled & there:
        tables[n].connection.resume_writing()
    for _ in range(100_000):
        if not first.held and not any(ways[n] for n in there):
            break
        for n in there:
            act(n, "read")
        act(min(there, default=0), "answer")
        if first.held:
            first.held.pop(0).reply(200, b"")
        first.turn()
    assert not any(ways[n] for n in there)
    for n in there:
        assert sum(write.count(b" 200 ") for write in tables[n].wire.writes) == 6
    assert (first.hub.held, first.hub.crowd) == (0, {})


# The gate


def test_beyond_a_crowd_there_is_a_gate(loop: Any) -> None:
    """Of a thousand that send at once, a turn reads from some hundreds, in order, and each is served; then there is no
    gate any more.
    """
    first = Table(loop)
    tables = [first, *[Table(loop, first) for _ in range(999)]]
    rounds = dict.fromkeys(tables, 0)
    in_one_turn = []
    for _ in range(60):
        reads = 0
        for table in tables:
            if table.wire.reading and rounds[table] < 3:
                reads += 1
                rounds[table] += 1
                table.connection.data_received(post("/a", b"x"))
        in_one_turn.append(reads)
        loop.run_until_complete(asyncio.sleep(0))
        while first.held:
            first.held.pop().reply(200, b"")
    assert set(rounds.values()) == {3}
    assert in_one_turn[0] == 1000
    assert max(in_one_turn[2:]) <= 3 * 192  # the loop goes round up to three times in what is a turn here
    for _ in range(20):
        first.turn()
    assert all(table.wire.reading for table in tables)
    assert not first.hub.crowded
    assert sum(b"".join(table.wire.writes).count(b" 200 ") for table in tables) == 3000


def test_the_gate_keeps_nobody_who_left_and_gives_nobody_time(loop: Any) -> None:
    """A connection may close while it waits; a trickle of headers is as slow as it was."""
    first = Table(loop, header_timeout=1.0, linger=1.0)
    gone, slow = Table(loop, first), Table(loop, first)
    first.hub.crowded = True
    gone.connection.data_received(post("/a"))
    slow.connection.data_received(b"POST")
    assert not gone.wire.reading
    gone.connection.connection_lost(None)
    gone.wire.closed = "lost"
    first.turn()
    assert slow.wire.reading
    for _ in range(5):
        first.hub.sweep()
        first.hub.crowded = True
        slow.connection.data_received(b"x")
        first.turn()
    first.sweeps(1)
    assert b" 408 " in b"".join(slow.wire.writes) or b" 400 " in b"".join(slow.wire.writes)
