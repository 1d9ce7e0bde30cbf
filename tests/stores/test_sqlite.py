"""The SQLite store, beyond the laws that all stores obey: its file, and its failures."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skysail.errors import StoreError
from skysail.stores import sqlite
from skysail.stores.base import Add, Block, ObservationWrite, Writes
from skysail.stores.sqlite import SQLiteStore
from skysail.types import Observation, State

SMALL = Writes([Block(0, 1, 1.0, {1: b"one"})])
LARGE = Writes(
    [Block(0, 1, 1.0, {2: bytes(1 << 20)})],
    observations=[
        ObservationWrite(
            Observation("00-000001-00000002", b"1", None, 1.0), (Add("k", State(1.0, {"a": (1.0,)}), 1.0),)
        )
    ],
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """An open store."""
    store = SQLiteStore(tmp_path / "state.db")
    store.open()
    yield store
    store.close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A file of a later version is left alone, and the message says what to do."""
    path = _file(tmp_path, "PRAGMA user_version = 7")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"is of format 7.*reads up to 1; install a newer Skysail"):
        SQLiteStore(path).open()
    assert path.read_bytes() == before


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    """A SQLite file that is not ours is not written to."""
    path = _file(tmp_path, "CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="belongs to another program; name another file"):
        SQLiteStore(path).open()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of another kind is named, with the remedy."""
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match=r"cannot open the state file .*state\.db.*move it away"):
        SQLiteStore(path).open()


def test_a_corrupt_file_is_a_store_error(tmp_path: Path) -> None:
    """Pages that were overwritten are found when they are read."""
    store = SQLiteStore(tmp_path / "state.db")
    store.open()
    store.write(LARGE)
    store.close()
    data = bytearray(store.path.read_bytes())
    data[8192:] = os.urandom(len(data) - 8192)
    store.path.write_bytes(data)
    with pytest.raises(StoreError, match=r"state\.db.*(restore it from a backup|move it away)"):
        _use(SQLiteStore(store.path))


@pytest.mark.parametrize("place", ["taken", "taken/below/state.db"])
def test_a_place_that_cannot_be_is_a_store_error(tmp_path: Path, place: str) -> None:
    """A folder where the file should be, or a file where a folder should, is reported with its name."""
    if place == "taken":
        (tmp_path / "taken").mkdir()
    else:
        (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match="taken"):
        SQLiteStore(tmp_path / place).open()


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Processes that start together all get the same file, made once."""
    stores = [SQLiteStore(tmp_path / "new" / "state.db") for _ in range(8)]
    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(SQLiteStore.open, stores))
        boots = list(pool.map(lambda store: store.next_boot(0), stores))
    for store in stores:
        store.close()
    assert sorted(boots) == list(range(1, 9))


def test_a_full_disk_fails_whole_transactions_and_passes(store: SQLiteStore) -> None:
    """What does not fit leaves nothing behind; reading goes on; once there is room again, so does writing."""
    store.write(SMALL)
    assert store._writer is not None
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"full.*free some disk space"):
            store.write(LARGE)
        assert store.find("00-000001-00000002") is None
        assert store.observation("00-000001-00000002") is None
        assert store.get("k") is None
        assert store.find("00-000001-00000001") == b"one"
    store._writer.execute(f"PRAGMA max_page_count = {pages + 400}")
    assert store.write(LARGE).first == [True]
    assert store.get("k") == State(1.0, {"a": (1.0,)})


def test_a_lock_held_elsewhere_is_a_store_error(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that will not let go is waited for, then reported; afterwards writing goes on."""
    monkeypatch.setattr(sqlite, "_WRITE_TRIES", 3)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked; another process holds it"):
        store.write(SMALL)
    assert store.find("00-000001-00000001") is None
    other.execute("ROLLBACK")
    other.close()
    store.write(SMALL)
    assert store.find("00-000001-00000001") == b"one"


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Reading or writing before `open` or after `close` is a store error, not a crash."""
    store = SQLiteStore(tmp_path / "state.db")
    with pytest.raises(StoreError, match="is not open"):
        store.get("k")
    store.open()
    store.open()
    store.close()
    with pytest.raises(StoreError, match="is not open"):
        store.write(SMALL)


def test_a_commit_is_synced_and_survives_the_log(store: SQLiteStore) -> None:
    """The file is in write-ahead mode and fully synced, whatever SQLite's own defaults are."""
    assert store._writer is not None
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_room_that_was_pruned_is_used_again(store: SQLiteStore) -> None:
    """A file that is pruned to a size does not grow beyond it for ever."""
    sizes = []
    for n in range(60):
        store.write(Writes([Block(0, 1, float(n), {n: bytes(100_000)})]))
        store.prune(0.0, 1_000_000)
        assert store._writer is not None
        sizes.append(store._writer.execute("PRAGMA page_count").fetchone()[0] * 8192)
    assert max(sizes) < 1_400_000


def test_reads_hold_no_snapshot(store: SQLiteStore) -> None:
    """After a read nothing keeps the log from being emptied: it would grow without end."""
    store.write(LARGE)
    store.find("00-000001-00000002")
    store.get("k")
    assert store._writer is not None
    assert store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def _file(folder: Path, statement: str) -> Path:
    path = folder / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    return path


def _use(store: SQLiteStore) -> None:
    try:
        store.open()
        store.find("00-000001-00000002")
        store.get("k")
        store.write(SMALL)
    finally:
        store.close()
