"""The store of one machine: a SQLite file, read from the event loop and written by one thread of each process."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from skysail.errors import StoreError
from skysail.stores import schema
from skysail.stores.base import Add, Block, Completion, ObservationWrite, Store, Writes, Written
from skysail.stores.blocks import SPAN, members, pack, parse_key, require_key
from skysail.stores.changes import changed
from skysail.types import Observation, State

__all__ = ["SQLiteStore"]

_PRUNED_AT_ONCE = 32
_ROWS_AT_ONCE = 100
_READ_PATIENCE = 0.01
_WRITE_PATIENCE = 5.0
_WRITE_TRIES = 5000
"""Milliseconds that a transaction waits for those of other processes."""
_WAL_LIMIT = 64 << 20

_REMEDIES = {
    "SQLITE_FULL": "free some disk space",
    "SQLITE_BUSY": "another process holds it locked: see which with fuser, and end it",
    "SQLITE_NOTADB": "move it away, or name another file in [server] state",
    "SQLITE_CORRUPT": "restore it from a backup, or move it away to begin anew",
    "SQLITE_READONLY": "make the file and its folder writable",
    "SQLITE_CANTOPEN": "make the folder writable, or name another file in [server] state",
    "SQLITE_PERM": "make the file and its folder writable",
}
"""What to do about an error, by the beginning of SQLite's name for it."""

_encode = msgspec.json.encode
_decode_completion = msgspec.json.Decoder(tuple[str | None, str | None, float]).decode
_decode_observation = msgspec.json.Decoder(tuple[str | None, float | None, float]).decode
_decode_pairs = msgspec.json.Decoder(list[tuple[str, str]]).decode
_decode_places = msgspec.json.Decoder(list[int]).decode

_Key = tuple[int, int, int]


