"""Decisions as blobs: what goes in can be cut out again, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.errors import StoreError
from skysail.ids import IdSource
from skysail.stores import blocks
from skysail.stores.blocks import BYTES, GAP, SPAN, cut, members, pack, parse_key, require_key

RECORDS = st.dictionaries(st.integers(0, 2_000), st.binary(min_size=1, max_size=9), max_size=200).map(
    lambda records: dict(sorted(records.items()))
)


@given(RECORDS)
def test_every_record_is_cut_out_of_one_blob(records: dict[int, bytes]) -> None:
    """Each record is in exactly one blob, under its counter, and nothing else is in any."""
    packed = pack(records)
    found = {n: cut(blob.data, n - blob.first) for blob in packed for n in members(*blob)}
    assert found == records
    assert sum(len(members(*blob)) for blob in packed) == len(records)


@given(RECORDS)
def test_a_hole_is_no_record(records: dict[int, bytes]) -> None:
    """A counter in a blob's range that was not recorded gives nothing."""
    for blob in pack(records):
        for counter in range(blob.first, blob.last + 1):
            assert (cut(blob.data, counter - blob.first) is None) == (counter not in records)


@given(RECORDS)
def test_blobs_are_of_bounded_span(records: dict[int, bytes]) -> None:
    """No blob covers more than `SPAN` counters, and none begins or ends with a hole."""
    for blob in pack(records):
        assert blob.last - blob.first < SPAN
        assert {blob.first, blob.last} <= records.keys()


def test_wide_gaps_and_large_records_begin_another_blob() -> None:
    """Records far apart do not pay for the holes between them, and a blob does not grow without end."""
    assert [(blob.first, blob.last) for blob in pack({0: b"a", 1: b"b", GAP + 100: b"c"})] == [(0, 1), (164, 164)]
    large = {n: bytes(BYTES // 2) for n in range(7)}
    assert [(blob.first, blob.last) for blob in pack(large)] == [(0, 2), (3, 5), (6, 6)]


def test_a_commit_of_many_is_few_blobs() -> None:
    """A thousand decisions in a row take as few blobs as their span allows."""
    assert len(pack(dict.fromkeys(range(1000), b"x"))) == -(-1000 // SPAN)


def test_positions_are_the_documented_format() -> None:
    """A blob is its table of positions, then its records: readers of another language rely on it."""
    assert pack({5: b"ab", 7: b"c"})[0].data == bytes.fromhex("10000000 12000000 12000000 13000000") + b"abc"
    assert blocks.SPAN < 2**16


def test_ids_are_keys() -> None:
    """An id's numbers are read; one that no store could hold, or that is none, is refused where it is written."""
    source = IdSource(2, 77)
    source.next()
    assert parse_key(source.next()) == require_key("02-00004d-00000001") == (2, 77, 1)
    assert parse_key("02-00004d-" + "f" * 16) is None
    with pytest.raises(StoreError, match="'nonsense' is not a prediction id"):
        require_key("nonsense")
