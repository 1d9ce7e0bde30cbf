"""The laws of a store, to be run over every implementation."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import NoReturn

from skysail.errors import StoreError
from skysail.stores.base import Add, Block, Completion, ObservationWrite, Store, Writes
from skysail.types import Observation, State

__all__ = [
    "DURABLE_LAWS",
    "LAWS",
    "MakeStore",
    "adds_commute",
    "applies_in_order",
    "boots_only_grow",
    "check_store",
    "counts_an_id_once",
    "enters_what_it_adds_to",
    "finds_overlapping_blocks",
    "is_atomic",
    "is_shared_by_its_openers",
    "is_shared_by_processes",
    "keeps_an_observed_decision",
    "keeps_documents",
    "loses_nothing_under_concurrent_writers",
    "prunes_the_oldest",
    "reads_its_writes",
    "returns_what_is_read",
    "scans_and_deletes",
    "survives_kill",
    "survives_reopening",
    "takes_any_id",
]

MakeStore = Callable[[Path], Store]
"""Makes an open store that keeps itself in a folder; made again with the same folder, one that finds what is there. It
is pickled, because another process calls it: `functools.partial(open_store, "sqlite:///state.db")`, for one."""

_KEY = "app/policy/"
_ONE = State(1.0, {"a": (1.0, 0.5), "b": (1.0, 0.25)})
_PATIENCE = 30.0
_ROUNDS = 2
_BESIDE = 30
_KEEP = 0.99


def check_store(make_store: MakeStore) -> None:
    """Run every law over stores made so, each in a folder of its own. Raises `AssertionError`, naming the law.

    Laws about what outlives the process are left out where the class says it is not `durable`.
    """
    for law in LAWS:
        with tempfile.TemporaryDirectory() as folder:
            _run(law, make_store, Path(folder))
    with tempfile.TemporaryDirectory() as folder, _closing(make_store(Path(folder))) as store:
        durable = store.durable
    for law in DURABLE_LAWS if durable else ():
        with tempfile.TemporaryDirectory() as folder:
            _run(law, make_store, Path(folder))


def _run(law: Callable[[MakeStore, Path], None], make_store: MakeStore, folder: Path) -> None:
    try:
        law(make_store, folder)
    except AssertionError as error:
        error.add_note(f"the law broken is {law.__name__}: {law.__doc__}")
        raise


def reads_its_writes(make_store: MakeStore, folder: Path) -> None:
    """What was written is what is read, and what was never written is not there."""
    with _closing(make_store(folder)) as store:
        late = Completion(_id(3), 1, b'{"late":true}', None, 12.5)
        failed = Completion(_id(3), 0, None, "model_error: broken", 13.0)
        labelled = Observation(_id(3), b'"cat"', None, 1.25)
        rewarded = Observation(_id(5), None, 0.1, 2.5)
        writes = Writes(
            blocks=[Block(0, 1, 9.0, {3: b"three", 5: b"five", 5000: b"far"})],
            completions=[late, failed],
            observations=[ObservationWrite(labelled, (Add(_KEY, _ONE, 1.0),)), ObservationWrite(rewarded, ())],
        )
        assert store.write(writes).first == [True, True]
        assert [store.find(_id(n)) for n in (3, 4, 5, 5000)] == [b"three", None, b"five", b"far"]
        assert store.find(_id(3, boot=2)) is None
        assert store.find(_id(3, frontend=1)) is None
        assert store.completions(_id(3)) == [late, failed]
        assert store.completions(_id(5)) == []
        assert [store.observation(_id(n)) for n in (3, 4, 5)] == [labelled, None, rewarded]
        assert store.get(_KEY) == _ONE
        assert store.get("another") is None


def returns_what_is_read(make_store: MakeStore, folder: Path) -> None:
    """A transaction returns the states that it added to, and no others, as they are read from then on."""
    rng = Random(6)
    keys = ("app/policy/", "app/policy/one", "app/policy/two")
    known: dict[str, State] = {}
    seen: set[int] = set()
    with _closing(make_store(folder)) as store:
        for _ in range(40):
            counters = [rng.randrange(60) for _ in range(rng.randrange(4))]
            observations = [_observed(n, _random_add(rng, rng.choice(keys))) for n in counters]
            written = store.write(Writes(observations=observations))
            first = [n not in seen and n not in counters[:place] for place, n in enumerate(counters)]
            seen.update(counters)
            added = {write.adds[0].key for write, new in zip(observations, first, strict=True) if new}
            assert (written.first, set(written.states)) == (first, added)
            known.update(written.states)
            assert {key: store.get(key) for key in keys} == {key: known.get(key) for key in keys}


def takes_any_id(make_store: MakeStore, folder: Path) -> None:
    """A text that no decision could have as its id is not found, and cannot be written about."""
    with _closing(make_store(folder)) as store:
        for text in ("", "x", "00-000001", "00-000001-ffffffffffffffffffffffff", "00-000001-0000000g", "\x00"):
            assert store.find(text) is None
            assert store.observation(text) is None
            assert store.completions(text) == []
        with _raises(StoreError):
            store.write(Writes(observations=[ObservationWrite(Observation("x", b"1", None, 0.0), ())]))


def finds_overlapping_blocks(make_store: MakeStore, folder: Path) -> None:
    """Decisions are found in whatever order they were recorded: a slow one lies among those of a later block."""
    rng = Random(1)
    counters = [n for n in range(3000) if n % 7]
    counters.sort(key=lambda n: n + rng.choice((0, 0, 0, 40, 900)))
    with _closing(make_store(folder)) as store:
        for start in range(0, len(counters), 100):
            records = {n: b"%d" % n for n in sorted(counters[start : start + 100])}
            store.write(Writes(blocks=[Block(0, 1, 1.0, records)]))
        found = [store.find(_id(n)) for n in range(3000)]
        assert found == [b"%d" % n if n % 7 else None for n in range(3000)]


def keeps_an_observed_decision(make_store: MakeStore, folder: Path) -> None:
    """The decision that comes with an observation is found, unless the observation was not the first of its id."""
    with _closing(make_store(folder)) as store:
        first = ObservationWrite(Observation(_id(7), b"1", None, 1.0), (), b"first")
        second = ObservationWrite(Observation(_id(7), b"2", None, 2.0), (), b"second")
        assert store.write(Writes(observations=[first, second])).first == [True, False]
        assert store.write(Writes(observations=[second])).first == [False]
        assert store.find(_id(7)) == b"first"


def counts_an_id_once(make_store: MakeStore, folder: Path) -> None:
    """A later observation of an id changes nothing, in another transaction or in the same."""
    with _closing(make_store(folder)) as store:
        assert store.write(Writes(observations=[_observed(1), _observed(1), _observed(2)])).first == [True, False, True]
        assert store.write(Writes(observations=[_observed(2), _observed(3)])).first == [False, True]
        assert _count(store) == 3.0


def applies_in_order(make_store: MakeStore, folder: Path) -> None:
    """A state is what its additions make of it one after another, however they are cut into transactions."""
    rng = Random(2)
    adds = [
        Add(_KEY, State(1.0, {rng.choice("abc"): (rng.random(), 1.0)}, (rng.random(),)), rng.choice((1.0, 0.9)))
        for _ in range(60)
    ]
    expected = State()
    for add in adds:
        expected = expected.plus(add.delta, add.keep)
    with _closing(make_store(folder)) as store:
        writes = [ObservationWrite(Observation(_id(n), b"1", None, 0.0), (add,)) for n, add in enumerate(adds)]
        while writes:
            size = rng.randint(1, 9)
            store.write(Writes(observations=writes[:size]))
            writes = writes[size:]
        assert store.get(_KEY) == expected


def adds_commute(make_store: MakeStore, folder: Path) -> None:
    """Where nothing is forgotten, additions make the same state in any order."""
    states = []
    for seed in (3, 4):
        order = list(range(16))
        Random(seed).shuffle(order)
        (folder / str(seed)).mkdir()
        with _closing(make_store(folder / str(seed))) as store:
            for n in order:
                delta = State(1.0, {"ab"[n % 2]: (1.0, n / 16)})  # sums of sixteenths are exact
                store.write(Writes(observations=[_observed(n, Add(_KEY, delta, 1.0))]))
            states.append(store.get(_KEY))
    assert states[0] == states[1]


def enters_what_it_adds_to(make_store: MakeStore, folder: Path) -> None:
    """What is under a key is entered first, as the transaction finds it: nothing, or what earlier additions made."""

    def enter(state: State | None) -> State:
        seen.append(state)
        return State(0.0, {"new": (7.0, 0.5)}) if state is None else state

    seen: list[State | None] = []
    add = Add(_KEY, _ONE, 1.0, enter)
    with _closing(make_store(folder)) as store:
        store.write(Writes(observations=[_observed(1, add), _observed(1, add), _observed(2, add)]))
        store.write(Writes(observations=[_observed(2, add), _observed(3, add)]))
        rows = {"new": (7.0, 0.5)}
        once, twice = State(1.0, {**_ONE.sums, **rows}), State(2.0, {"a": (2.0, 1.0), "b": (2.0, 0.5), **rows})
        assert seen == [None, once, twice]
        assert store.get(_KEY) == State(3.0, {"a": (3.0, 1.5), "b": (3.0, 0.75), **rows})


def is_atomic(make_store: MakeStore, folder: Path) -> None:
    """A transaction that fails in the middle leaves nothing behind, and does not harm the next."""
    with _closing(make_store(folder)) as store:
        writes = Writes(
            blocks=[Block(0, 1, 1.0, {1: b"one"})],
            completions=[Completion(_id(1), 0, b"1", None, 1.0)],
            observations=[_observed(1), _observed(2, Add("other", State(1.0, _Broken()), 1.0))],
        )
        with _raises(ZeroDivisionError):
            store.write(writes)
        assert (store.find(_id(1)), store.completions(_id(1)), store.observation(_id(1))) == (None, [], None)
        assert store.scan("") == []
        del writes.observations[1]
        assert store.write(writes).first == [True]
        assert store.find(_id(1)) == b"one"
        assert store.scan("") == [_KEY]


def loses_nothing_under_concurrent_writers(make_store: MakeStore, folder: Path) -> None:
    """Additions by several threads are all there in the end, while others read."""
    threads, each = 4, 15

    def work(thread: int) -> list[bool]:
        first = []
        for n in range(each):
            first += store.write(Writes(observations=[_observed(1000 * thread + n), _observed(n)])).first
            assert store.get(_KEY) is not None
        return first

    with _closing(make_store(folder)) as store, ThreadPoolExecutor(threads) as pool:
        first = [answer for answers in pool.map(work, range(threads)) for answer in answers]
        assert sum(first) == threads * each
        assert _count(store) == threads * each


def boots_only_grow(make_store: MakeStore, folder: Path) -> None:
    """No boot number is given twice to a frontend."""
    with _closing(make_store(folder)) as store:
        boots = [store.next_boot(0) for _ in range(3)]
        assert boots == sorted(set(boots))
        assert store.next_boot(1) > 0
        store.close()
        store.open()
        assert store.next_boot(0) > boots[-1]


def scans_and_deletes(make_store: MakeStore, folder: Path) -> None:
    """Keys are listed by how they begin, in order, until they are deleted."""
    keys = ["a/p/", "a/p/é", "a/p/%F0", "a/q/", "b/p/"]
    with _closing(make_store(folder)) as store:
        store.write(Writes(observations=[_observed(n, Add(key, _ONE, 1.0)) for n, key in enumerate(keys)]))
        assert store.scan("a/p/") == ["a/p/", "a/p/%F0", "a/p/é"]
        store.delete("a/p/%F0")
        store.delete("never there")
        assert store.scan("a/") == ["a/p/", "a/p/é", "a/q/"]
        assert store.get("a/p/%F0") is None


def keeps_documents(make_store: MakeStore, folder: Path) -> None:
    """A document is what was last put under its name."""
    with _closing(make_store(folder)) as store:
        assert store.get_document("registry") is None
        store.put_document("registry", b"one")
        store.put_document("registry", b"\x00two")
        assert store.get_document("registry") == b"\x00two"


def prunes_the_oldest(make_store: MakeStore, folder: Path) -> None:
    """Pruning by age, then by size, forgets the oldest decisions with all that belongs to them, and nothing else."""
    size, blocks = 100_000, 60
    with _closing(make_store(folder)) as store:
        for n in range(blocks):
            records = {10 * n: bytes([n]) * size, 10 * n + 11: b"slow"}  # the second lies within the next block
            late = Completion(_id(10 * n + 11), 0, b"1", None, 1.0)
            store.write(Writes([Block(0, 1, float(n), records)], [late], [_observed(10 * n + 11)]))
        assert _prune(store, 0.0, 1 << 40) == 0
        assert _prune(store, 5.0, 1 << 40) == 5
        assert _kept(store, blocks) == list(range(5, blocks))
        assert _prune(store, 0.0, 20 * size) >= blocks - 5 - 20
        kept = _kept(store, blocks)
        assert kept == list(range(blocks - len(kept), blocks))
        assert kept
        assert _prune(store, float(blocks), 1 << 40) == len(kept)
        assert _kept(store, blocks) == []
        assert _count(store) == blocks


def survives_reopening(make_store: MakeStore, folder: Path) -> None:
    """What was written is there when the store is opened again, and an id still counts once."""
    with _closing(make_store(folder)) as store:
        late = Completion(_id(1), 0, b"1", None, 1.0)
        store.write(Writes([Block(0, 1, 1.0, {1: b"one"})], [late], [_observed(1)]))
        store.put_document("registry", b"one")
    with _closing(make_store(folder)) as store:
        store.open()
        assert store.find(_id(1)) == b"one"
        assert store.completions(_id(1)) == [late]
        assert store.get_document("registry") == b"one"
        assert store.write(Writes(observations=[_observed(1), _observed(2)])).first == [False, True]
        assert _count(store) == 2.0


def is_shared_by_its_openers(make_store: MakeStore, folder: Path) -> None:
    """Two that opened the same store, as two processes do, see each other's writes and lose none of their own."""

    def work(store: Store, start: int) -> None:
        for n in range(start, start + 10):
            store.write(Writes(observations=[_observed(n)]))

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(make_store, [folder, folder])
        with _closing(one), _closing(other):
            list(pool.map(work, [one, other], [0, 100]))
            assert _count(one) == _count(other) == 20.0
            assert one.next_boot(0) < other.next_boot(0)


