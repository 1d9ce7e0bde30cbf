import json
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import ConfigError, InvalidInput
from skysail.selection.base import Loss
from skysail.selection.scores import Log, TopK
from skysail.types import Output

PETS = ("cat", "dog", "eel")


def out(value: Any) -> Output:
    """A model's output."""
    return Output(json.dumps(value).encode())


def test_log_is_scaled_by_its_floor() -> None:
    """Certain and right is 0, the floor and less is 1, between them the logarithm."""
    loss = Log(floor=0.01)
    assert loss.loss([0.0, 1.0], 1) == 0.0
    assert math.isclose(loss.loss([0.9, 0.1], 1), 0.5)
    assert loss.loss([1.0, 0.0], 1) == loss.loss([1.0], 7) == 1.0
    assert math.isclose(loss.loss({"cat": 0.1, "7": 0.9}, "cat"), 0.5)
    assert loss.loss({"7": 1.0}, 7) == 0.0


def test_probabilities_combine_class_by_class() -> None:
    """By place or by label; a class that one leaves out has probability 0 there."""
    assert Log().combine([(1.0, out([0.5, 0.5])), (3.0, out([0.0, 0.5, 0.5]))]).value == [0.125, 0.5, 0.375]
    assert Log().combine([(1.0, out({"a": 1.0})), (1.0, out({"b": 1}))]).value == {"a": 0.5, "b": 0.5}
    with pytest.raises(ValueError, match="do not combine"):
        Log().combine([(1.0, out([1.0])), (1.0, out({"a": 1.0}))])


def test_probabilities_agree_by_the_likeliest_class() -> None:
    """Two outputs say the same where their likeliest class is the same."""
    assert Log().agree([0.6, 0.4], [0.9, 0.1])
    assert not Log().agree({"a": 0.6, "b": 0.4}, {"a": 0.4, "b": 0.6})
    with pytest.raises(ValueError, match="neither a list nor an object"):
        Log().agree([], [1.0])


@pytest.mark.parametrize("output", [[], {}, "a", [0.5, -0.1], {"a": 1.5}, [[1.0]], [None]])
def test_what_are_no_probabilities_is_refused(output: Any) -> None:
    """An output that is not made of probabilities is a ValueError."""
    with pytest.raises(ValueError, match=r"is neither|which is no number from 0 to 1"):
        Log().loss(output, 0)


def test_a_label_by_name_needs_probabilities_by_name() -> None:
    """A list of probabilities cannot be judged by a label that is no place in it."""
    with pytest.raises(ValueError, match="'cat' is no place in a list of 2"):
        Log().loss([0.5, 0.5], "cat")


def test_declared_labels_name_the_places_of_a_list() -> None:
    """A label is judged by its place among the labels, numbers too; an object is read by its keys."""
    loss = Log(labels=PETS)
    assert math.isclose(loss.loss([0.8, 0.1, 0.1], "dog"), 0.5)
    assert math.isclose(loss.loss({"dog": 0.1, "cat": 0.9}, "dog"), 0.5)
    assert Log(labels=[30, 10, 20]).loss([0.0, 0.0, 1.0], 20) == 0.0
    assert Log(labels=[True, False]).loss({"true": 1.0}, True) == 0.0
    assert loss.loss([0.9, 0.1], "eel") == 1.0
    assert TopK(k=1, labels=PETS).loss([0.2, 0.3, 0.5], "eel") == 0.0


@pytest.mark.parametrize("loss", [Log(labels=PETS), TopK(labels=PETS)], ids=lambda loss: loss.name)
def test_a_label_that_is_not_declared_is_invalid_input(loss: Loss) -> None:
    """The message names the label, and those there are; a place is no label where labels are declared."""
    loss.check_label("cat")
    for label in ("cow", 0, None):
        with pytest.raises(InvalidInput, match=r"label .* is none of the labels that the models declare: \['cat',"):
            loss.check_label(label)


