"""The vocabulary that every floor shares."""

from __future__ import annotations

from skysail import types, values
from skysail.types import ModelRef


def test_the_vocabulary_is_whole() -> None:
    """What is defined apart, because every query makes it, is in the vocabulary all the same."""
    assert set(values.__all__) < set(types.__all__)
    assert all(getattr(types, name) is getattr(values, name) for name in values.__all__)


def test_a_reference_round_trips() -> None:
    """`name@version` is read back, whatever the name holds."""
    for ref in (ModelRef("svm", 1), ModelRef("a.b-c_d", 12)):
        assert ModelRef.parse(str(ref)) == ref
