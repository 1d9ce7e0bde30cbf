from __future__ import annotations

import sys

import numpy as np
import pytest

from skysail.demo.digits import load_digits, perturb, upside_down
from skysail.errors import MissingExtra


def test_half_is_held_out() -> None:
    """Every picture is either learned from or held out, and each half has every digit about as often."""
    digits = load_digits(seed=3)
    assert len(digits.train) + len(digits.held_out) == 1797
    counts = [np.bincount(labels) for labels in (digits.train_labels, digits.held_out_labels)]
    assert len(counts[0]) == 10
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_a_seed_gives_one_split() -> None:
    """The same seed splits the same way, another one differently."""
    assert np.array_equal(load_digits(1).train, load_digits(1).train)
    assert not np.array_equal(load_digits(1).train, load_digits(2).train)


def test_perturbed_pictures_are_fresh_and_alike() -> None:
    """A disturbed picture differs from its original and from another disturbance, but is still more like it than
    others.
    """
    images = load_digits(0).held_out[:50]
    rng = np.random.default_rng(0)
    first, second = perturb(images, rng), perturb(images, rng)
    assert first.min() >= 0.0
    assert first.max() <= 16.0
    assert not (first == images).all(axis=1).any()
    assert not (first == second).all(axis=1).any()
    distances = ((first[:, None] - images[None]) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == np.arange(50)).mean() > 0.9


def test_moving_keeps_a_blank_picture_blank_and_light_inside() -> None:
    """No light comes in from the border, and a bright spot spreads to its neighbours only."""
    image = np.zeros((200, 8, 8))
    image[:, 4, 4] = 16.0
    moved = perturb(image.reshape(200, 64), np.random.default_rng(0)).reshape(200, 8, 8).mean(axis=0)
    background = np.median(moved)
    bright = moved > background + 0.5
    assert bright[4, 4]
    assert not bright[[0, 1, 2, 6, 7]].any()


def test_upside_down_twice_is_the_same() -> None:
    """Turning twice gives the pictures back; turning once puts the first row last."""
    images = load_digits(0).train[:5]
    assert np.array_equal(upside_down(upside_down(images)), images)
    assert np.array_equal(upside_down(images)[:, :8], images[:, 56:])


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scikit-learn is not installed the message says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"scikit-learn.*pip install 'skysail\[demo\]'"):
        load_digits(0)