@pytest.mark.parametrize("loss", [Log(), TopK()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("label", [-1, True, [0], None])
def test_a_label_that_names_no_class_is_invalid_input(loss: Loss, label: Any) -> None:
    """Without declared labels a label is a place, or a key."""
    loss.check_label(0)
    loss.check_label("cat")
    with pytest.raises(InvalidInput, match=f"label .* cannot be judged: the loss '{loss.name}' compares classes"):
        loss.check_label(label)


@pytest.mark.parametrize(
    ("output", "label", "k", "loss"),
    [
        ([0.1, 0.5, 0.4], 1, 1, 0.0),
        ([0.1, 0.5, 0.4], 2, 1, 1.0),
        ([0.1, 0.5, 0.4], 2, 2, 0.0),
        ([0.5, 0.5, 0.5], 1, 1, 1.0),
        ([0.5, 0.5, 0.5], 1, 2, 0.0),
        ([-3, -1, -2], 0, 2, 1.0),
        ([0.1, 0.5], 7, 5, 1.0),
        ({"x": 3.5, "y": 9, "7": -1}, "y", 1, 0.0),
        ({"x": 3.5, "y": 9, "7": -1}, 7, 2, 1.0),
        ({"x": 3.5}, "y", 5, 1.0),
        (["x", "y", "z"], "y", 2, 0.0),
        (["x", "y", "z"], "z", 2, 1.0),
        (["x"], "y", 2, 1.0),
    ],
)
def test_the_label_is_among_the_best_or_not(output: Any, label: Any, k: int, loss: float) -> None:
    """Scores of either sign, in a list or an object, or a ranking; of equal scores the first listed is better."""
    assert TopK(k=k).loss(output, label) == loss
    if not isinstance(output, list) or isinstance(output[0], str):
        label = label if isinstance(label, str) else str(label)
    assert TopK(k=k).credits(output).get(label, 0.0) == 1.0 - loss


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 5))
def test_exactly_k_labels_are_right(scores: list[int], k: int) -> None:
    """However many scores are equal."""
    right = [place for place in range(len(scores)) if TopK(k=k).loss(scores, place) == 0.0]
    assert len(right) == min(k, len(scores))
    assert set(TopK(k=k).credits(scores)) == set(right)


def test_scores_and_rankings_combine() -> None:
    """Scores by their weighted mean, rankings by reciprocal rank; the two do not mix."""
    assert TopK().combine([(1.0, out([4, 0])), (3.0, out([0.0, 2.0, 1.0]))]).value == [1.0, 1.5, 0.75]
    assert TopK().combine([(1.0, out({"a": 1})), (1.0, out({"b": 4}))]).value == {"a": 0.5, "b": 2.0}
    ranked = TopK().combine([(0.5, out(["a", "b", "c"])), (0.3, out(["c", "b"])), (0.1, out(["b", "a"]))])
    assert ranked.value == ["a", "b", "c"]
    for odd in ([1.0, 2.0], {"a": 1.0}):
        with pytest.raises(ValueError, match="do not combine"):
            TopK().combine([(1.0, out(["a", "b"])), (1.0, out(odd))])


def test_equal_texts_are_combined_without_being_changed() -> None:
    """What all models say goes on as they said it, if it is what the loss compares."""
    for loss, said in ((Log(), "[0.50, 0.50]"), (TopK(), "[7, 1e3]"), (TopK(), '["b", "a"]')):
        output = Output(said.encode())
        assert loss.combine([(0.5, output), (0.5, Output(said.encode()))]) is output
    with pytest.raises(ValueError, match="is neither"):
        TopK().combine([(0.5, out("x")), (0.5, out("x"))])


def test_rankings_agree_by_their_best() -> None:
    """Whatever follows it."""
    assert TopK().agree(["a", "b"], ["a", "c"])
    assert not TopK().agree([1.0, 2.0], [2.0, 1.0])


def test_what_counts_as_right_is_the_best_class() -> None:
    """Not whether the loss is 0, which for probabilities it hardly ever is."""
    assert Log(labels=PETS).right([0.2, 0.7, 0.1], "dog")
    assert not TopK(k=5).right([0.2, 0.7, 0.1], 0)


@pytest.mark.parametrize("output", [[], {}, 3, "a", [None], {"a": "b"}, ["a", 1], [True, False]])
def test_what_are_no_scores_is_refused(output: Any) -> None:
    """Neither numbers nor a ranking of names."""
    with pytest.raises(ValueError, match=r"is neither a list nor an object|which is no number"):
        TopK().loss(output, 0)


def test_a_score_beyond_all_numbers_is_refused() -> None:
    """JSON can say more than a float holds."""
    for loss in (TopK(), Log()):
        with pytest.raises(ValueError, match="holds"):
            loss.loss([math.inf, 1.0], 0)


def test_credits_are_what_a_loss_leaves() -> None:
    """For every label, one less the loss; those without credit are left out."""
    rng = Random(0)
    for _ in range(20):
        raw = [rng.random() ** 4 for _ in range(5)]
        output = [chance / sum(raw) for chance in raw]
        credits = Log().credits(output)
        for place in range(5):
            assert math.isclose(credits.get(place, 0.0), 1.0 - Log().loss(output, place), abs_tol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Log(floor=0), "floor = 0 must be a number above 0 and of at most 0.5"),
        (lambda: TopK(k=0), "k = 0 must be a number of at least 1"),
        (lambda: TopK(k=2.5), "k = 2.5 must be a whole number"),
        (lambda: Log(labels="abc"), "labels = 'abc' must be a list of the classes, each once"),
        (lambda: TopK(labels=["a", "b", "a"]), "must be a list of the classes, each once"),
    ],
)
def test_parameters_are_checked(make: Any, message: str) -> None:
    """A parameter out of its range is a config error that says what it may be."""
    with pytest.raises(ConfigError, match=message):
        make()
