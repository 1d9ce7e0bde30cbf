from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from skysail.bench.report import METHOD, notes, trial_document, view
from skysail.bench.trial import Trial


def text(document: dict[str, Any]) -> str:
    """A report as it looks on a wide terminal."""
    console = Console(file=StringIO(), width=160)
    console.print(view(document))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_report_says_what_was_found_and_how(document: dict[str, Any]) -> None:
    """Capacity, the highest rate, each rate with its verdict, batches, time, machine, method and notes."""
    told = text(document)
    assert "capacity, closed loop: 250 queries/s" in told
    assert "highest rate with p99 ≤ 20 ms, no error: 100 queries/s" in told
    assert "no: 5 deadline" in told
    assert "1.00 ms and 500.0 µs a row; at most 5 rows" in told
    assert "75%" in told
    assert "frontend/0 2500 µs a query (25% of a core)" in told
    assert "control" not in told
    for said in ("a fast one, 2 cores", "in good faith", "note: a note", "random float32[64]"):
        assert said in told
    assert told.index("│       100") < told.index("│       200")


def test_rates_alone_have_no_highest(document: dict[str, Any]) -> None:
    """Where rates were given there is no capacity and no search, and nothing is said of them."""
    told = text(document | {"capacity": None, "search": None, "highest": None, "time": None})
    assert "capacity" not in told
    assert "highest" not in told
    assert "highest rate with p99 ≤ 20 ms, no error: none" in text(document | {"highest": None})


def test_a_slow_rate_says_so(document: dict[str, Any], trial: Callable[..., Trial]) -> None:
    """A rate without errors that is not kept was too slow."""
    assert "no: too slow" in text(document | {"trials": [trial_document(trial(p99=0.05), 0.02)]})


def test_a_usual_run_needs_no_notes(document: dict[str, Any]) -> None:
    """Where the generator kept up, inputs were distinct and the search ended, there is nothing to add."""
    assert list(notes(document)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": {"origin": "", "distinct": 2}, "cache": {"hits": 298, "sent": 300}}, "298 of 300 were answered from"),
        ({"highest": None}, "no rate was kept"),
        ({"search": {"kept": 1.0, "missed": None}}, "no rate was missed"),
    ],
)
def test_what_must_be_known(document: dict[str, Any], change: dict[str, Any], said: str) -> None:
    """Inputs that repeat, and a search without an end, are said."""
    [note] = notes(document | change)
    assert said in note


def test_a_generator_that_did_not_keep_up_is_named(document: dict[str, Any], trial: Callable[..., Trial]) -> None:
    """The rates at which it was late are listed, each once, rather than the server blamed."""
    late = [trial_document(trial(lag=0.01), 0.02)] * 2
    full = trial_document(trial(offered=None, cpu=0.99), 0.02)
    [note] = notes(document | {"trials": late, "capacity": full})
    assert "(closed loop, 100)" in note


def test_the_method_is_complete() -> None:
    """It names the shared cores, the arrivals, what a latency counts from, and the state."""
    lines = METHOD.format(connections=64, seconds=5.0, state="in memory").splitlines()
    assert len(lines) == 5
    for word in ("shares? its cores", "share its cores")[1:]:
        assert word in lines[0]
    assert "64 connections" in lines[1]
    assert "Poisson" in lines[2]
    assert "in memory" in lines[4]
