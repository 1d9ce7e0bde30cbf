"""The benchmark of the cache: its requests are what they say, and it measures what it says."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module; benchmarks are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.cache")


@pytest.mark.parametrize("hits", [0, 50, 90, 100])
def test_so_many_of_a_hundred_inputs_stay_the_same(cache: Any, hits: int) -> None:
    """The mark is in the limit of those that are to hit, and in the input of all others; none has a limit that counts,
    and they come evenly mixed.
    """
    bodies = cache.hit_bodies(hits)
    marked = [cache.MARK in body.partition("deadline_ms")[2] for body in bodies]
    assert (len(bodies), sum(marked)) == (100, hits)
    assert sum(marked[:50]) == hits // 2
    assert all(body.count(cache.MARK) == 1 for body in bodies)
    asked = [json.loads(body.replace(cache.MARK, "0.100000000007")) for body in bodies]
    assert all(len(it["input"]) == 64 and it["deadline_ms"] > 90_000 for it in asked)
    assert len({json.dumps(it["input"]) for it in asked}) == 100


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_a_small_run(cache: Any) -> None:
    """Every kind of lookup is made, at every rate of hits; feedback is taken with the cache and without."""
    report = cache.measure_cache(1, 0.3)
    assert set(report.data["lists_us"]) == {"miss", "joined", "hit"}
    assert all(micros > 0 for found in report.data["lists_us"].values() for micros in found)
    sweeps = report.data["sweep"]
    assert set(sweeps) == {"large", "crowd"}
    assert all([seen["hits"] > 0 for [seen] in it.values()] == [False, True, True, True] for it in sweeps.values())
    assert all(rate > 0 for seen in report.data["feedback_rates"].values() for pair in seen for rate in pair)
    assert report.data["traces"]["mix"]["sieve"] > report.data["traces"]["mix"]["lru"]
    assert len(report.goals) == 2
