"""A model in plain Python, without any library: the digit whose average picture is nearest.

The averages are read from `models/centroids.json` beside this file, at the first prediction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["predict"]


@cache
def _centroids() -> list[list[float]]:
    """The average picture of each digit, in order of the digits."""
    path = Path(__file__).with_name("models") / "centroids.json"
    centroids: list[list[float]] = json.loads(path.read_text(encoding="utf-8"))
    return centroids


def _distance(row: list[float], centroid: list[float]) -> float:
    """The squared Euclidean distance."""
    return sum([(a - b) * (a - b) for a, b in zip(row, centroid, strict=True)])


def _nearest(row: list[float]) -> int:
    distances = [_distance(row, centroid) for centroid in _centroids()]
    return distances.index(min(distances))


def predict(batch: Iterable[Iterable[float]]) -> list[int]:
    """The digit on each picture of the batch; a picture is 64 brightnesses from 0 to 16."""
    return [_nearest([float(value) for value in row]) for row in batch]