def is_shared_by_processes(make_store: MakeStore, folder: Path) -> None:
    """Two processes that write at once lose nothing, count once what both were told, and forget in one order."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [
        context.Process(target=_write_beside, args=(make_store, folder, sender, barrier, 1000 * n), daemon=True)
        for n, (_, sender) in enumerate(pipes, 1)
    ]
    for process in processes:
        process.start()
    told: list[tuple[list[bool], State | None]] = []
    for process, (receiver, sender) in zip(processes, pipes, strict=True):
        sender.close()
        assert receiver.poll(_PATIENCE), "the writing process does not write"
        told += receiver.recv()
        process.join(_PATIENCE)
    assert sum(first.count(True) for first, _ in told) == 3 * _BESIDE, "an id counted twice, or not at all"
    made = sorted((state for _, state in told if state is not None), key=lambda state: state.count)
    expected = State()
    for state in made:
        expected = expected.plus(_ONE, _KEEP)
        assert state == expected, "a transaction added to another state than the one before it made"
    with _closing(make_store(folder)) as store:
        assert store.get(_KEY) == expected


def _write_beside(make_store: MakeStore, folder: Path, sender: Connection, barrier: Barrier, start: int) -> None:
    """One of two processes: write observations of its own, and between them such as the other writes too."""
    add = Add(_KEY, _ONE, _KEEP)
    told = []
    with _closing(make_store(folder)) as store:
        barrier.wait(_PATIENCE)
        for n in range(_BESIDE):
            for counter in (n, start + n):
                written = store.write(Writes(observations=[_observed(counter, add)]))
                told.append((written.first, written.states.get(_KEY)))
    sender.send(told)


def survives_kill(make_store: MakeStore, folder: Path) -> None:
    """A process killed while it writes has lost nothing it had acknowledged, and has counted nothing twice."""
    rng = Random(5)
    context = multiprocessing.get_context("spawn")
    written = 0
    for _ in range(_ROUNDS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_write_until_killed, args=(make_store, folder, sender, written), daemon=True)
        process.start()
        sender.close()
        acknowledged = _acknowledged(receiver, rng.randint(1, 40))
        process.kill()
        acknowledged = _drain(receiver, acknowledged)
        process.join(_PATIENCE)
        with _closing(make_store(folder)) as store:
            written = _check_killed(store, acknowledged)


def _write_until_killed(make_store: MakeStore, folder: Path, sender: Connection, start: int) -> None:
    """The other process: write one decision after another, each with its observation and the one before it again."""
    store = make_store(folder)
    for n in range(start, 1_000_000):
        again = [_observed(n - 1)] if n else []
        written = store.write(Writes([Block(0, 1, 1.0, {n: b"%d" % n})], [], [*again, _observed(n)]))
        sender.send((n, written.first == [False] * len(again) + [True]))


def _acknowledged(receiver: Connection, count: int) -> int:
    """Wait for so many acknowledgements; the number of the last."""
    last = -1
    for _ in range(count):
        assert receiver.poll(_PATIENCE), "the writing process does not write"
        last, right = receiver.recv()
        assert right, "an id counted twice, or not at all"
    return last


def _drain(receiver: Connection, last: int) -> int:
    """The last acknowledgement that was sent before the kill."""
    with suppress(EOFError, OSError):
        while True:
            last, _ = receiver.recv()
    return last


def _check_killed(store: Store, acknowledged: int) -> int:
    """All that was acknowledged is there, and at most one more; how many there are."""
    written = acknowledged + 1
    written += store.observation(_id(written)) is not None
    for n in range(written):
        assert store.find(_id(n)) == b"%d" % n, f"decision {n} is lost"
        assert store.observation(_id(n)) is not None, f"observation {n} is lost"
    assert store.find(_id(written)) is None, "a decision without its observation"
    assert _count(store) == written, "an observation and its addition differ"
    return written


class _Broken(dict[str, tuple[float, ...]]):
    """The rows of a delta that fails when it is added."""

    def items(self) -> NoReturn:
        """Raise."""
        raise ZeroDivisionError


def _id(counter: int, *, frontend: int = 0, boot: int = 1) -> str:
    return f"{frontend:02x}-{boot:06x}-{counter:08x}"


def _observed(counter: int, add: Add | None = None) -> ObservationWrite:
    """An observation that adds one feedback, unless told otherwise."""
    return ObservationWrite(Observation(_id(counter), b"1", None, 1.0), (add or Add(_KEY, _ONE, 1.0),))


def _random_add(rng: Random, key: str) -> Add:
    """An addition to what has a row for `a`, of numbers that no rounding leaves as they are."""

    def enter(state: State | None) -> State:
        return state or State(0.0, {"a": (0.0, 0.1)}, (0.1,))

    delta = State(1.0, {rng.choice("ab"): (1.0, rng.gauss(0.0, 1.0))}, (rng.random() * 1e-9,))
    return Add(key, delta, rng.choice((1.0, 0.9, 1 / 3)), enter)


def _count(store: Store) -> float:
    state = store.get(_KEY)
    return 0.0 if state is None else state.count


def _kept(store: Store, blocks: int) -> list[int]:
    """The blocks of `prunes_the_oldest` that are there, each of them wholly, or not at all."""
    kept = []
    for n in range(blocks):
        slow = _id(10 * n + 11)
        parts = (store.find(_id(10 * n)), store.find(slow), store.observation(slow), store.completions(slow) or None)
        assert len({part is None for part in parts}) == 1, f"block {n} is kept in part: {parts[1:]}"
        kept += [n] if parts[0] else []
    return kept


def _prune(store: Store, before: float, max_bytes: int) -> int:
    """Prune until there is nothing left to prune."""
    total = 0
    while deleted := store.prune(before, max_bytes):
        total += deleted
    return total


@contextmanager
def _closing(store: Store) -> Iterator[Store]:
    try:
        yield store
    finally:
        store.close()
        store.close()


@contextmanager
def _raises(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


LAWS = (
    reads_its_writes,
    returns_what_is_read,
    takes_any_id,
    finds_overlapping_blocks,
    keeps_an_observed_decision,
    counts_an_id_once,
    applies_in_order,
    adds_commute,
    enters_what_it_adds_to,
    is_atomic,
    loses_nothing_under_concurrent_writers,
    boots_only_grow,
    scans_and_deletes,
    keeps_documents,
    prunes_the_oldest,
)
"""What is true of every store."""

DURABLE_LAWS = (survives_reopening, is_shared_by_its_openers, is_shared_by_processes, survives_kill)
"""What is also true of those that outlive the process."""
