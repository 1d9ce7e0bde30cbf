"""Prediction ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skysail.ids import IdSource, id_prefix, parse_id


@given(st.integers(0, 255), st.integers(0, 1 << 40))
def test_ids_are_unique_ordered_and_read_back(frontend: int, boot: int) -> None:
    """Within a run ids ascend as texts; each says where and when it was made."""
    source = IdSource(frontend, boot)
    ids = [source.next() for _ in range(300)]
    assert ids == sorted(set(ids))
    assert [parse_id(id) for id in ids] == [(frontend, boot, i) for i in range(300)]
    assert all(id.startswith(id_prefix(frontend, boot)) for id in ids)
    assert not ids[0].startswith(id_prefix(frontend, boot + 1))


@given(st.text(max_size=30))
def test_what_is_no_id_is_none(text: str) -> None:
    """Anything a client may send is read without an error."""
    parsed = parse_id(text)
    assert parsed is None or len(parsed) == 3
