"""Pictures for the demo: scikit-learn's 1,797 handwritten digits, half to learn from, half held out, and gentle
disturbances.

Use `perturb` to get as many different queries as wanted out of the held-out half: every picture is moved by a fraction
of a pixel and given a little noise, so that no two queries are equal and the models err as they would on pictures from
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skysail.errors import MissingExtra

__all__ = ["Digits", "Images", "Labels", "load_digits", "perturb", "upside_down"]

Images = NDArray[np.float64]
"""Pictures in rows of 64 brightnesses from 0 to 16, row by row of the picture."""

Labels = NDArray[np.int64]
"""The digit each picture shows."""

_SIDE = 8
_BRIGHTEST = 16.0
_SHIFT = 0.3
_NOISE = 1.5


@dataclass(frozen=True)
class Digits:
    """The pictures, split into those to learn from and those held out, with every digit evenly in both."""

    train: Images
    train_labels: Labels
    held_out: Images
    held_out_labels: Labels


def load_digits(seed: int) -> Digits:
    """The split that a seed gives. Raises `MissingExtra` where scikit-learn is not installed."""
    try:
        from sklearn import datasets, model_selection  # noqa: PLC0415  # an optional library
    except ImportError as error:
        raise MissingExtra("the demo", "demo", "scikit-learn") from error
    images, labels = datasets.load_digits(return_X_y=True)
    parts: list[Any] = model_selection.train_test_split(
        images, labels, test_size=0.5, stratify=labels, random_state=seed
    )
    train, held_out, train_labels, held_out_labels = parts
    return Digits(train, train_labels, held_out, held_out_labels)


def perturb(images: Images, rng: np.random.Generator) -> Images:
    """Each picture moved by up to 0.3 pixels each way, with noise of deviation 1.5, rounded to a tenth."""
    pictures = images.reshape(-1, _SIDE, _SIDE)
    for axis in (1, 2):
        pictures = _moved(pictures, rng.uniform(-_SHIFT, _SHIFT, len(images)), axis)
    noisy = pictures + rng.normal(0.0, _NOISE, pictures.shape)
    return np.clip(noisy, 0.0, _BRIGHTEST).round(1).reshape(-1, _SIDE * _SIDE)


def _moved(pictures: Images, by: Images, axis: int) -> Images:
    """Pictures moved along an axis by fractions of a pixel (linear interpolation; dark comes in at the border)."""
    along = np.moveaxis(pictures, axis, -1)
    padded = np.pad(along, ((0, 0), (0, 0), (1, 1)))
    share = np.abs(by)[:, None, None]
    neighbour = np.where(by[:, None, None] > 0, padded[..., :-2], padded[..., 2:])
    return np.moveaxis(along * (1 - share) + neighbour * share, -1, axis)


def upside_down(images: Images) -> Images:
    """Pictures whose rows are in the opposite order: the mistake in the demo's bad release."""
    return images.reshape(-1, _SIDE, _SIDE)[:, ::-1].reshape(-1, _SIDE * _SIDE)
