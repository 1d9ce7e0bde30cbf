"""The demo's traffic, planned before it is sent: which picture is asked when, and how much later its label becomes
known.

A plan is a pure function of the seed, so two runs ask the same questions. Four in five queries are pictures never sent
before (each a fresh disturbance of a held-out one); one in five repeats a recent query exactly, as real traffic does,
and may be answered from the cache. More repeats than that would let the cache hide a model that breaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skysail.demo.digits import Digits, Images, Labels, perturb

__all__ = ["DELAY", "REPEATS", "Traffic", "plan"]

REPEATS = 0.2
"""The share of queries that repeat a recent one exactly."""

_RECENT = 200
"""How many queries back a repeat may reach."""

DELAY = (0.1, 0.5)
"""The least and the most seconds from an answer to its label."""


@dataclass(frozen=True)
class Traffic:
    """A run's queries, in the order they are sent."""

    images: Images
    """The pictures, one row of 64 for each query."""

    labels: Labels
    """The digits they show."""

    at: NDArray[np.float64]
    """When each query is sent, in seconds from the start."""

    delays: NDArray[np.float64]
    """How long after its answer each label is known, in seconds."""

    def __len__(self) -> int:
        return len(self.labels)


def plan(digits: Digits, seconds: float, rate: float, seed: int) -> Traffic:
    """Traffic of so many queries per second, coming at random (a Poisson process)."""
    rng = np.random.default_rng(seed)
    count = max(1, round(seconds * rate))
    picked = rng.integers(len(digits.held_out), size=count)
    images = perturb(digits.held_out[picked], rng)
    source = _sources(rng, count)
    return Traffic(
        images=images[source],
        labels=digits.held_out_labels[picked][source],
        at=np.sort(rng.uniform(0.0, seconds, count)),
        delays=rng.uniform(*DELAY, count),
    )


def _sources(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """For each query the one whose picture it shows: itself, or one of the recent ones."""
    back = rng.integers(1, _RECENT + 1, size=count)
    source = np.arange(count)
    for query in np.flatnonzero((rng.random(count) < REPEATS) & (back <= source)):
        source[query] = source[query - back[query]]
    return source
