"""Every cache obeys the laws, and the laws find a cache that does not."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from random import Random

import pytest

import skysail.cache
from skysail.cache.cache import Cache
from skysail.cache.lru import Lru
from skysail.cache.table import CACHES
from skysail.testing.caches import LAWS, TRACES, MakeCache, check_cache, hit_rate
from skysail.testing.clock import ManualClock


def all_caches() -> list[type[Cache]]:
    """Every implementation in the package, found by reflection."""
    for module in pkgutil.iter_modules(skysail.cache.__path__, "skysail.cache."):
        importlib.import_module(module.name)
    return sorted((c for c in Cache.__subclasses__() if c.__module__.startswith("skysail.cache.")), key=repr)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", all_caches(), ids=lambda kind: kind.__name__)
def test_obeys(kind: type[Cache], law: Callable[[MakeCache, Random], None], rng: Random) -> None:
    """The cache obeys the law."""
    law(kind, rng)


def test_every_cache_can_be_configured() -> None:
    """What is implemented has a name."""
    assert set(CACHES.values()) == set(all_caches())


class Forgetful(Lru):
    """Keeps the last output of any key."""

    def put(self, key: bytes, output: bytes, now: float) -> None:
        super().put(key[:4], output, now)

    def get(self, key: bytes) -> bytes | None:
        return super().get(key[:4])


class Boundless(Lru):
    """Has twice the budget it tells of."""

    def put(self, key: bytes, output: bytes, now: float) -> None:
        self._budget *= 2
        super().put(key, output, now)
        self._budget //= 2


class Wasteful(Lru):
    """Begins anew with every hundredth output."""

    def put(self, key: bytes, output: bytes, now: float) -> None:
        super().put(key, output, now)
        if self._held() == 100:
            self._entries.clear()
            self._bytes = 0


class Stubborn(Lru):
    """Takes nothing new for small change once it is full."""

    def put(self, key: bytes, output: bytes, now: float) -> None:
        if output != b"1" or self._bytes + 300 < self._budget:
            super().put(key, output, now)


class Eager(Lru):
    """Makes room for what does not fit."""

    def put(self, key: bytes, output: bytes, now: float) -> None:
        if len(output) >= self._budget:
            self._entries.clear()
        super().put(key, output, now)


class Ageless(Lru):
    """Makes an output young again by using it."""

    def get(self, key: bytes) -> bytes | None:
        if key in self._born:
            self._born[key] = self._now()
        return super().get(key)


class Silent(Lru):
    """Counts no misses."""

    def get(self, key: bytes) -> bytes | None:
        found = super().get(key)
        self._misses = 0
        return found


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Forgetful, "answers_what_was_put"),
        (Boundless, "stays_within_its_budget"),
        (Wasteful, "keeps_what_fits"),
        (Stubborn, "keeps_what_is_new"),
        (Eager, "refuses_giants"),
        (Ageless, "serves_nothing_too_old"),
        (Silent, "counts_what_it_does"),
    ],
)
def test_a_bad_cache_is_found(kind: type[Cache], law: str) -> None:
    """A cache that breaks a law fails the check, which names the law."""
    with pytest.raises(AssertionError) as caught:
        check_cache(kind)
    assert any(law in note for note in caught.value.__notes__)


def test_a_good_cache_passes() -> None:
    """The whole check passes over the default."""
    check_cache(Lru)


@pytest.mark.parametrize("kind", TRACES)
def test_a_trace_is_its_seeds(kind: str) -> None:
    """The same seed makes the same trace, another one another; some inputs come again, so that a cache is of use."""
    make = TRACES[kind]
    trace = make(Random(1))
    assert trace == make(Random(1)) != make(Random(2))
    assert len(set(trace)) < len(trace)


def test_a_hit_rate_is_a_share_of_all_queries() -> None:
    """Of a, b, a, a two are known."""
    assert hit_rate(Lru(1 << 20, None, ManualClock()), [1, 2, 1, 1]) == 0.5
