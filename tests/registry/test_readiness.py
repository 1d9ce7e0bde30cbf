from __future__ import annotations

import asyncio

import pytest

from skysail.errors import DeployError
from skysail.registry.readiness import Readiness
from skysail.types import ModelRef

REF = ModelRef("svm", 2)
NAMES = ["svm@2/0", "svm@2/1"]


def loaded(*names: str, frontends: int = 1) -> Readiness:
    """What is known after these replicas loaded."""
    readiness = Readiness(frontends)
    for name in names:
        readiness.started(name)
        readiness.reported(name, {"state": "loading"})
        readiness.reported(name, {"state": "ready"})
    return readiness


def test_all_replicas_and_all_frontends_make_a_version_ready() -> None:
    """Each missing part is named, until there is none."""
    readiness = loaded("svm@2/0", frontends=2)
    assert "svm@2/1 had not loaded" in readiness.lacking(REF, NAMES)
    readiness.reported("svm@2/1", {"state": "ready"})
    assert "no frontend was there" in readiness.lacking(REF, NAMES)
    readiness.connected(0)
    readiness.answered(0, REF)
    assert "1 of 2 frontends were not there" in readiness.lacking(REF, NAMES)
    assert not readiness.ready(REF, NAMES)
    readiness.connected(1)
    assert "1 of 2 frontends had got no answer" in readiness.lacking(REF, NAMES)
    assert not readiness.ready(REF, NAMES)
    readiness.answered(1, REF)
    assert readiness.ready(REF, NAMES)
    readiness.disconnected(0)
    readiness.connected(2)
    assert not readiness.ready(REF, NAMES)


def test_the_only_frontend_is_waited_for_too() -> None:
    """One that is there and has said nothing is told from one that is not there."""
    readiness = loaded(*NAMES)
    assert "no frontend was there" in readiness.lacking(REF, NAMES)
    readiness.connected(0)
    assert "no frontend had got an answer" in readiness.lacking(REF, NAMES)


def test_a_failed_load_says_why_with_its_traceback() -> None:
    """The reason is the report's, with the tail of the traceback; the exit that follows adds nothing."""
    readiness = loaded("svm@2/0")
    readiness.started("svm@2/1")
    trace = "\n".join(f"line {i}" for i in range(50))
    readiness.reported("svm@2/1", {"state": "failed", "error": "no such file", "traceback": trace})
    readiness.exited("svm@2/1", "exited with status 3", ["line 49"])
    why = readiness.failure(REF, NAMES)
    assert why is not None
    assert why.startswith("svm@2/1 could not be loaded: no such file\nline 30\n")
    assert why.endswith("line 49")


def test_an_end_without_a_word_is_a_failure_with_its_last_output() -> None:
    """A worker killed while it loads fails the version, and what it printed last is quoted."""
    readiness = Readiness()
    readiness.started("svm@2/0")
    readiness.exited("svm@2/0", "was killed by SIGKILL", ["loading 40 GB"])
    assert readiness.failure(REF, NAMES) == "svm@2/0 was killed by SIGKILL\nloading 40 GB"


def test_the_end_of_an_earlier_process_is_no_failure() -> None:
    """A version tried again while its old workers still stop is not failed by their end."""
    readiness = loaded(*NAMES)
    readiness.forget(REF, NAMES)
    readiness.exited("svm@2/0", "exited with status 0", [])
    assert readiness.failure(REF, NAMES) is None
    assert not readiness.ready(REF, NAMES)


def test_waiting_ends_with_readiness_or_the_reason() -> None:
    """`wait` returns at the moment the last part is there, and raises at the moment one fails."""

    async def body() -> None:
        readiness = loaded(*NAMES)
        readiness.connected(0)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(readiness.wait(REF, NAMES))
            await asyncio.sleep(0)
            assert not waiting.done()
            readiness.answered(0, REF)
        readiness.forget(REF, NAMES)
        readiness.failed(REF, "nonsense")
        with pytest.raises(DeployError, match="svm@2 did not answer: nonsense"):
            await readiness.wait(REF, NAMES)

    asyncio.run(body())
