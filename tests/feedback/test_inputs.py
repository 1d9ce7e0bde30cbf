"""Inputs in the ledger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.feedback.inputs import RecentInputs, digest


@given(st.binary(), st.binary(), st.booleans(), st.booleans())
def test_a_digest_stands_for_bytes_of_a_kind(one: bytes, other: bytes, text: bool, binary: bool) -> None:
    """Digests are equal exactly where bytes and kind are."""
    assert (digest(one, text) == digest(other, binary)) == ((one, text) == (other, binary))
    assert len(digest(one, text)) == 16


def test_the_newest_decision_is_found() -> None:
    """The last decision about an input wins; another application or context has its own."""
    inputs = RecentInputs()
    inputs.add("a", None, b"x", "1")
    inputs.add("a", None, b"x", "2")
    inputs.add("a", "user", b"x", "3")
    inputs.add("b", None, b"x", "4")
    assert inputs.find("a", None, b"x") == "2"
    assert inputs.find("a", "user", b"x") == "3"
    assert inputs.find("a", "other", b"x") is None
    assert inputs.find("a", None, b"y") is None


def test_old_inputs_are_forgotten() -> None:
    """The index is bounded: it keeps the last inputs and not the first."""
    inputs = RecentInputs(limit=100)
    for n in range(1000):
        inputs.add("a", None, b"%d" % n, str(n))
    assert inputs.find("a", None, b"999") == "999"
    assert inputs.find("a", None, b"0") is None
