"""The file's format: every statement fits the tables, and uses their indexes."""

from __future__ import annotations

import sqlite3

import pytest

from skysail.stores import schema

LOOKUPS = {
    "FIND_BLOCKS": "USING COVERING INDEX blocks_by_counter (frontend=? AND boot=? AND first>? AND first<?)",
    "KNOWN_OBSERVATIONS": "SEARCH o USING PRIMARY KEY (frontend=? AND boot=? AND counter=?)",
    "KNOWN_STATES": "SEARCH s USING PRIMARY KEY (key=?)",
    "DELETE_OBSERVATIONS": "USING PRIMARY KEY (frontend=? AND boot=? AND counter>? AND counter<?)",
    "DELETE_COMPLETIONS": "(frontend=? AND boot=? AND counter>? AND counter<?)",
    "OLDEST_BLOCKS": "SCAN blocks",
    "BLOCK": "USING INTEGER PRIMARY KEY",
}


@pytest.fixture
def connection() -> sqlite3.Connection:
    """An empty file of our format, in memory."""
    connection = sqlite3.connect(":memory:")
    for table in schema.TABLES:
        connection.execute(table)
    return connection


@pytest.mark.parametrize("name", sorted(LOOKUPS))
def test_lookups_use_an_index(connection: sqlite3.Connection, name: str) -> None:
    """No lookup reads a table from end to end, however long it grows, and none sorts."""
    sql = getattr(schema, name)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", _nulls(sql))]
    connection.close()
    assert any(LOOKUPS[name] in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("name", [n for n in schema.__all__ if n.startswith("INSERT_") or n == "NEXT_BOOT"])
def test_inserts_fit_the_tables(connection: sqlite3.Connection, name: str) -> None:
    """Every insert can be prepared against the tables."""
    sql = getattr(schema, name)
    connection.execute(f"EXPLAIN {sql}", _nulls(sql)).fetchall()
    connection.close()


def test_several_blocks_go_into_one_statement(connection: sqlite3.Connection) -> None:
    """The statement for a block can be prolonged by another."""
    rows = [0, 1, 1.0, 5, 6, b"a", 0, 1, 1.0, 7, 8, b"b"]
    connection.execute(schema.INSERT_BLOCK + schema.ANOTHER_BLOCK, rows)
    assert connection.execute(schema.FIND_BLOCKS, (0, 1, 7, 512)).fetchall() == [(2, 7)]
    connection.close()


def _nulls(sql: str) -> list[None]:
    numbered = [int(part[0]) for part in sql.split("?")[1:] if part[:1].isdigit()]
    return [None] * (max(numbered) if numbered else sql.count("?"))
