from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from skysail.bench import machine
from skysail.bench.machine import cpu_seconds, describe_machine


def test_the_machine_is_described() -> None:
    """Numbers come with what they depend on, none of it empty; the cores and versions among it."""
    told = describe_machine()
    assert set(told) == {"processor", "system", "load", "python", "versions", "data path"}
    assert all(told.values())
    assert told["processor"].endswith(" cores")
    assert "msgspec " in told["versions"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_processor_time_of_a_process() -> None:
    """This one has run for some time; of one that is not there nothing is known."""
    assert (cpu_seconds(os.getpid()) or 0) > 0
    assert cpu_seconds(2**30) is None


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without /proc there is still a name for the processor, and no processor time."""
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert describe_machine()["processor"]
    assert cpu_seconds(os.getpid()) is None