class SQLiteStore(Store):
    """Everything in one file, in write-ahead mode and synced at each commit: what was committed survives a power cut.

    Use it on one machine, with any number of processes; the file must not lie on a network file system. Needs SQLite
    3.15 (row values) with its JSON functions, which every build has since 3.38 and nearly every one before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = Lock()
        self._reading = Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or create the file and its folder; refuse one of another kind, or of a newer version."""
        with self._writing, self._reading:
            if self._writer is not None:
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"cannot create the folder of the state file {self.path}: {error.strerror}") from error
            with self._typed("open"):
                writer = self._connect(_WRITE_PATIENCE)
                try:
                    self._prepare(writer)
                    writer.execute("PRAGMA busy_timeout = 1")
                    reader = self._connect(_READ_PATIENCE)
                    reader.execute("PRAGMA query_only = 1")
                except BaseException:
                    writer.close()
                    raise
            self._writer, self._reader = writer, reader

    def close(self) -> None:
        """Close the file; waits for a write under way."""
        with self._writing, self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    def next_boot(self, frontend: int) -> int:
        """A number greater than any this frontend was given before."""
        with self._transaction() as connection:
            connection.execute(schema.NEXT_BOOT, (frontend,))
            return int(_rows(connection, "SELECT boot FROM boots WHERE frontend = ?", frontend)[0][0])

    def get(self, key: str) -> State | None:
        """The state under a key."""
        rows = self._read("SELECT state FROM states WHERE key = ?", key)
        return State.decode(rows[0][0].encode()) if rows else None

    def scan(self, prefix: str) -> list[str]:
        """The keys that begin so, in order."""
        rows = self._read(
            "SELECT key FROM states WHERE key >= ? AND key < ? ORDER BY key", prefix, prefix + "\U0010ffff"
        )
        return [key for (key,) in rows]

    def delete(self, key: str) -> None:
        """Forget one state."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM states WHERE key = ?", (key,))

    def write(self, writes: Writes) -> Written:
        """One transaction, synced to the disk before it returns."""
        keys = [require_key(write.observation.id) for write in writes.observations]
        completions = [(*require_key(c.id), c.model, _completion_text(c)) for c in writes.completions]
        with self._transaction() as connection:
            first = self._insert_observations(connection, keys, writes.observations)
            kept = [writes.observations[place] for place in first]
            decisions = [
                Block(frontend, boot, writes.observations[place].observation.time, {counter: decision})
                for place, (frontend, boot, counter) in first.items()
                if (decision := writes.observations[place].decision) is not None
            ]
            _insert_blocks(connection, (*writes.blocks, *decisions))
            if completions:
                connection.execute(schema.INSERT_COMPLETIONS, (_text(completions),))
            states = _change_states(connection, [add for write in kept for add in write.adds])
        return Written([place in first for place in range(len(keys))], states)

    def find(self, id: str) -> bytes | None:
        """The encoded decision of an id, read alone out of its block."""
        key = parse_key(id)
        if key is None:
            return None
        with self._typed("read"), self._reading:
            connection = self._connected(self._reader)
            for row, first in _rows(connection, schema.FIND_BLOCKS, *key, SPAN):
                record = _cut(connection, row, key[2] - first)
                if record is not None:
                    return record
        return None

    def completions(self, id: str) -> list[Completion]:
        """The outputs that came after the decision was written."""
        rows = self._of(
            "SELECT model, data FROM completions WHERE (frontend, boot, counter) = (?, ?, ?) ORDER BY id", id
        )
        return [_completion(id, model, data) for model, data in rows]

    def observation(self, id: str) -> Observation | None:
        """What was observed of a decision, or `None`."""
        rows = self._of("SELECT data FROM observations WHERE (frontend, boot, counter) = (?, ?, ?)", id)
        if not rows:
            return None
        label, reward, time = _decode_observation(rows[0][0])
        return Observation(id, None if label is None else label.encode(), reward, time)

    def prune(self, before: float, max_bytes: int) -> int:
        """Delete the oldest blocks; the size is that of the pages in use, so it counts everything in the file.

        The file does not shrink: what was freed is filled again.
        """
        with self._transaction() as connection:
            excess = _used(connection) - max_bytes
            doomed = []
            for row, time, size in _rows(connection, schema.OLDEST_BLOCKS, _PRUNED_AT_ONCE):
                if time >= before and excess <= 0:
                    break
                doomed.append(row)
                excess -= size
            for row in doomed:
                _delete_members(connection, row)
            if doomed:
                connection.execute(schema.DELETE_BLOCKS, (doomed[-1],))
            return len(doomed)

    def get_document(self, name: str) -> bytes | None:
        """A small document by name, or `None`."""
        rows = self._read("SELECT data FROM documents WHERE name = ?", name)
        return rows[0][0] if rows else None

    def put_document(self, name: str, data: bytes) -> None:
        """Write a document durably."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, data))

    def _connect(self, patience: float) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=patience, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA page_size = {schema.PAGE}")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check the file's format; make it ours if it is new."""
        if _pragma(connection, "user_version") > schema.VERSION:
            raise StoreError(
                f"the state file {self.path} is of format {_pragma(connection, 'user_version')}, and this version of "
                f"Skysail reads up to {schema.VERSION}; install a newer Skysail, or name another file in [server] state"
            )
        if _pragma(connection, "journal_mode") != "wal":
            _enter_wal(connection)
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        connection.execute("BEGIN IMMEDIATE")
        if _pragma(connection, "application_id") != schema.APPLICATION:
            if _rows(connection, "SELECT name FROM sqlite_master LIMIT 1"):
                raise StoreError(f"{self.path} belongs to another program; name another file in [server] state")
            for table in schema.TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        connection.execute("COMMIT")

    def _connected(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreError(f"the state file {self.path} is not open; call open() first")
        return connection

    @contextmanager
    def _typed(self, act: str) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            remedy = next(
                (text for start, text in _REMEDIES.items() if name.startswith(start)), "see the disk's health"
            )
            raise StoreError(f"cannot {act} the state file {self.path}: {error}; {remedy}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The writing connection, in a transaction that is undone by any exception."""
        with self._typed("write"), self._writing:
            connection = self._connected(self._writer)
            _begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def _read(self, sql: str, *parameters: Any) -> list[Any]:
        with self._typed("read"), self._reading:
            return _rows(self._connected(self._reader), sql, *parameters)

    def _of(self, sql: str, id: str) -> list[Any]:
        """The rows that belong to an id."""
        key = parse_key(id)
        return [] if key is None else self._read(sql, *key)

    @staticmethod
    def _insert_observations(
        connection: sqlite3.Connection, keys: list[_Key], writes: list[ObservationWrite]
    ) -> dict[int, _Key]:
        """Insert those that are the first of their id; their places and keys."""
        if not keys:
            return {}
        known = set(_decode_places(_rows(connection, schema.KNOWN_OBSERVATIONS, _text(keys))[0][0]))
        first: dict[_Key, int] = {}
        for place, key in enumerate(keys):
            if place not in known:
                first.setdefault(key, place)
        rows = [(*key, _observation_text(writes[place].observation)) for key, place in first.items()]
        connection.execute(schema.INSERT_OBSERVATIONS, (_text(rows),))
        return {place: key for key, place in first.items()}


def _begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes, when it is this process's turn.

    Left to itself, SQLite looks ever more seldom whether another has finished, at last ten times a second, and beside
    one that writes all the time may wait for seconds. So it is told to wait for a millisecond, and told so again.
    """
    for _ in range(_WRITE_TRIES):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
        else:
            return
    connection.execute("BEGIN IMMEDIATE")


def _change_states(connection: sqlite3.Connection, adds: list[Add]) -> dict[str, State]:
    """Read the states that are added to, and write what they are then; these."""
    if not adds:
        return {}
    keys = sorted({add.key for add in adds})
    pairs = _decode_pairs(_rows(connection, schema.KNOWN_STATES, _text(keys))[0][0])
    states = changed({key: State.decode(text.encode()) for key, text in pairs}, adds)
    rows = [(key, state.encode().decode()) for key, state in states.items()]
    connection.execute(schema.INSERT_STATES, (_text(rows),))
    return states


def _rows(connection: sqlite3.Connection, sql: str, *parameters: Any) -> list[Any]:
    """All rows at once, so that no statement is left in the middle and holds a snapshot."""
    return connection.execute(sql, parameters).fetchall()


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return _rows(connection, f"PRAGMA {name}")[0][0]


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode. Where two processes try at once, SQLite fails one without waiting: it waits here."""
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    except sqlite3.OperationalError:
        connection.execute("BEGIN IMMEDIATE").execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()


def _used(connection: sqlite3.Connection) -> int:
    """Bytes in pages that hold something."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return int(pages * _pragma(connection, "page_size"))


def _text(value: Any) -> str:
    return _encode(value).decode()


def _insert_blocks(connection: sqlite3.Connection, blocks: Iterable[Block]) -> None:
    values = [(b.frontend, b.boot, b.time, *packed) for b in blocks for packed in pack(b.records)]
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = values[start : start + _ROWS_AT_ONCE]
        connection.execute(schema.INSERT_BLOCK + schema.ANOTHER_BLOCK * (len(rows) - 1), tuple(chain(*rows)))


def _cut(connection: sqlite3.Connection, row: int, index: int) -> bytes | None:
    """One record of a block; incremental, so a block of a thousand is not copied for it."""
    with connection.blobopen("blocks", "data", row, readonly=True) as blob:
        blob.seek(4 * index)
        start, end = struct.unpack("<2I", blob.read(8))
        blob.seek(start)
        return blob.read(end - start) or None


def _delete_members(connection: sqlite3.Connection, row: int) -> None:
    """Delete what belongs to a block's decisions; others may lie between its first and last, so each by its number."""
    frontend, boot, first, last = _rows(connection, schema.BLOCK, row)[0]
    with connection.blobopen("blocks", "data", row, readonly=True) as blob:
        counters = _text(members(first, last, blob.read(4 * (last - first + 2))))
    connection.execute(schema.DELETE_OBSERVATIONS, (frontend, boot, first, last, counters))
    connection.execute(schema.DELETE_COMPLETIONS, (frontend, boot, first, last, counters))


def _observation_text(observation: Observation) -> str:
    label = observation.label
    return _text((None if label is None else label.decode(), observation.reward, observation.time))


def _completion_text(completion: Completion) -> str:
    output = completion.output
    return _text((None if output is None else output.decode(), completion.failure, completion.latency))


def _completion(id: str, model: int, text: str) -> Completion:
    output, failure, latency = _decode_completion(text)
    return Completion(id, model, None if output is None else output.encode(), failure, latency)
