from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.stats.means import Means
from skysail.types import Estimate, Output


def said(*texts: str) -> Means:
    """The means after one version said all this."""
    means = Means()
    for text in texts:
        means.add("m@1", Output(text.encode()))
    return means


@pytest.mark.parametrize(
    ("texts", "mean"),
    [
        (["1", "2.0", "6"], 3.0),
        (["[1, 0]", "[0.5, 0.5]"], [0.75, 0.25]),
        (['{"b": 1, "a": 0}', '{"a": 0.5, "b": 0.5}'], {"a": 0.25, "b": 0.75}),
    ],
)
def test_numbers_have_a_mean(texts: list[str], mean: object) -> None:
    """Bare, in a list place by place, and by label; in the shape of the outputs, and marked as an estimate."""
    found = said(*texts).get("m@1")
    assert isinstance(found, Estimate)
    assert found.value == mean


@pytest.mark.parametrize("text", ['"cat"', "true", "null", "[]", "{}", "[[1, 2]]", '[1, "a"]', '{"a": true}'])
def test_other_outputs_have_none(text: str) -> None:
    """Between classes there is nothing: such an output is passed over."""
    assert said(text).get("m@1") is None
    found = said("4", text).get("m@1")
    assert found is not None
    assert found.value == 4.0


def test_another_shape_starts_anew() -> None:
    """A version that changes what it says is not averaged over the change."""
    found = said("[1, 2]", "[3, 4]", "[1, 2, 3]").get("m@1")
    assert found is not None
    assert found.value == [1.0, 2.0, 3.0]


def test_each_version_has_its_own() -> None:
    """And those that are not served any more are forgotten."""
    means = said("1")
    means.add("m@2", Output(b"3"))
    means.keep({"m@2"})
    assert means.get("m@1") is None
    assert means.get("m@2") == Output(b"3.0")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_it_is_the_mean(values: list[float]) -> None:
    """Of as many outputs as it remembers in full, and the same object until another comes."""
    means = said(*map(json.dumps, values))
    found = means.get("m@1")
    assert found is not None
    assert found is means.get("m@1")
    assert found.value == pytest.approx(sum(values) / len(values), rel=1e-6, abs=1e-3)


def test_a_long_past_fades() -> None:
    """After a thousand outputs the mean forgets, so that it follows a world that changes."""
    found = said(*["0"] * 5000, *["1"] * 3000).get("m@1")
    assert found is not None
    assert found.value > 0.94
