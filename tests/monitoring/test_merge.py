from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skysail.monitoring.merge import merge

COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 100))


@given(st.lists(st.fixed_dictionaries({"errors": COUNTS, "answers": st.integers(0, 100)}), max_size=4))
def test_counts_add_up_whatever_keys_each_has(snapshots: list[dict[str, Any]]) -> None:
    """A count that one frontend alone has is not lost, and none is counted twice."""
    merged = merge(snapshots)
    assert merged.get("answers", 0) == sum(s["answers"] for s in snapshots)
    for key in "abc":
        assert merged.get("errors", {}).get(key, 0) == sum(s["errors"].get(key, 0) for s in snapshots)


@given(st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), st.text(), st.booleans(), COUNTS)))
def test_one_snapshot_stays_as_it_is(snapshot: dict[str, Any]) -> None:
    """With one frontend, merging changes nothing."""
    assert merge([snapshot]) == snapshot


def test_what_is_not_a_count_is_not_added() -> None:
    """The slowest quantile, the largest cap, any weights, whether one drains, and the first reason for a failure."""
    a = {"p99_ms": 3.0, "cap": 4, "weights": {"m": 0.5}, "failing": None, "draining": False, "ready": {"x": None}}
    b = {"p99_ms": 9.0, "cap": 2, "weights": {"m": 0.4}, "failing": "disk full", "draining": True, "ready": {"x": "no"}}
    assert merge([a, b]) == {
        "p99_ms": 9.0,
        "cap": 4,
        "weights": {"m": 0.5},
        "failing": "disk full",
        "draining": True,
        "ready": {"x": "no"},
    }
    assert merge([]) == {}


def test_all_must_be_ready() -> None:
    """A replica that one frontend cannot reach is shown as that frontend sees it; its process is one and the same."""
    ready, lost = {"state": "ready", "pid": 7, "inflight": 2}, {"state": "connecting", "pid": None, "inflight": 0}
    assert merge([ready, lost]) == merge([lost, ready]) == {"state": "connecting", "pid": 7, "inflight": 2}
    assert merge([ready, ready]) == {"state": "ready", "pid": 7, "inflight": 4}
    assert merge([{"ready": True}, {"ready": False}]) == {"ready": False}


def test_each_frontend_has_a_cap_of_its_own() -> None:
    """What is told by a frontend's name stays apart."""
    caps = [{"cap": 4, "caps": {"frontend/0": 4}}, {"cap": 9, "caps": {"frontend/1": 9}}]
    assert merge(caps) == {"cap": 9, "caps": {"frontend/0": 4, "frontend/1": 9}}


def test_what_is_in_the_store_is_not_added_up() -> None:
    """How sets turned out is read from the store by all frontends alike."""
    tally = {"judged": 40, "covered": 37, "coverage": 0.925}
    assert merge([{"conformal": tally}, {"conformal": tally}]) == {"conformal": tally}
    assert merge([{"conformal": None}, {"conformal": None}]) == {"conformal": None}
