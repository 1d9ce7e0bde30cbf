"""The laws every cache obeys, and traces to compare caches by. Needs no test framework.

Each law is one function named as the law; it raises `AssertionError` with the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random

from skysail.cache.cache import Cache
from skysail.clock import Clock
from skysail.testing.clock import ManualClock

__all__ = [
    "LAWS",
    "TRACES",
    "MakeCache",
    "answers_what_was_put",
    "check_cache",
    "counts_what_it_does",
    "hit_rate",
    "keeps_what_fits",
    "keeps_what_is_new",
    "refuses_giants",
    "serves_nothing_too_old",
    "stays_within_its_budget",
]

MakeCache = Callable[[int, float | None, Clock], Cache]
"""Makes an empty cache: its budget in bytes, the age in seconds beyond which it serves nothing, and its clock."""

_ROOM = 10_000
"""Bytes that hold some entries of a few bytes each, whatever one costs, and not some hundreds of them."""

_KEYS = [b"\0\0\0\1[%d]" % n for n in range(120)]


def check_cache(make: MakeCache, seed: int = 0) -> None:
    """Hold caches made so to every law; raises `AssertionError` for the first that is broken, naming it."""
    for law in LAWS:
        try:
            law(make, Random(seed))
        except AssertionError as error:
            error.add_note(f"the law broken is {law.__name__}: {law.__doc__}")
            raise


def answers_what_was_put(make: MakeCache, rng: Random) -> None:
    """A key's answer is what was last put under that very key, or nothing; nothing was put, nothing is there."""
    cache, last = make(_ROOM, None, ManualClock()), dict[bytes, bytes]()
    for _ in range(3_000):
        key = rng.choice(_KEYS)
        if rng.random() < 0.5:
            last[key] = rng.randbytes(rng.randrange(1, 400))
            cache.put(key, last[key], 0.0)
        else:
            assert (found := cache.get(key)) in (None, last.get(key)), f"{found!r} for {key!r}, {last.get(key)!r} put"


def stays_within_its_budget(make: MakeCache, rng: Random) -> None:
    """After each put, what is kept is counted at no less than its own bytes and at no more than the budget."""
    for budget in (0, 400, 3_000, _ROOM):
        cache, sizes = make(budget, None, ManualClock()), dict[bytes, int]()
        for _ in range(600):
            key, output = rng.choice(_KEYS), rng.randbytes(int(rng.paretovariate(0.7)) % 900)
            cache.put(key, output, 0.0)
            sizes[key] = len(key) + len(output)
            if rng.random() < 0.5:
                cache.get(rng.choice(_KEYS))
            seen = cache.statistics()
            assert seen.bytes <= budget == seen.budget, f"{seen.bytes} bytes in a budget of {budget}"
        kept = sum(size for key, size in sizes.items() if cache.get(key) is not None)
        assert kept <= cache.statistics().bytes, f"{kept} bytes kept, {cache.statistics().bytes} counted"


def keeps_what_fits(make: MakeCache, rng: Random) -> None:
    """While there is room, nothing goes, however often it is put and asked for."""
    cache = make(1 << 20, None, ManualClock())
    for _ in range(10):
        for key in rng.sample(_KEYS, len(_KEYS)):
            cache.put(key, key, 0.0)
            cache.get(rng.choice(_KEYS))
    seen = cache.statistics()
    assert (seen.entries, seen.evicted) == (len(_KEYS), 0), f"{seen.entries} of {len(_KEYS)} entries are kept"
    assert all(cache.get(key) == key for key in _KEYS), "an output is gone, though there was room"
    once = make(1 << 20, None, ManualClock())
    for key in _KEYS:
        once.put(key, key, 0.0)
    assert once.statistics().bytes == seen.bytes, "an output that is put again is counted again"


def keeps_what_is_new(make: MakeCache, rng: Random) -> None:
    """A new output is there once it was put, also where all others were used."""
    cache = make(_ROOM, None, ManualClock())
    for n in range(500):
        key = b"%d" % n
        cache.put(key, b"1", 0.0)
        assert cache.get(key) == b"1", f"output {n} made no room for itself"
        for used in range(n):
            cache.get(b"%d" % used)


def refuses_giants(make: MakeCache, rng: Random) -> None:
    """An output larger than the whole budget is not kept, and drives out nothing."""
    cache = make(_ROOM, None, ManualClock())
    cache.put(b"small", b"1", 0.0)
    cache.put(b"giant", bytes(_ROOM), 0.0)
    assert (cache.get(b"giant"), cache.get(b"small")) == (None, b"1")


