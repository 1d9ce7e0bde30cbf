"""The SQLite file's format: its tables, its version, and how a file of another kind is told from ours.

Statements that write many rows take them as one JSON text and unpack it inside SQLite (`json_each`), and those that
read many rows return one. Each row that crosses between Python and SQLite costs a handover of the interpreter lock, and
beside a busy event loop that is what a commit's time goes into, not the disk.
"""

from __future__ import annotations

__all__ = [
    "ANOTHER_BLOCK",
    "APPLICATION",
    "BLOCK",
    "DELETE_BLOCKS",
    "DELETE_COMPLETIONS",
    "DELETE_OBSERVATIONS",
    "FIND_BLOCKS",
    "INSERT_BLOCK",
    "INSERT_COMPLETIONS",
    "INSERT_OBSERVATIONS",
    "INSERT_STATES",
    "KNOWN_OBSERVATIONS",
    "KNOWN_STATES",
    "NEXT_BOOT",
    "OLDEST_BLOCKS",
    "PAGE",
    "TABLES",
    "VERSION",
]

APPLICATION = 0x534B5953
"""`PRAGMA application_id` of our files: "SKYS"."""

VERSION = 1
"""`PRAGMA user_version` of the format below; a greater one is refused."""

PAGE = 8192
"""Bytes in a page: cutting one decision out of a block takes half the steps of the usual 4096."""

TABLES = (
    """CREATE TABLE blocks (
        id INTEGER PRIMARY KEY, frontend INTEGER NOT NULL, boot INTEGER NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, time REAL NOT NULL, data BLOB NOT NULL)""",
    "CREATE INDEX blocks_by_counter ON blocks (frontend, boot, first, last)",
    """CREATE TABLE observations (
        frontend INTEGER NOT NULL, boot INTEGER NOT NULL, counter INTEGER NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (frontend, boot, counter)) WITHOUT ROWID""",
    """CREATE TABLE completions (
        id INTEGER PRIMARY KEY, frontend INTEGER NOT NULL, boot INTEGER NOT NULL, counter INTEGER NOT NULL,
        model INTEGER NOT NULL, data TEXT NOT NULL, UNIQUE (frontend, boot, counter, model))""",
    "CREATE TABLE states (key TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE documents (name TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE boots (frontend INTEGER PRIMARY KEY, boot INTEGER NOT NULL)",
)

NEXT_BOOT = """
INSERT OR REPLACE INTO boots SELECT ?1, coalesce((SELECT boot FROM boots WHERE frontend = ?1), 0) + 1"""

INSERT_BLOCK = "INSERT INTO blocks (frontend, boot, time, first, last, data) VALUES (?, ?, ?, ?, ?, ?)"

ANOTHER_BLOCK = ", (?, ?, ?, ?, ?, ?)"

FIND_BLOCKS = """
SELECT id, first FROM blocks WHERE frontend = ?1 AND boot = ?2 AND first <= ?3 AND first > ?3 - ?4 AND last >= ?3
ORDER BY first DESC"""

KNOWN_OBSERVATIONS = """
SELECT json_group_array(e.key) FROM json_each(?) AS e CROSS JOIN observations AS o
WHERE o.frontend = json_extract(e.value, '$[0]') AND o.boot = json_extract(e.value, '$[1]')
AND o.counter = json_extract(e.value, '$[2]')"""

INSERT_OBSERVATIONS = """
INSERT INTO observations SELECT json_extract(e.value, '$[0]'), json_extract(e.value, '$[1]'),
json_extract(e.value, '$[2]'), json_extract(e.value, '$[3]') FROM json_each(?) AS e"""

INSERT_COMPLETIONS = """
INSERT OR IGNORE INTO completions (frontend, boot, counter, model, data)
SELECT json_extract(e.value, '$[0]'), json_extract(e.value, '$[1]'), json_extract(e.value, '$[2]'),
json_extract(e.value, '$[3]'), json_extract(e.value, '$[4]') FROM json_each(?) AS e ORDER BY e.key"""

KNOWN_STATES = """
SELECT json_group_array(json_array(s.key, s.state)) FROM json_each(?) AS e CROSS JOIN states AS s ON s.key = e.value"""

INSERT_STATES = """
INSERT OR REPLACE INTO states
SELECT json_extract(e.value, '$[0]'), json_extract(e.value, '$[1]') FROM json_each(?) AS e"""

OLDEST_BLOCKS = "SELECT id, time, length(data) FROM blocks ORDER BY id LIMIT ?"

BLOCK = "SELECT frontend, boot, first, last FROM blocks WHERE id = ?"

DELETE_OBSERVATIONS = """
DELETE FROM observations WHERE frontend = ? AND boot = ? AND counter BETWEEN ? AND ?
AND +counter IN (SELECT value FROM json_each(?))"""

DELETE_COMPLETIONS = """
DELETE FROM completions WHERE frontend = ? AND boot = ? AND counter BETWEEN ? AND ?
AND +counter IN (SELECT value FROM json_each(?))"""

DELETE_BLOCKS = "DELETE FROM blocks WHERE id <= ?"
