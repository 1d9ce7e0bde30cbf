"""What reach means for labels, classes and numbers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ConfigError
from skysail.selection.losses import Absolute, Squared, ZeroOne
from skysail.selection.reach import Classes, Kind, Labels, Numbers, covered, kind_of
from skysail.selection.scores import Log, TopK
from skysail.types import Answer, Cover, Distribution, Output

TRUST = Distribution(("a", "b", "c", "d"), (0.4, 0.1, 0.3, 0.2))


def read(kind: Kind, answer: Any, **said: Any) -> tuple[float | None, list[Any]]:
    """What a kind makes of an answer and of what each model said."""
    outputs = {model: None if it is None else Output(msgspec.json.encode(it)) for model, it in said.items()}
    own, ranked = kind.read(Answer(Output(msgspec.json.encode(answer)), 0.7, 1.0, ()), outputs, TRUST)
    return own, [msgspec.json.decode(raw) for raw in ranked]


def test_labels_are_ranked_by_the_weight_behind_them() -> None:
    """The answer comes first, though it has less weight (policies may draw); equal ones are one; none is left out."""
    assert read(Labels(), 7, a=9, b=7, c=8, d=8) == (0.7, [7, 8, 9])
    assert read(Labels(), 7, a=7, b=7.0, c=None, d="7") == (0.7, [7, "7"])


def test_the_reach_of_a_label_is_its_place() -> None:
    """Labels compare as JSON; one that nobody said is farther than all places."""
    assert [Labels().reach([b"7", b"true", b'"7"'], label) for label in (7.0, True, "7", 1)] == [0, 1, 2, 16]


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        (Classes(), [0.1, 0.7, 0.2], (0.7, [1, 2, 0])),
        (Classes(labels=["cat", "dog", 3]), [0.1, 0.3, 0.6], (0.6, [3, "dog", "cat"])),
        (Classes(labels=["cat", "dog"]), {"cat": 0.4, "dog": 0.6}, (0.6, ["dog", "cat"])),
        (Classes(chances=False), [12.5, -3, 100], (0.7, [2, 0, 1])),
        (Classes(chances=False), ["dog", "cat"], (0.7, ["dog", "cat"])),
    ],
)
def test_classes_are_ranked_by_their_number(kind: Kind, answer: Any, expected: Any) -> None:
    """By probability, which says how sure the answer is, or by score; as the labels that clients know."""
    assert read(kind, answer) == expected


def test_a_label_is_found_by_its_text_where_classes_are_keys() -> None:
    """JSON has no other keys, so 3 is the class "3"; a place in a list is no text."""
    assert Classes().reach([b'"5"', b'"3"'], 3) == 1
    assert Classes().reach([b"5", b"3"], "3") == 16


@pytest.mark.parametrize(
    ("kind", "answer"), [(Classes(), 7), (Classes(), {}), (Classes(), [0.5, None]), (Numbers(1.0, 0.1), "7")]
)
def test_an_answer_of_another_kind_is_refused(kind: Kind, answer: Any) -> None:
    """Whoever asks then says nothing of it."""
    with pytest.raises(ValueError, match=r"\w"):
        read(kind, answer)


@pytest.mark.parametrize(
    ("level", "draw", "size"),
    [
        (0.5, 0.9, 1),  # the answer alone is more than enough
        (0.6, 0.9, 1),
        (0.7, 0.49, 2),  # half-way between the first and the second
        (0.7, 0.51, 1),
        (0.85, 0.49, None),  # half-way between all that are known and all there may be
        (0.9, 0.76, 2),
        (1.1, 0.999, None),
    ],
)
def test_a_set_has_the_fewest_labels_or_one_fewer(level: float, draw: float, size: int | None) -> None:
    """By chance, so that what is held is neither more nor less than the level; the answer itself always stays."""
    within = [0.6, 0.8, 0.95]
    level = {0.85: 0.9}.get(level, level)
    assert Labels().bound([b"1", b"2"], within, level, draw) == (size, None)


@pytest.mark.slow
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=16), st.integers(1, 16), st.floats(0.0, 1.2))
def test_what_is_held_is_the_level(steps: list[float], labels: int, level: float) -> None:
    """Over all draws, a set holds as many labels as the level says, unless the answer alone holds more."""
    total = sum(steps) * 1.05
    within = [sum(steps[: place + 1]) / total for place in range(len(steps))]
    ranked = [b"%d" % place for place in range(min(labels, len(steps)))]
    held = [
        1.0 if size is None else within[size - 1]
        for draw in range(200)
        for size, _ in [Labels().bound(ranked, within, level, (draw + 0.5) / 200)]
    ]
    assert sum(held) / 200 == pytest.approx(min(1.0, max(level, within[0])), abs=0.01)


NUMBERS = Numbers(100.0, 10.0)
EVENLY = [min(1.0, 2.0 ** (step / 2)) for step in range(-20, 1)]
"""As if all distances up to the whole range were as frequent."""


def test_an_interval_lies_around_the_answer() -> None:
    """As far as the level says; the whole range is too near where as many labels are farther still."""
    assert NUMBERS.bound([b"40"], EVENLY, 0.25, 0.0)[1] == pytest.approx((15.0, 65.0))
    assert NUMBERS.bound([b"40"], EVENLY, 0.3, 0.0)[1] == pytest.approx((10.0, 70.0))
    assert NUMBERS.bound([b"40"], EVENLY, 0.0, 0.0) == (None, (40.0, 40.0))
    assert NUMBERS.bound([b"40"], [share * 0.9 for share in EVENLY], 0.95, 0.0) == (None, None)
    assert NUMBERS.right(EVENLY) == pytest.approx(0.1)
    assert Numbers(100.0, 200.0).right([0.5] * 21) == 0.5


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_the_reach_of_a_number_is_its_distance(answer: float, label: float) -> None:
    """It is the bin whose edge is the first that is not nearer."""
    reach = NUMBERS.reach([msgspec.json.encode(answer)], label)
    distance = abs(answer - label) / 100.0
    edges = [2.0 ** (step / 2) for step in range(-20, 1)]
    assert all(edge < distance for edge in edges[:reach])
    assert reach == NUMBERS.bins or edges[reach] >= distance


@pytest.mark.parametrize(
    ("cover", "label", "held"),
    [
        (Cover("labels", 0.5, (b"7", b"8")), 7, None),
        (Cover("labels", 0.5, (b"7", b"8"), 0.9, 0.9, size=None), 9, True),
        (Cover("labels", 0.5, (b"7", b"8"), 0.9, 0.9, size=1), 8, False),
        (Cover("labels", 0.5, (b"7", b"8"), 0.9, 0.9, size=2), 8, True),
        (Cover("classes", 0.5, (b'"7"', b'"8"'), 0.9, 0.9, size=1), 7, True),
        (Cover("numbers", 0.5, (b"7",), 0.9, 0.9, interval=(5.0, 9.0)), 9, True),
        (Cover("numbers", 0.5, (b"7",), 0.9, 0.9, interval=(5.0, 9.0)), 9.1, False),
        (Cover("numbers", 0.5, (b"7",), 0.9, 0.9, interval=(5.0, 9.0)), "seven", False),
    ],
)
def test_a_cover_holds_a_label_or_not(cover: Cover, label: Any, held: bool | None) -> None:
    """Without a level nothing was said; without an end everything is held."""
    assert covered(cover, label) is held


def test_losses_say_what_kind_their_outputs_are() -> None:
    """Those derived from ours are as theirs; of others nothing is known."""
    assert isinstance(kind_of(ZeroOne()), Labels)
    assert kind_of(Log(labels=["a", "b"])) == Classes(labels=["a", "b"])
    assert kind_of(TopK(k=3)) == Classes(k=3, chances=False)
    assert kind_of(Absolute(range=(0.0, 50.0))) == Numbers(50.0, 5.0)
    assert kind_of(Squared(range=(0.0, 50.0), tolerance=1.0)) == Numbers(50.0, 1.0)

    class Own:
        name = "own"

    with pytest.raises(ConfigError, match="the loss 'own' judges cannot be calibrated; use zero_one"):
        kind_of(Own())  # type: ignore[arg-type]


def test_right_in_the_first_places_is_right() -> None:
    """An answer of scores is right where the label is among its k best."""
    within = [0.5, 0.6, 0.7] + [0.8] * 13
    assert (Classes().right(within), Classes(k=3).right(within), Classes(k=99).right(within)) == (0.5, 0.7, 0.8)
