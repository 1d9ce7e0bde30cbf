"""How much: memory and processor of a server that nobody asks anything, and memory over many queries."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.load import measure, sample_bodies
from benchmarks.machine import MIB, MemorySampler
from benchmarks.report import Goal, Report, table
from benchmarks.servers import Skysail, start_skysail
from benchmarks.throughput import error_line, fill_cache

from skysail.feedback.buffer import LedgerLimits

__all__ = ["Mark", "measure_idle", "measure_memory", "used_bytes"]

_IDLE_MIB = 80.0
_IDLE_PERCENT = 0.5
_WORKERS = 5
_SETTLE = 1.0
_PRUNED_WITHIN = 65.0
_PRUNED = 1.05
_LEDGER = 32 * MIB
_ENOUGH = 500_000
_KEPT = 24
_PROCESSES = ("frontend", "worker", "control", "parent")

_IDLE_METHOD = """\
Skysail as it starts: one application, one no-op Python model in five workers, state in SQLite, no query yet, no
connection. Memory is the resident set, shared pages included."""

_MEMORY_METHOD = """\
All-distinct queries of 64 floats over 64 connections, a cache of {cache} MiB, a ledger of {ledger} MiB. First the cache
is filled twice over. Resident sets are looked at when a quarter of the queries has been answered, and every 250 ms for
the most seen. A heap swings, and takes some hundred thousand queries to settle: growth is that of the second half, and
counts as none below 24 bytes a query, what the smallest object kept for each would take (16, and 8 to refer to it)."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Memory at one point of a run."""

    what: str
    """Which point."""

    memory: dict[str, int]
    """The resident set of each process, in bytes."""

    def row(self) -> list[str]:
        """The line of a table, in MiB."""
        return [self.what, *[f"{self.memory[name] / MIB:.1f}" for name in _PROCESSES]]


def measure_idle(seconds: float) -> Report:
    """Memory and processor time of each process of an idle server."""
    with start_skysail(workers=_WORKERS) as server:
        time.sleep(_SETTLE)
        before = server.scheduled()
        time.sleep(seconds)
        percent = {name: (now - before[name]) / seconds * 100 for name, now in server.scheduled().items()}
        memory = server.memory()
    rows = [[name, f"{memory[name] / MIB:.1f}", f"{percent[name]:.3f}"] for name in memory]
    return Report(
        title="An idle server",
        method=f"{_IDLE_METHOD} Processor time over {seconds:g} s.",
        lines=[*table(["process", "MiB", "% of a core"], rows), ""],
        data={"memory_bytes": memory, "cpu_percent": percent},
        goals=[
            Goal(what="idle frontend", value=memory["frontend"] / MIB, limit=_IDLE_MIB, unit="MiB"),
            Goal(what="CPU when idle, all processes", value=sum(percent.values()), limit=_IDLE_PERCENT, unit="%"),
        ],
    )


def measure_memory(queries: int, cache: str) -> Report:
    """Memory of each process over so many queries.

    Where they are enough to judge growth, it also waits until the ledger has been brought to its size, which takes up
    to a minute; fewer show the numbers alone.
    """
    bodies = sample_bodies(64)
    enough = queries >= _ENOUGH
    with start_skysail(cache=cache, ledger=f"{_LEDGER // MIB}MiB") as server, MemorySampler(server.memory) as sampler:
        marks = [Mark(what="idle", memory=server.memory())]
        asked = fill_cache(server, 64)
        while asked < 2 * server.status()["cache"]["entries"]:
            asked += measure(server.url, bodies, seconds=1.0, warmup=0).requests
        marks.append(Mark(what=f"{asked:,} queries, cache full", memory=server.memory()))
        asked = 0
        for quarter in (1, 2, 3, 4):
            while asked < queries * quarter // 4:
                asked += measure(server.url, bodies, seconds=2.0 if enough else 1.0, warmup=0).requests
            marks.append(Mark(what=f"{asked:,} more", memory=server.memory()))
        most = {name: max(sampler.peak[name], *[mark.memory[name] for mark in marks]) for name in _PROCESSES}
        marks.append(Mark(what="the most seen", memory=most))
        lines = [error_line(server), _state_line(server)]
        goals = [_prune(server, bodies)] if enough else []
        budget = server.status()["cache"]["budget"]
    return Report(
        title="Memory over many queries",
        method=_MEMORY_METHOD.format(cache=budget // MIB, ledger=_LEDGER // MIB),
        lines=[*table(["MiB at", *_PROCESSES], [mark.row() for mark in marks]), "", *lines],
        data={"marks": [{"what": mark.what} | mark.memory for mark in marks], "queries": asked},
        goals=[*_goals(marks, asked, budget), *goals] if enough else [],
    )


def used_bytes(server: Skysail) -> int:
    """What the state file holds: its pages in use. (The file itself does not shrink; what is freed is filled again.)"""
    with closing(sqlite3.connect(f"file:{server.state}?mode=ro", uri=True)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _state_line(server: Skysail) -> str:
    """The state file's size against the ledger's budget."""
    wal = server.state.with_name(server.state.name + "-wal")
    size, used = (server.state.stat().st_size + wal.stat().st_size) / MIB, used_bytes(server) / MIB
    written, budget = server.status()["ledger"]["written"], _LEDGER // MIB
    return (
        f"state file after {written:,} decisions: {size:.1f} MiB with its WAL, {used:.1f} MiB in use; ledger budget "
        f"{budget} MiB, enforced each time an eighth of it has been written"
    )


def _prune(server: Skysail, bodies: list[str]) -> Goal:
    """The state file's size once the ledger has been brought to its budget; that is done beside queries."""
    until = time.monotonic() + _PRUNED_WITHIN
    while used_bytes(server) > _PRUNED * _LEDGER and time.monotonic() < until:
        measure(server.url, bodies, connections=1, seconds=1.0, warmup=0)
    used, limit = used_bytes(server) / MIB, _PRUNED * _LEDGER / MIB
    return Goal(what="state file after it was pruned", value=used, limit=limit, unit="MiB")


def _goals(marks: list[Mark], queries: int, cache: int) -> list[Goal]:
    idle, _, _, half, _, last, most = (mark.memory for mark in marks)
    limits = LedgerLimits()
    leak, stated = _KEPT * queries / 2 / MIB, (cache + limits.recent + limits.waiting) / MIB
    above = (most["frontend"] - idle["frontend"]) / MIB
    return [
        *[
            Goal(what=f"growth of the {name}", value=(last[name] - half[name]) / MIB, limit=leak, unit="MiB")
            for name in _PROCESSES
        ],
        Goal(what="frontend above idle, cache and ledger buffers stated", value=above, limit=stated, unit="MiB"),
    ]