def serves_nothing_too_old(make: MakeCache, rng: Random) -> None:
    """An output is served until it is as old as it may be and no longer, however often it was used; put again, it is
    as young as the new one.
    """
    clock = ManualClock()
    cache = make(_ROOM, 10.0, clock)
    for n in range(300):  # with others coming and going
        cache.put(b"%d" % n, b"1", clock.monotonic())
        cache.put(b"old", b"1", clock.monotonic())
        clock.advance(10.0)
        assert cache.get(b"old") == b"1", "an output that is not too old is not served"
        clock.advance(0.5)
        assert cache.get(b"old") is None, "an output of 10.5 seconds is served, where 10 are the most"
        assert cache.statistics().bytes <= _ROOM
    assert cache.statistics().expired >= 300, f"{cache.statistics().expired} of 300 were counted"
    cache.put(b"old", b"2", clock.monotonic())
    clock.advance(9.0)
    assert cache.get(b"old") == b"2", "an output put again is as old as the first"


def counts_what_it_does(make: MakeCache, rng: Random) -> None:
    """Each lookup is a hit or a miss; what was put is kept or evicted."""
    cache = make(_ROOM, None, ManualClock())
    hits = misses = puts = 0
    for _ in range(2_000):
        key = rng.choice(_KEYS)
        if cache.get(key) is not None:
            hits += 1
        else:
            misses += 1
            cache.put(key, b"1", 0.0)
            puts += 1
    seen = cache.statistics()
    assert (seen.hits, seen.misses) == (hits, misses), f"{seen} after {hits} hits and {misses} misses"
    assert seen.entries + seen.evicted == puts, f"{seen} after {puts} puts"
    assert hits > 0 < seen.evicted, f"{seen}: this law was not tried"


LAWS: tuple[Callable[[MakeCache, Random], None], ...] = (
    answers_what_was_put,
    stays_within_its_budget,
    keeps_what_fits,
    keeps_what_is_new,
    refuses_giants,
    serves_nothing_too_old,
    counts_what_it_does,
)
"""Every law of `check_cache`."""


# Traces

_RANKS = 10_000
_LENGTH = 100_000


def hit_rate(cache: Cache, trace: Sequence[int]) -> float:
    """The share of a trace's queries that a cache answers, each other one being put."""
    hits = 0
    for number in trace:
        key = b"%d" % number
        if cache.get(key) is None:
            cache.put(key, b"1", 0.0)
        else:
            hits += 1
    return hits / len(trace)


def _zipf(alpha: float, rng: Random, length: int = _LENGTH) -> list[int]:
    """Inputs of which the n-th most popular is asked about in proportion to n^-alpha, independently."""
    total, cumulated = 0.0, []
    for rank in range(1, _RANKS + 1):
        total += rank**-alpha
        cumulated.append(total)
    return rng.choices(range(_RANKS), cum_weights=cumulated, k=length)


def _scans(rng: Random) -> list[int]:
    """Popular inputs (1.0), and after each 10,000 queries a scan of 5,000 that come this once."""
    trace, popular = list[int](), _zipf(1.0, rng)
    for start in range(0, len(popular), 10_000):
        trace += popular[start : start + 10_000]
        trace += range(_RANKS + start, _RANKS + start + 5_000)
    return trace


def _mix(rng: Random) -> list[int]:
    """Popular inputs (1.0), and between them as many that come once."""
    return [number for n, popular in enumerate(_zipf(1.0, rng)) for number in (popular, _RANKS + n)]


def _shift(rng: Random) -> list[int]:
    """Popular inputs (1.0); at every hundredth query a new one is the most popular, and all others one rank less so."""
    return [rank - n // 100 for n, rank in enumerate(_zipf(1.0, rng))]


def _swap(rng: Random) -> list[int]:
    """Popular inputs (1.0), all of which are others after each 10,000 queries."""
    return [rank + n // 10_000 * _RANKS for n, rank in enumerate(_zipf(1.0, rng))]


def _soon(rng: Random) -> list[int]:
    """Inputs that are asked about four times in about a thousand queries, and never again."""
    trace, due, fresh = list[int](), list[tuple[int, int]](), count()
    for now in range(_LENGTH):
        if due and due[0][0] <= now:
            trace.append(heappop(due)[1])
        else:
            trace.append(next(fresh))
            for _ in range(3):
                heappush(due, (now + int(rng.expovariate(1 / 300)), trace[-1]))
    return trace


TRACES: dict[str, Callable[[Random], list[int]]] = {
    "zipf 0.8": lambda rng: _zipf(0.8, rng),
    "zipf 1.0": lambda rng: _zipf(1.0, rng),
    "zipf 1.2": lambda rng: _zipf(1.2, rng),
    "scans": _scans,
    "mix": _mix,
    "shift": _shift,
    "swap": _swap,
    "soon": _soon,
}
"""Kinds of traffic, each made from a seeded generator: numbers of inputs in the order they are asked about."""
