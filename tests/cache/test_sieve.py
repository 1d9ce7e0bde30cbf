"""Where the hand of a sieve goes, and what it is good for, beyond the laws that all caches obey."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from skysail.cache.sieve import Sieve
from skysail.cache.table import CACHES
from skysail.testing.caches import TRACES, hit_rate
from skysail.testing.clock import ManualClock

ENTRY = 210
"""Bytes that a budget has to have for each entry of these tests."""


def make(entries: int) -> Sieve:
    """An empty cache with room for so many."""
    return Sieve(entries * ENTRY, None, ManualClock())


def put(cache: Sieve, rows: str) -> None:
    """Put a row for each letter."""
    for row in rows:
        cache.put(row.encode(), b"0", 0.0)


def kept(cache: Sieve) -> str:
    """The rows that are there, found without using them."""
    return "".join(sorted(key.decode() for key in cache._entries))


def test_the_hand_takes_what_was_not_used() -> None:
    """It passes over those that were used, which lose their mark by it, and goes on from where it was: the worked
    example of the paper.
    """
    cache = make(7)
    put(cache, "GFEDCBA")  # A came last
    for row in (b"A", b"B", b"G"):
        cache.get(row)
    put(cache, "H")  # the hand passes G, takes F
    assert kept(cache) == "ABCDEGH"
    cache.get(b"A")
    cache.get(b"D")
    put(cache, "I")  # takes E
    put(cache, "J")  # passes D, takes C
    assert kept(cache) == "ABDGHIJ"
    put(cache, "KL")  # passes B and A, takes H and I: what is new is ahead of the hand
    assert kept(cache) == "ABDGJKL"


def test_the_hand_goes_round() -> None:
    """After the newest comes the oldest again, which has to have been used since."""
    cache = make(3)
    put(cache, "ABC")
    for row in (b"A", b"B", b"C"):
        cache.get(row)
    put(cache, "D")  # takes all marks, and then A
    assert kept(cache) == "BCD"
    cache.get(b"B")
    put(cache, "E")  # passes B, takes C
    assert kept(cache) == "BDE"


def test_the_hand_does_not_go_on_for_ever() -> None:
    """Where everything was used, one output has not to wait until all marks are cleared."""
    cache = make(1_000)
    for n in range(1_000):
        cache.put(b"%d" % n, b"0", 0.0)
        cache.get(b"%d" % n)
    for n in count(1_000):
        cache.put(b"%d" % n, b"0", 0.0)
        if cache.statistics().evicted:
            break
    marked = sum(isinstance(output, tuple) for output in cache._entries.values())
    assert marked > 900


def test_an_output_put_again_keeps_its_place() -> None:
    """A longer one in the place of a shorter one makes others go, and is counted once."""
    cache = make(3)
    put(cache, "ABC")
    cache.get(b"A")
    cache.put(b"A", b"0" * 200, 0.0)
    cache.get(b"A")
    put(cache, "C")
    assert cache.get(b"A") == b"0" * 200
    assert cache.statistics().bytes <= 3 * ENTRY
    put(cache, "AD")
    assert cache.get(b"D") == b"0"


@pytest.mark.slow
def test_each_policy_has_its_traffic() -> None:
    """With room for a tenth of the popular inputs, it answers more than the least recently used where some are always
    popular, scans or not; and less where what is asked about is asked about again soon or never. (-s prints the table.)
    """
    rates = {
        kind: {name: hit_rate(cache(1_000 * 230, None, ManualClock()), trace) for name, cache in CACHES.items()}
        for kind, make_trace in TRACES.items()
        for trace in [make_trace(Random(1))]
    }
    for kind, seen in rates.items():
        print(f"{kind:10}", *[f"{name} {rate:.3f}" for name, rate in seen.items()])
    better = {kind for kind, seen in rates.items() if seen["sieve"] > seen["lru"]}
    assert better == set(TRACES) - {"swap", "soon"}
    assert rates["scans"]["sieve"] > rates["scans"]["lru"] + 0.03
    assert rates["mix"]["sieve"] > rates["mix"]["lru"] + 0.05
